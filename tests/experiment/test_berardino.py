"""The paper's experiment, small: from its words to its table and figure."""

import pytest

from eigexp.experiment.run import run
from eigexp.report.plot import plot
from eigexp.store import Store
from eigexp.store.cross_table import cross_tables
from eigexp.store.selection import Selection
from eigexp.sweep.plan import make_plan


@pytest.mark.slow
def test_the_experiment_makes_its_table_and_its_figure(tmp_path):
    pytest.importorskip("efficientnet_lite_pytorch")
    small = [
        "model=lg,onoff,efficientnet_lite0",
        "images.names=[camera,coffee]",
        "images.size=32",
        "logger=none",
        "figure=null",
        "callbacks.progress.mode=quiet",
    ]
    plan = make_plan(["experiment=berardino2017", *small, f"store='{tmp_path}'"])
    assert [(task.model.split()[0], len(task.ids)) for task in plan][::2] == [("lg", 1), ("onoff", 1), ("efficientnet_lite0", 5)]
    for task in plan:
        run(task.config, only=task.ids)
    store = Store(tmp_path)
    rows = Selection.of_store(store).rows
    assert [row["model"] for row in rows[::2]] == ["lg", "onoff", *["efficientnet_lite0"] * 5]
    assert all(row["evidence_top"] == "krylov" and row["evidence_bottom"] in ("proven", "krylov") for row in rows)
    assert all(row["D_low"] > 2 and (row["D_high"] is None or row["D_low"] <= row["D_high"]) for row in rows)
    tables = cross_tables(store)
    assert len(tables) == 2 and all(table.record["deviation"] < 1e-4 for table in tables)
    assert all((table.relative(rank) <= 1 + 1e-4).all() for table in tables for rank in (0, -1))  # no vector beats the top one
    figure, table = plot(store, "thresholds", output=tmp_path / "thresholds.pdf")
    assert figure.path.stat().st_size > 5_000 and len(table.path.read_text().splitlines()) == 15


def test_random_weights_are_said_in_the_record(tmp_path):
    pytest.importorskip("efficientnet_lite_pytorch")
    words = ["model=efficientnet_lite0", "model.weights=random", "model.layer=_blocks.0", "images.grey=false", "images.size=32"]
    (task,) = make_plan([*words, "logger=none", "figure=null", "callbacks.progress.mode=quiet", f"store='{tmp_path}'"])
    run(task.config)
    assert Store(tmp_path).read(task.id).record["notes"] == [
        "efficientnet_lite0 has random weights: the result says nothing about a trained network"
    ]
