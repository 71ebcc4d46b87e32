import dataclasses

import pytest
import torch

from eigexp.operators import SharedOperator, linearise
from eigexp.training import TaskData, task_state
from eigexp.training.task_state import TaskState, load_state
from tests.training.toys import Power, module, task, trainer


@dataclasses.dataclass(frozen=True)
class Pairs:
    notes: tuple[str, ...] = ("first",)


def made(max_steps=30, **settings):
    given, solver = task("a"), Power(max_steps=max_steps)
    A = linearise(given.model, given.pixels(), method="double_backward")
    state = solver.init(A, 0)
    return TaskState(given, A, solver, state, solver.progress(state), **settings)


@pytest.fixture
def certified(monkeypatch):
    """The operators that were certified with; nothing is computed."""
    seen = []

    def certify(A, *_, **__):
        seen.append(A)
        return [Pairs()]

    monkeypatch.setattr(task_state, "certify", certify)
    return seen


def test_seconds_before_a_resume_count():
    assert 100 <= made(seconds_before=100.0).seconds < 1000
    assert made(seconds_before=100.0).to_checkpoint({}, "auto")["seconds"] >= 100


def test_seconds_before_a_resume_come_with_the_checkpoint(tmp_path):
    work = module()
    host = trainer(max_steps=1)
    host.fit(work, TaskData([task("a")]))
    path = tmp_path / "a.ckpt"
    host.save_checkpoint(path)
    saved = torch.load(path, weights_only=True)
    saved["eigexp"]["seconds"] = 5000.0
    torch.save(saved, path)
    again = module()
    trainer(max_steps=2).fit(again, TaskData([task("a")]), ckpt_path=path)
    assert again.seconds >= 5000


def test_a_certificate_is_made_once_for_each_state(certified):
    work = made()
    assert work.eigenpairs() is work.eigenpairs()
    assert len(certified) == 1
    work.state, work.progress = work.next_step()
    work.eigenpairs()
    assert len(certified) == 2


def test_a_certificate_needs_no_other_process(certified):
    work = made()
    alone = work.operator
    work.operator = SharedOperator(alone, 0, 2, lambda _: pytest.fail("the other process was asked"))
    work.eigenpairs()
    assert certified == [alone]


def test_why_a_task_was_ended_is_noted_unless_it_was_done_anyway(certified):
    work = made(max_steps=1)
    assert not work.over
    work.ended = "time is up"
    assert work.over
    assert work.to_checkpoint({}, "auto")["over"]
    assert work.eigenpairs()[0].notes == ("first", "time is up")
    work.state, work.progress = work.next_step()
    assert work.done
    assert work.eigenpairs()[0].notes == ("first",)


def test_tensors_go_back_to_the_device_that_they_came_from():
    work = made()
    entry = work.to_checkpoint({}, "auto")
    assert entry["on_device"] == []
    entry["on_device"] = ["0.history"]
    loaded = load_state(entry, work.solver, torch.device("meta")).to_dict()
    assert loaded["0.history"].device.type == "meta"
    assert loaded["0.request.block"].device.type == "cpu"
