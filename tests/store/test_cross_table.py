"""Tables of several layers in the store."""

import json

import numpy as np
import pytest

from eigexp.errors import ConfigurationError, StoreError
from eigexp.store import Store
from eigexp.store.cross_table import (
    COLUMNS,
    FOLDER,
    cross_tables,
    has_table,
    read_table,
    table_id,
    table_path,
    write_table,
)
from eigexp.store.maintenance import merge, prune, verify
from eigexp.store.table import table
from tests.store.fakes import write_fake

A, B = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"


def content(ids=(A, B), image="camera", model="net"):
    layers = [
        {"layer": name, "id": id, "m": 4, "n": 9, "largest": top} for name, id, top in zip(("a", ["b", "c"]), ids, (2.0, 8.0), strict=True)
    ]
    ends = [(0, 0, 2.0), (0, 8, 0.1), (1, 0, 8.0), (1, 8, 0.0)]
    vectors = [{"layer": layer, "eigenindex": rank, "eigenvalue": value} for layer, rank, value in ends]
    values = [[2.0, 4.0], [0.1, 0.8], [1.0, 8.0], [0.5, 0.0]]
    return {"model": model, "image": {"name": image}, "layers": layers, "vectors": vectors, "values": values, "deviation": 0.0}


def test_what_is_written_is_read(tmp_path):
    store = Store(tmp_path)
    path = write_table(store, content())
    found = read_table(path)
    assert path == table_path(store, found.id) and has_table(store, found.id)
    assert found.ids == [A, B] and found.layers == ["a", "b+c"]
    assert np.array_equal(found.matrix(0), [[2, 4], [1, 8]]) and np.array_equal(found.matrix(-1), [[0.1, 0.8], [0.5, 0]])
    assert np.array_equal(found.relative(0), [[1, 0.5], [0.5, 1]])
    assert np.isnan(found.matrix(3)).all()


def test_the_id_is_of_the_results_whatever_their_order(tmp_path):
    assert table_id([A, B]) == table_id([B, A]) != table_id([A])


def test_a_table_is_never_rewritten_and_no_result(tmp_path):
    store = Store(tmp_path)
    path = write_table(store, content())
    before = path.read_bytes()
    write_table(store, {**content(), "values": [[0.0, 0.0]] * 4})
    assert path.read_bytes() == before
    assert store.ids() == [] and list(store.folders()) == [] and table(store) == [] and verify(store) == []


def test_rows_have_one_value_each(tmp_path):
    rows = read_table(write_table(Store(tmp_path), content())).rows()
    assert len(rows) == 8 and all(tuple(row) == COLUMNS for row in rows)
    assert [(r["layer"], r["seen_by"], r["value"], r["ratio"]) for r in rows if r["eigenindex"] == 0] == [
        ("a", "net a", 2.0, 1.0),
        ("a", "net b+c", 4.0, 0.5),
        ("b+c", "net a", 1.0, 0.5),
        ("b+c", "net b+c", 8.0, 1.0),
    ]
    assert {row["id"] for row in rows} == {A, B} and rows[0]["threshold"] == 2.0**-0.5 and rows[-1]["threshold"] is None


def test_tables_by_model_and_image(tmp_path):
    store = Store(tmp_path)
    assert cross_tables(store) == []
    for i, (model, image) in enumerate([("net", "camera"), ("net", "coins"), ("other", "camera")]):
        write_table(store, content((A, f"{i}" * 16), image, model))
    assert len(cross_tables(store)) == 3
    assert [t.record["image"]["name"] for t in cross_tables(store, ["model=NET"])] == ["camera", "coins"]
    assert [t.record["model"] for t in cross_tables(store, ["image=cam*"])] == ["net", "other"]
    with pytest.raises(ConfigurationError, match="where='n>3'"):
        cross_tables(store, ["n>3"])


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: "{",
        lambda record: json.dumps({**record, "values": record["values"][:3]}),
        lambda record: json.dumps({**record, "values": [[1.0]] * 4}),
        lambda record: json.dumps({**record, "layers": record["layers"][:1]}),
        lambda record: json.dumps({**record, "id": "0" * 16}),
        lambda record: json.dumps({**record, "vectors": [{**v, "layer": 7} for v in record["vectors"]]}),
        lambda record: json.dumps([1]),
        lambda record: json.dumps({key: value for key, value in record.items() if key != "vectors"}),
    ],
)
def test_a_damaged_table_is_found_and_set_aside(tmp_path, damage):
    store = Store(tmp_path)
    path = write_table(store, content())
    path.write_text(damage(json.loads(path.read_text())))
    with pytest.raises(StoreError, match="damaged"):
        read_table(path)
    (finding,) = verify(store)
    assert finding.kind == "corrupt" and finding.path == path
    prune(store, yes=True)
    assert not path.exists() and verify(store) == [] and len(list((store.root / ".corrupt").iterdir())) == 1


def test_an_orphan_in_its_folder_is_found(tmp_path):
    store = Store(tmp_path)
    write_table(store, content())
    (store.root / FOLDER / ".x.json.elsewhere.1.tmp").write_text("{")
    (store.root / FOLDER / ".y.json.elsewhere.1.tmp").touch()
    import os

    os.utime(store.root / FOLDER / ".x.json.elsewhere.1.tmp", (0, 0))
    assert [finding.kind for finding in verify(store)] == ["orphan"]
    assert len(cross_tables(store)) == 1


def test_merge_takes_tables_with_their_results(tmp_path):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    ids = [write_fake(there.root, model) for model in ("ln", "lg")]
    whole, lacking = write_table(there, content(ids)), write_table(there, content((A, B)))
    merged = merge(here, there)
    assert merged.tables == (whole.stem,) and not merged.refused
    assert table_path(here, whole.stem).read_bytes() == whole.read_bytes() and not has_table(here, lacking.stem)
    whole.write_text("{")
    assert merge(Store(tmp_path / "third"), there).refused[0][0] == whole.stem
    assert merge(here, there).tables == ()
