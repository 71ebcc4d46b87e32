import importlib.util
import math

import pytest

from eigexp.errors import MissingDependencyError
from eigexp.store.metric_names import SUMMARY
from eigexp.training import TaskData, loggers
from eigexp.training.callbacks import EigenvalueCurves, ResultWriter
from tests.training.toys import module, task, trainer

# W&B's client and its protobuf are third parties: what they warn of on the way is not ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:wandb", "ignore::DeprecationWarning:google")


WANTED = {"lambda_max": 4.0, "lambda_min_bound": 0.6, "D_lower": 0.5 * math.log(3.9 / 0.6), "threshold_top": 0.5, "verified": 1.0}


def fit(logger, tasks, *callbacks):
    work = module()
    trainer(EigenvalueCurves(), *callbacks, logger=logger).fit(work, TaskData(tasks))
    return work


@pytest.mark.parametrize(
    ("make", "absent"), [(loggers.mlflow, "sqlalchemy"), (loggers.mlflow, "mlflow"), (loggers.tensorboard, "tensorboard")]
)
def test_a_missing_package_says_how_to_get_it(monkeypatch, make, absent):
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == absent else found(name))
    with pytest.raises(MissingDependencyError, match=rf"needs the package {absent}. Run: pip install 'eigexp\[loggers\]'"):
        make()


def fitted(logger):
    """The rows of two tasks of three images, which a logger saw every so-many steps."""
    kept = {}

    def write(done, pairs, curves, seconds):
        kept.update(zip(done.ids, curves, strict=True))
        pair = {"eigenindex": [0, 15], "eigenvalues": [4.0, 0.5], "intervals": [[3.9, 4.1], [0.0, 0.6]], "n": 16}
        return [{"record": {**pair, "verified": True, "steps": 30}} for _ in done.ids]

    fit(logger, [task("a"), task("b", "c")], ResultWriter(write))
    return kept


def test_tensorboard_has_every_curve(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    kept = fitted(loggers.tensorboard(tmp_path, every=4))
    for id, rows in kept.items():
        read = events.EventAccumulator(str(tmp_path / id), size_guidance={"scalars": 0})
        read.Reload()
        for name, key in (("top/1/eigenvalue", "eigenvalue/0"), ("top/1/residual", "residual/0")):
            scalars = {event.step: event.value for event in read.Scalars(name)}
            wanted = {row["step"]: row[key] for row in rows if row["step"] % 4 == 0 or row is rows[-1]}
            assert scalars == pytest.approx(wanted)
        assert {key: read.Scalars(key)[-1].value for key in SUMMARY} == pytest.approx(WANTED)


# SQLAlchemy 2.1 deprecates a loader that MLflow 3.17 still uses; nothing of ours is involved.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ..noload.. loader strategy is deprecated")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow", "ignore::DeprecationWarning:alembic")
def test_mlflow_has_every_curve_and_says_what_a_run_is_of(tmp_path):
    client_of = pytest.importorskip("mlflow").MlflowClient
    pytest.importorskip("sqlalchemy")
    kept = fitted(loggers.mlflow(tmp_path / "deep", every=4))
    client = client_of(f"sqlite:///{tmp_path}/deep/mlflow.db")
    runs = {run.info.run_name: run for run in client.search_runs([client.get_experiment_by_name("eigexp").experiment_id])}
    assert set(runs) == set(kept) == {"a", "b", "c"}
    for id, rows in kept.items():
        history = client.get_metric_history(runs[id].info.run_id, "top/1/eigenvalue")
        wanted = {row["step"]: row["eigenvalue/0"] for row in rows if row["step"] % 4 == 0 or row is rows[-1]}
        assert {metric.step: metric.value for metric in history} == wanted
        assert runs[id].info.status == "FINISHED"
        assert {key: runs[id].data.metrics[key] for key in SUMMARY} == pytest.approx(WANTED)
        tags = runs[id].data.tags
        assert (tags["model"], tags["layer"], tags["image"]) == ("network", "output", id)


def test_csv_has_one_file_a_result(tmp_path):
    fit(loggers.csv(tmp_path), [task("a"), task("b", "c")])
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.csv")) == [f"{i}/metrics.csv" for i in "abc"]


def killed_twice(make, the_end=lambda logger: None):
    """400 steps of one result, of which a new process begins twice, each time from a checkpoint of some steps before the kill."""
    for begin, end, last in ((0, 150, False), (120, 290, False), (270, 400, True)):
        logger = make()
        logger.begin(task("a"), [begin])
        for step in range(begin + 1, end + 1):
            logger.log_image_metrics(0, {"solver/step": step, "top/1/eigenvalue": float(step)}, step)
        if last:
            logger.close("success")
        else:
            the_end(logger)  # a kill leaves a run as it is


def test_tensorboard_has_400_rows_after_two_kills(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    killed_twice(lambda: loggers.tensorboard(tmp_path), lambda logger: logger.runs[0].experiment.flush())
    read = events.EventAccumulator(str(tmp_path / "a"), size_guidance={"scalars": 0})
    read.Reload()
    assert [event.step for event in read.Scalars("top/1/eigenvalue")] == list(range(1, 401))


@pytest.mark.slow(7)
@pytest.mark.filterwarnings("ignore:The ..noload.. loader strategy is deprecated")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow", "ignore::DeprecationWarning:alembic")
def test_mlflow_has_one_run_of_400_rows_after_two_kills(tmp_path):
    client_of = pytest.importorskip("mlflow").MlflowClient
    pytest.importorskip("sqlalchemy")
    killed_twice(lambda: loggers.mlflow(tmp_path))
    client = client_of(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("eigexp").experiment_id])
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "top/1/eigenvalue")
    assert [metric.step for metric in history] == list(range(1, 401))
