import io
import re
from itertools import count
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

import eigexp.training.callbacks.progress as progress_module
import eigexp.training.task_state as task_state_module
from eigexp.errors import ConfigurationError
from eigexp.solvers.base import Progress
from eigexp.training import EigenModule, TaskData
from eigexp.training.callbacks import SolverProgress
from eigexp.training.callbacks.progress import _BarDisplay, _bounds, _certified, _View
from eigexp.training.time_left import TimeLeft, relative_residual
from tests.store.fakes import fake_pairs
from tests.training.toys import Power, task, trainer


class Slow(Power):
    steps = 0

    def step(self, A, state):
        Slow.steps += 1
        return super().step(A, state)


ENDS = (">= 12.5", "<= 3e-07")


def progress(residual=1e-3, done=False, fraction=None):
    return Progress("krylov", (0, 99), (12.5, 3e-7), (residual * 12.5, 0.0), 12.5, 1e-5, 246.0, 123, done, "running", fraction)


def fit(bar, capfd):
    trainer(bar).fit(EigenModule(Slow(), linearise="double_backward"), TaskData([task("a"), task("b", "c")]))
    return capfd.readouterr()


def test_plain_lines_where_there_is_no_terminal(capfd, monkeypatch):
    clock = count(0.0, 0.001)  # a thousandth at every look at it, and Slow's hundredth a step
    looked = SimpleNamespace(monotonic=lambda: next(clock) + 0.01 * Slow.steps)
    for place in (progress_module, task_state_module):
        monkeypatch.setattr(place, "time", looked)
    out, err = fit(SolverProgress(line_seconds=0.1), capfd)
    lines = [line for line in err.splitlines() if re.match(r"[a-c]\b", line)]
    assert out == "" and "\x1b" not in err
    assert 4 <= len(lines) <= 10
    pattern = r"a: step \d+, power, largest >= 2\.\d+, smallest -, residual \S+ \(tol 1e-09\), \d+ FVPs, 0\.\d s, (\?|[\d.]+ s) left"
    assert re.fullmatch(pattern, lines[0]), lines[0]
    assert lines[-1].startswith("b (+1): budget after 30 steps, 30 FVPs")


@pytest.mark.parametrize(
    ("index", "values", "texts"),
    [((0, 99), (12.5, 3e-7), (">= 12.4", "<= 1.23e-05")), ((0,), (12.5,), (">= 12.4", "-")), ((99,), (-5e-15,), ("-", "<= 1.2e-05"))],
)
def test_values_that_are_not_certified_are_bounds(index, values, texts):
    p = Progress("krylov", index, values, values, 12.5, 1e-5, 246.0, 123, False, "running")
    assert _bounds(p, 100, 2.0**-23) == texts


def test_the_last_line_says_the_certified_eigenvalues_and_no_value_that_its_interval_does_not_hold():
    exact = torch.tensor([[12.5, 12.5], [0.0, 0.448]], dtype=torch.float64)
    pairs = fake_pairs(eigenvalues=torch.tensor([12.5, -5.3e-15], dtype=torch.float64), intervals=exact)
    assert _certified(pairs) == ("12.5", "<= 0.448")


def test_quiet(capfd):
    out, err = fit(SolverProgress("quiet"), capfd)
    assert out == "" and "step" not in err


def drawn(width, color=True, **settings):
    stream = io.StringIO()
    display = _BarDisplay(Console(file=stream, force_terminal=True, width=width, no_color=not color))
    display.show(_View("camera", progress(**settings), ENDS, 12.0, 30.0, 0.25))
    display.finish(_View("camera", progress(done=True), ("12.5", "<= 3e-07"), 12.0, 0.0, 1.0))
    display.close()
    return stream.getvalue()


def test_the_bar_shows_all_there_is_on_one_line():
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn(140))
    line = text.split("\r")[0]
    parts = [
        "camera",
        "━",
        "step 123",
        "krylov",
        "max >= 12.5",
        "min <= 3e-07",
        "residual 1.0e-03/1e-05",
        "246 FVPs",
        "12 s, 30 s left",
    ]
    for part in parts:
        assert part in line
    assert "camera: running after 123 steps" in text


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_the_bar_drops_parts_instead_of_cutting_them(width):
    line = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn(width)).split("\r")[0]
    assert "camera" in line and "step 123" in line and "…" not in line
    assert len(line.rstrip("\n")) <= width


def test_no_color_is_heeded(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = io.StringIO()
    _BarDisplay(Console(file=stream, force_terminal=True, width=140)).show(_View("camera", progress(), ENDS, 1.0, None, 0.5))
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", stream.getvalue())


def test_drawing_is_throttled():
    bar = SolverProgress("bar", refresh_seconds=1000.0)
    shown = []
    host = trainer(bar)
    bar._open = lambda stream: type("D", (), {"show": lambda _, v: shown.append(v), "finish": lambda *_: None, "close": lambda _: None})()
    bar._interval = 1000.0
    host.fit(EigenModule(Power(), linearise="double_backward"), TaskData([task("a")]))
    assert len(shown) == 1


def test_time_left_follows_the_slope():
    left = TimeLeft()
    for second in range(5):
        left.add(second, 10.0**-second)
        assert (left.seconds(second, progress()) is None) == (second < 2)  # two points are no trend
    left.add(5, 1e-6)
    assert left.seconds(5, progress(1e-6)) is None  # beyond the tolerance: a check goes on, whose length residuals do not tell
    assert left.seconds(5, progress(1e-6, done=True)) == 0
    left = TimeLeft()
    for second in range(10):
        left.add(second, 10.0 ** (-second / 4))
    assert left.seconds(9, progress()) == pytest.approx(11)
    assert left.share(progress()) == pytest.approx(9 / 20)
    assert left.seconds(9, progress(fraction=0.25)) == 27


def test_time_left_is_unknown_without_progress():
    left = TimeLeft()
    for second in range(10):
        left.add(second, 1e-3)
    assert left.seconds(10, progress()) is None
    assert relative_residual(progress(float("nan"))) == float("inf")


def test_settings():
    with pytest.raises(ConfigurationError, match=r"progress.mode=plane is unknown. Did you mean plain"):
        SolverProgress("plane")
