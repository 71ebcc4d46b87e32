from types import SimpleNamespace

import pytest
from lightning.pytorch import Callback

from eigexp.errors import ConfigurationError
from eigexp.training import AtomicCheckpointIO, TaskData
from eigexp.training.callbacks import Checkpoint, ResultWriter
from tests.training.toys import Power, module, numbers, same, task, trainer


class Files(Callback):
    """Which files lie in a folder after each step; runs before the checkpoint is saved."""

    def __init__(self, folder):
        self.folder, self.seen = folder, []

    def on_train_batch_end(self, *_):
        self.seen.append(sorted(p.name for p in self.folder.glob("**/*") if p.is_file()))


def test_saves_every_nth_step_and_at_the_end_one_file_a_task(tmp_path):
    files = Files(tmp_path)
    checkpoint = Checkpoint(tmp_path, every_steps=8)
    host = trainer(checkpoint, files)
    host.fit(module(), TaskData([task("a"), task("b", "c")]))
    assert isinstance(host.strategy.checkpoint_io, AtomicCheckpointIO)
    assert files.seen[7] == [] and files.seen[8] == ["a.ckpt"] and files.seen[30 + 8] == ["a.ckpt", "b.ckpt"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.ckpt", "b.ckpt"]


def test_the_file_of_the_end_goes_straight_to_the_results(tmp_path):
    trainer(Checkpoint(tmp_path)).fit(first := module(), TaskData([task("a")]))
    written = []
    work = module()
    host = trainer(Checkpoint(tmp_path), ResultWriter(lambda *args: written.append(args)))
    host.fit(work, TaskData([task("a")]), ckpt_path=tmp_path / "a.ckpt")
    assert host.global_step == 30 and same(numbers(work), numbers(first))
    assert len(written) == 1


def test_the_file_goes_when_the_results_are_written(tmp_path):
    left = []

    def write(written, *_):
        left.append((written.ids, [p.name for p in tmp_path.iterdir()]))

    trainer(Checkpoint(tmp_path), ResultWriter(write)).fit(module(), TaskData([task("a"), task("b")]))
    assert left == [(("a",), ["a.ckpt"]), (("b",), ["b.ckpt"])]
    assert not list(tmp_path.iterdir())


def test_a_writer_that_fails_leaves_the_file(tmp_path):
    def write(*_):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        trainer(Checkpoint(tmp_path), ResultWriter(write)).fit(module(), TaskData([task("a")]))
    assert (tmp_path / "a.ckpt").exists()


def test_saves_by_the_clock_at_a_path_given_by_a_function(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("eigexp.training.callbacks.checkpoint.time", SimpleNamespace(monotonic=lambda: now[0]))

    class Slow(Power):
        def step(self, A, state):
            now[0] += 0.01
            return super().step(A, state)

    files = Files(tmp_path)
    checkpoint = Checkpoint(lambda t: tmp_path / t.model_name / "state.ckpt", every_seconds=0.05)
    trainer(checkpoint, files).fit(module(Slow()), TaskData([task("a")]))
    assert files.seen[4] == [] and files.seen[7] == ["state.ckpt"]


def test_saves_where_the_fit_is_stopped(tmp_path):
    class Stop(Callback):
        def on_train_batch_end(self, host, *_):
            host.should_stop = host.global_step == 11

    trainer(Checkpoint(tmp_path), Stop()).fit(module(), TaskData([task("a")]))
    work = module()
    host = trainer(max_steps=11 + 6)
    host.fit(work, TaskData([task("a")]), ckpt_path=tmp_path / "a.ckpt")
    assert work.progress[0].steps == 17


def test_settings():
    with pytest.raises(ConfigurationError, match=r"checkpoint.every_steps=0"):
        Checkpoint(every_steps=0)
