import json
import struct
import time

import pytest

from eigexp.errors import ConfigurationError, MissingDependencyError
from eigexp.training import TaskData, loggers
from eigexp.training.callbacks import EigenvalueCurves, ResultWriter
from tests.training.toys import module, task, trainer

# W&B's client and its protobuf are third parties: what they warn of on the way is not ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:wandb", "ignore::DeprecationWarning:google")


def records(path):
    """The records of a .wandb file: LevelDB's log framing after a header of 7 bytes, each record a protobuf message."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, whole = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        room = 32768 - position % 32768
        if room < 7:
            position += room
            continue
        _, size, kind = struct.unpack("<IHB", data[position : position + 7])
        if kind == 0:  # zeros that fill a block
            position += room
            continue
        whole += data[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (1, 4):  # full, last
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def closed(folder, name):
    """The .wandb file of a run, once W&B's own process has written its last record: `finish` does not wait for the disk."""
    deadline = time.monotonic() + 60
    while True:
        (path,) = folder.glob(f"wandb/offline-run-*-{name}/run-{name}.wandb")
        if any(record.WhichOneof("record_type") == "exit" for record in records(path)):
            return path
        assert time.monotonic() < deadline, f"{path} has no last record"
        time.sleep(0.05)


def history(path):
    rows = []
    for record in records(path):
        if record.WhichOneof("record_type") == "history":
            rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item})
    return rows


def fit(logger, tasks, *callbacks):
    work = module()
    trainer(EigenvalueCurves(), *callbacks, logger=logger).fit(work, TaskData(tasks))
    return work


def test_offline_wandb_has_every_eigenvalue_in_one_run_a_result(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")  # the setting wins
    from PIL import Image

    figure = tmp_path / "figure.png"
    Image.new("L", (8, 8)).save(figure)

    def write(done, pairs, curves, seconds):
        kept.update(zip(done.ids, curves, strict=True))
        return [{"record": {"id": i, "status": "budget"}, "figures": {"distortions": figure}} for i in done.ids]

    kept = {}
    logger = loggers.WandbRuns(save_dir=tmp_path, mode="offline", every=1)
    fit(logger, [task("aaa"), task("bbb", "ccc")], ResultWriter(write))
    assert logger.runs == []
    for name in ("aaa", "bbb", "ccc"):
        path = closed(tmp_path, name)
        rows = [row for row in history(path) if "eigenvalue/0" in row]
        assert [row["eigenvalue/0"] for row in rows] == [row["eigenvalue/0"] for row in kept[name]]
        assert [row["solver/step"] for row in rows] == list(range(1, 31))
        assert [row["solver/fisher_vector_products"] for row in rows] == [row["fisher_vector_products"] for row in kept[name]]
        assert any(key.startswith("figure/distortions") for row in history(path) for key in row)
        summaries = [r.summary for r in records(path) if r.WhichOneof("record_type") == "summary"]
        assert any(item.key == "status" and item.value_json == '"budget"' for s in summaries for item in s.update)
        run = next(r.run for r in records(path) if r.WhichOneof("record_type") == "run")
        assert (run.run_id, run.project, run.display_name) == (name, "eigexp", f"network {name}")


def test_wandb_sees_every_nth_step(tmp_path):
    fit(loggers.WandbRuns(save_dir=tmp_path, mode="offline", every=8), [task("aaa")])
    path = closed(tmp_path, "aaa")
    assert [row["solver/step"] for row in history(path)] == [8, 16, 24, 30]


def test_disabled_wandb_leaves_no_trace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(loggers.WandbRuns(mode="disabled"), [task("a")])
    monkeypatch.setenv("WANDB_MODE", "disabled")
    fit(loggers.WandbRuns(mode=None), [task("a")])
    assert not list(tmp_path.rglob("*.wandb"))


def test_an_unknown_mode_names_the_nearest():
    with pytest.raises(ConfigurationError, match=r"logger.wandb.mode=ofline is not a mode. Did you mean offline"):
        loggers.WandbRuns(mode="ofline")


def test_a_missing_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install mlflow"):
        loggers.mlflow()


@pytest.mark.parametrize("make", [loggers.tensorboard, loggers.mlflow])
def test_other_loggers_where_they_are_installed(make, tmp_path):
    try:
        logger = make(tmp_path / "logs")
    except MissingDependencyError as missing:
        pytest.skip(str(missing))
    fit(logger, [task("a")])
    assert list((tmp_path / "logs").rglob("*"))


def test_csv_has_one_file_a_result(tmp_path):
    fit(loggers.csv(tmp_path), [task("a"), task("b", "c")])
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.csv")) == [f"{i}/metrics.csv" for i in "abc"]
