import csv

import pytest
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import DummyLogger

from eigexp.errors import ConfigurationError
from eigexp.training import TaskData, loggers
from eigexp.training.callbacks import EigenvalueCurves
from tests.training.toys import Power, SaveAt, module, task, trainer


class Recorder(DummyLogger):
    """Keeps what it is given, and in how many calls apart from the fit's steps."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def log_metrics(self, metrics, step=None):
        self.seen.append((dict(metrics), step))


def fit(curves, logger, tasks, *others, resume=None, solver=None):
    work = module(solver)
    trainer(curves, *others, logger=logger).fit(work, TaskData(tasks), ckpt_path=resume)
    return work


def test_every_step_is_logged_with_its_own_step_keys():
    recorder, curves = Recorder(), EigenvalueCurves(buffer=7)
    work = fit(curves, recorder, [task("a")])
    assert [m["solver/step"] for m, _ in recorder.seen] == list(range(1, 31)) == [step for _, step in recorder.seen]
    assert [m["top/1/eigenvalue"] for m, _ in recorder.seen] == work.state.images[0].history.tolist()
    assert all(m["solver/fisher_vector_products"] == m["solver/step"] for m, _ in recorder.seen)
    assert [row["step"] for row in curves.rows[0]] == list(range(1, 31))


def test_images_are_told_apart_by_name_and_stop_when_done():
    recorder, curves = Recorder(), EigenvalueCurves()
    work = fit(curves, recorder, [task("a", "b")], solver=Power(tol=2e-4, max_steps=300))
    steps = [p.steps for p in work.progress]
    assert steps[0] != steps[1]
    assert [len(rows) for rows in curves.rows] == steps
    assert {key.split("/")[0] for m, _ in recorder.seen for key in m} == {"a", "b"}


def test_rows_are_buffered_and_flushed_on_exceptions():
    recorder = Recorder()

    class Breaks(Power):
        def step(self, A, state):
            if state.images[0].steps == 15:
                assert len(recorder.seen) == 10  # one full buffer
                raise RuntimeError("out of luck")
            return super().step(A, state)

    with pytest.raises(RuntimeError, match="out of luck"):
        fit(EigenvalueCurves(buffer=10), recorder, [task("a")], solver=Breaks())
    assert len(recorder.seen) == 15


def test_every_nth_and_the_last():
    recorder = Recorder()
    fit(EigenvalueCurves(every=7), recorder, [task("a")])
    assert [m["solver/step"] for m, _ in recorder.seen] == [7, 14, 21, 28, 30]


@pytest.mark.parametrize("make", [lambda p: CSVLogger(p), lambda p: loggers.csv(p)], ids=["Lightning's", "one a result"])
def test_csv_files_are_whole_after_a_resume(tmp_path, make):
    path = tmp_path / "x.ckpt"
    fit(EigenvalueCurves(), make(tmp_path), [task("c"), task("a")], SaveAt(45, path))
    curves = EigenvalueCurves()
    work = fit(curves, make(tmp_path), [task("c"), task("a")], resume=path)
    files = sorted(tmp_path.rglob("metrics.csv"), key=lambda p: p.stat().st_mtime_ns)
    rows = list(csv.DictReader(files[-1].read_text().splitlines()))
    assert [int(row["solver/step"]) for row in rows] == list(range(1, 31))
    assert [float(row["top/1/eigenvalue"]) for row in rows] == work.state.images[0].history.tolist()
    assert [row["step"] for row in curves.rows[0]] == list(range(1, 31))


def test_without_a_logger_rows_are_kept():
    curves = EigenvalueCurves()
    fit(curves, False, [task("a")])
    assert len(curves.rows[0]) == 30


def test_settings():
    with pytest.raises(ConfigurationError, match=r"curves.buffer=0"):
        EigenvalueCurves(buffer=0)
