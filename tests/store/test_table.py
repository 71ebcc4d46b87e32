"""The table has the records' numbers, filters, three formats, and an index that may vanish."""

import csv
import io
import json

import pytest
import torch

from eigexp.errors import ConfigurationError
from eigexp.store import Store
from eigexp.store import index as index_module
from eigexp.store.index import INDEX
from eigexp.store.rows import COLUMNS
from eigexp.store.table import Shown, format_rows, frame, render, table
from tests.store.fakes import fake_image, write_fake

BOUNDED = torch.tensor([[9.99, 10.01], [0.0, 2.999e-6]], dtype=torch.float64)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    for model in ("onoff", "ln"):
        for name in ("camera", "coins"):
            write_fake(root, model, fake_image(name=name, seed=len(name) + len(model)))
    write_fake(
        root, "resnet18", fake_image((3, 8, 8), "astronaut"), status="budget", verified=False, evidence={"top": "budget", "bottom": None}
    )
    return root


@pytest.fixture
def always_indexed(monkeypatch):
    monkeypatch.setattr(index_module, "MIN_RESULTS", 1)


def test_rows_are_sorted_and_complete(root):
    rows = table(Store(root))
    assert [(r["model"], r["image"]) for r in rows] == [
        ("ln", "camera"), ("ln", "coins"), ("onoff", "camera"), ("onoff", "coins"), ("resnet18", "astronaut")
    ]  # fmt: skip
    assert tuple(rows[0]) == COLUMNS
    first = rows[0]
    assert (first["top"], first["bottom"], first["n"]) == (10.0, 1e-4, 256)
    assert first["top_low"] < 10 < first["top_high"]
    assert (first["evidence_top"], first["fisher_vector_products"], first["seconds"]) == ("krylov", 212, 12.5)


@pytest.mark.parametrize(
    ("where", "count"),
    [
        (["model=onoff"], 2), (["model=ONOFF"], 2), (["model=on*"], 2), (["model!=onoff"], 3), (["image=camera", "model=ln"], 1),
        (["n<=192"], 1),
        (["verified=false"], 1), (["evidence_bottom=null"], 1), (["status=budget"], 1), (["top>9.99"], 5), (["bottom>1"], 0),
        (["created>2020"], 5), (["n = 256"], 4), (["n=abc"], 0),
    ],
)  # fmt: skip
def test_conditions(root, where, count):
    assert len(table(Store(root), where)) == count


@pytest.mark.parametrize(
    ("where", "message"),
    [("model", "is not a condition"), ("modle=ln", "Did you mean model"), ("n>many", "not a number"), ("", "is not a condition")],
)
def test_conditions_that_cannot_be_read(root, where, message):
    with pytest.raises(ConfigurationError, match=message):
        table(Store(root), [where])


def test_formats(root):
    rows = table(Store(root))
    assert json.loads(format_rows(rows, "json", COLUMNS)) == rows
    read = list(csv.DictReader(io.StringIO(format_rows(rows, "csv", COLUMNS))))
    assert float(read[0]["bottom"]) == 1e-4
    lines = render(Store(root)).splitlines()
    assert len(lines) == 6
    assert lines[0].split()[:3] == ["id", "model", "image"]
    assert "0.0001" in lines[1]
    with pytest.raises(ConfigurationError, match=r"format=cvs is unknown. Did you mean csv"):
        format_rows(rows, "cvs", COLUMNS)


@pytest.mark.parametrize("width", [60, 80, 100, 132, None])
def test_a_narrow_terminal_loses_columns_but_never_a_bound(tmp_path, width):
    for name in ("camera", "rocket"):
        write_fake(tmp_path, "efficientnet_lite0", fake_image(name=name, seed=len(name)), k=1, intervals=BOUNDED)
    lines = render(Store(tmp_path), shown=Shown(width=width)).splitlines()
    for line in lines[1:]:
        assert "10" in line and "<= 3e-06" in line and ">= 7.5" in line  # largest, smallest, D
    if width and width >= 80:
        assert max(map(len, lines)) <= width
    assert ("FVPs" in lines[0]) == (width in (132, None))
    assert ("evidence" in lines[0]) == (width is None or width > 80)


def test_every_pair_has_a_row_with_its_bounds(tmp_path):
    write_fake(tmp_path, k=2, evidence={"top": "krylov", "bottom": "budget"}, verified=False)
    lines = render(Store(tmp_path), shown=Shown(pairs=True)).splitlines()
    assert [line.split()[3:5] for line in lines] == [["end", "rank"], ["top", "1"], ["top", "2"], ["bottom", "2"], ["bottom", "1"]]
    assert [" ".join(line.split()[5:7]).rstrip("0123456789.") for line in lines[1:]] == [
        "10 ",
        "9 ",
        "[0.00017, 0.00023]?",
        "[7e-05, 0.00013]?",
    ]
    read = list(csv.DictReader(io.StringIO(render(Store(tmp_path), "csv", shown=Shown(pairs=True)))))
    assert [row["verified"] for row in read] == ["True", "True", "False", "False"]
    assert all(float(row["threshold_low"]) <= float(row["threshold"]) <= float(row["threshold_high"]) for row in read)


def test_render_filters_and_formats(root):
    assert json.loads(render(Store(root), "json", ["model=ln"])) == table(Store(root), ["model=ln"])


def test_an_empty_store_has_an_empty_table(tmp_path):
    assert table(Store(tmp_path)) == []
    assert render(Store(tmp_path)).startswith("id")
    assert format_rows([], "json", COLUMNS) == "[]"


def test_index_gives_the_same_rows_and_may_be_damaged_or_deleted(tmp_path, always_indexed, monkeypatch):
    pytest.importorskip("pyarrow")
    store = Store(tmp_path)
    for i in range(5):
        write_fake(tmp_path, f"m{i}")
    rows = table(store)
    assert (tmp_path / INDEX).exists()
    with monkeypatch.context() as patched:
        patched.setattr(Store, "read", lambda store, id: pytest.fail("the record was opened again"))
        assert table(store) == rows
    for content in (b"", b"PAR1 damaged", None):
        (tmp_path / INDEX).write_bytes(content) if content is not None else (tmp_path / INDEX).unlink()
        assert table(store) == rows


def test_index_follows_the_store(tmp_path, always_indexed):
    store = Store(tmp_path)
    first = write_fake(tmp_path, "a")
    assert len(table(store)) == 1
    second = write_fake(tmp_path, "b")
    assert len(table(store)) == 2
    (store.path(first) / "record.json").unlink()
    assert [r["id"] for r in table(store)] == [second]


def test_a_damaged_record_is_left_out_with_a_warning(tmp_path, caplog):
    store = Store(tmp_path)
    good, bad = write_fake(tmp_path, "a"), write_fake(tmp_path, "b")
    (store.path(bad) / "record.json").write_text("{")
    assert [r["id"] for r in table(store)] == [good]
    assert "is damaged" in caplog.text


def test_frame_has_dates(root):
    pytest.importorskip("pandas")
    data = frame(Store(root), ["model=ln"])
    assert list(data.columns) == list(COLUMNS)
    assert data["created"].dt.year.min() >= 2020
    assert data["top"].tolist() == [10.0, 10.0]
