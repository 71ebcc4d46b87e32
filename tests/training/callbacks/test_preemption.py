import os
import signal

import pytest
from lightning.pytorch import Callback

from eigexp.errors import ConfigurationError
from eigexp.training import TaskData
from eigexp.training.callbacks import Checkpoint, PreemptionGuard, ResultWriter
from tests.training.toys import Power, module, numbers, same, task, trainer


class Signalled(Power):
    """Signals its own process in the middle of step 12."""

    signum = signal.SIGTERM

    def step(self, A, state):
        if state.images[0].steps == 11:
            os.kill(os.getpid(), self.signum)
        return super().step(A, state)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR2", "SIGINT"])
def test_a_signal_saves_and_stops_at_the_end_of_its_step(tmp_path, name, order):
    before = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)]
    guard = PreemptionGuard()
    callbacks = [guard, Checkpoint(tmp_path)]
    solver = Signalled()
    object.__setattr__(solver, "signum", signal.Signals[name])
    written = []
    work = module(solver)
    trainer(*(callbacks[i] for i in order), ResultWriter(lambda *args: written.append(args))).fit(work, TaskData([task("a")]))
    assert guard.signum == signal.Signals[name]
    assert work.progress[0].steps == 12 and not written
    assert [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)] == before

    resumed, whole = module(), module()
    trainer().fit(resumed, TaskData([task("a")]), ckpt_path=tmp_path / "a.ckpt")
    trainer().fit(whole, TaskData([task("a")]))
    assert same(numbers(resumed), numbers(whole))


def test_a_signal_while_results_are_written_begins_no_further_task():
    guard, written = PreemptionGuard(), []

    def write(done, *_):
        written.append(done.ids)
        os.kill(os.getpid(), signal.SIGTERM)

    trainer(guard, ResultWriter(write)).fit(module(), TaskData([task("a"), task("b")]))
    assert written == [("a",)] and guard.signum == signal.SIGTERM


def test_handlers_come_back_after_an_exception():
    before = signal.getsignal(signal.SIGUSR2)

    class Breaks(Callback):
        def on_train_batch_end(self, *_):
            raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        trainer(PreemptionGuard(), Breaks()).fit(module(), TaskData([task("a")]))
    assert signal.getsignal(signal.SIGUSR2) is before


def test_a_second_interrupt_does_not_wait():
    guard = PreemptionGuard()
    guard._on_signal(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        guard._on_signal(signal.SIGINT, None)


def test_unknown_signals():
    with pytest.raises(ConfigurationError, match="SIGNOPE"):
        PreemptionGuard(["SIGNOPE"])
