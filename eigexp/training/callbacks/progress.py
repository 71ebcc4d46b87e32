"""Show progress: a bar on a terminal, a line every few seconds elsewhere. Updates are rare enough to cost microseconds per step."""

import math
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Literal, Protocol, TextIO

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar as Bar
from rich.table import Table
from rich.text import Text

from eigexp.errors import ConfigurationError, nearest
from eigexp.pairs import EigenPairs
from eigexp.solvers.base import Progress
from eigexp.store.labels import UNKNOWN, duration, eigenvalue_text, quantity_text
from eigexp.training.callbacks.task import TaskCallback
from eigexp.training.module import EigenModule
from eigexp.training.time_left import TimeLeft, relative_residual

_MODES = ("auto", "bar", "plain", "quiet")
_BAR_WIDTH = 16  # characters


class SolverProgress(ProgressBar, TaskCallback):
    """Shows the current task: image, step, largest and smallest eigenvalue, residual and tolerance, Fisher-vector products, time left.

    With several images it shows the one furthest from its tolerance. Writes to stderr, and respects NO_COLOR.

    Args:
        mode: "bar", "plain" (a line every few seconds), "quiet", or "auto": a bar where stderr is a terminal, else plain.
        refresh_seconds: minimum time between two updates of the bar.
        line_seconds: minimum time between two plain lines.
    """

    def __init__(self, mode: Literal["auto", "bar", "plain", "quiet"] = "auto", refresh_seconds: float = 0.2, line_seconds: float = 5.0):
        if mode not in _MODES:
            raise ConfigurationError(f"progress.mode={mode} is unknown. {nearest(mode, _MODES)}")
        super().__init__()
        self.mode, self.refresh_seconds, self.line_seconds = mode, refresh_seconds, line_seconds
        self._display: _Display | None = None
        self._interval = refresh_seconds
        self._next = 0.0
        self._left = TimeLeft()

    def disable(self) -> None:
        """Show nothing from now on; Lightning calls this."""
        self._close()
        self.mode = "quiet"

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Open the display."""
        self._display = self._open(sys.stderr)

    def on_task_start(self, trainer: Trainer, module: EigenModule) -> None:
        """Start a new estimate of the time left."""
        self._left = TimeLeft()
        self._next = 0.0

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Update the display if enough time has passed."""
        now = time.monotonic()
        if now < self._next or self._display is None:
            return
        self._next = now + self._interval
        self._display.show(self._view(pl_module, outputs["progress"]))

    def on_task_end(self, trainer: Trainer, module: EigenModule) -> None:
        """Print one line about the finished task."""
        if self._display is not None:
            self._display.finish(self._view(module, module.progress, module.eigenpairs()))

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Remove the bar."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Remove the bar."""
        self._close()

    def _open(self, stream: TextIO) -> "_Display | None":
        if self.mode == "quiet":
            return None
        console = Console(file=stream)
        live = console.is_terminal and not console.is_dumb_terminal
        jupyter = console.is_jupyter and find_spec("ipywidgets") is not None  # what rich draws a live bar with in a notebook
        if self.mode == "bar" or (self.mode == "auto" and (live or jupyter)):
            self._interval = self.refresh_seconds
            return _BarDisplay(console)
        self._interval = self.line_seconds
        return _PlainDisplay(lambda line: print(line, file=stream, flush=True))

    def _close(self) -> None:
        display, self._display = self._display, None
        if display is not None:
            display.close()

    def _view(self, module: EigenModule, progress: list[Progress], pairs: list[EigenPairs] | None = None) -> "_View":
        assert module.task is not None
        slowest = max(range(len(progress)), key=lambda i: (not progress[i].done, relative_residual(progress[i])))
        p = progress[slowest]
        seconds = module.seconds
        self._left.add(seconds, relative_residual(p))
        names = module.task.names
        more = f" (+{len(names) - 1})" if len(names) > 1 else ""
        operator = module.operator
        ends = _certified(pairs[slowest]) if pairs else _bounds(p, operator.shape.n, torch.finfo(operator.dtype).eps)
        left = self._left.seconds(seconds, p)
        return _View(module.task.description or names[slowest] + more, p, ends, seconds, left, self._left.share(p))


class _View:
    """The values to show, as text; `ends` are the largest and the smallest eigenvalue."""

    def __init__(self, image: str, progress: Progress, ends: tuple[str, str], seconds: float, left: float | None, share: float | None):
        self.image, self.progress, self.share = image, progress, share
        self.largest, self.smallest = ends
        residual = relative_residual(progress)
        self.residual = f"{residual:.1e}" if residual < float("inf") else UNKNOWN
        self.seconds, self.left = duration(seconds), "?" if left is None else duration(left)

    def line(self) -> str:
        """Return one line about a running task."""
        p = self.progress
        return (
            f"{self.image}: step {p.steps}, {p.phase}, largest {self.largest}, smallest {self.smallest}, "
            f"residual {self.residual} (tol {p.tolerance:.0e}), {p.fisher_vector_products:.0f} FVPs, {self.seconds}, {self.left} left"
        )

    def outcome(self) -> str:
        """Return one line about a finished task."""
        p = self.progress
        status = p.status if p.done else "ended"
        return (
            f"{self.image}: {status} after {p.steps} steps, {p.fisher_vector_products:.0f} FVPs, {self.seconds}; "
            f"largest {self.largest}, smallest {self.smallest}, residual {self.residual}"
        )

    def table(self, width: int) -> Table:
        """Return one line with a bar: of its parts, the most important that fit into `width` characters."""
        p = self.progress
        parts: list[tuple[int, str | Bar, str]] = [
            (0, self.image, "bold"),
            (4, Bar(total=1.0, completed=self.share or 0.0, width=_BAR_WIDTH), ""),
            (1, f"step {p.steps}", "cyan"),
            (7, p.phase, "dim"),
            (5, f"max {self.largest}", "green"),
            (6, f"min {self.smallest}", "magenta"),
            (2, f"residual {self.residual}/{p.tolerance:.0e}", "yellow"),
            (8, f"{p.fisher_vector_products:.0f} FVPs", "cyan"),
            (3, f"{self.seconds}, {self.left} left", "dim"),
        ]
        keep, free = {0}, width - 1
        for importance, part, _ in sorted(parts, key=lambda entry: entry[0]):
            free -= 1 + (_BAR_WIDTH if isinstance(part, Bar) else len(part))
            if free >= 0:
                keep.add(importance)
        grid = Table.grid(padding=(0, 1), expand=False)
        kept = [(part, style) for importance, part, style in parts if importance in keep]
        for _ in kept:
            grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_row(*(part if isinstance(part, Bar) else Text(part, style) for part, style in kept))
        return grid


class _Display(Protocol):
    def show(self, view: _View) -> None: ...

    def finish(self, view: _View) -> None: ...

    def close(self) -> None: ...


class _BarDisplay:
    def __init__(self, console: Console):
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def show(self, view: _View) -> None:
        self._live.update(view.table(self._live.console.width), refresh=True)

    def finish(self, view: _View) -> None:
        self._live.update(Text(""))
        self._live.console.print(Text(view.outcome()), soft_wrap=True)

    def close(self) -> None:
        self._live.update(Text(""))
        self._live.stop()


class _PlainDisplay:
    def __init__(self, write: Callable[[str], None]):
        self._write = write
        self._began = time.monotonic()
        self._first = True

    def show(self, view: _View) -> None:
        if not self._first:
            self._write(view.line())
        self._first = False

    def finish(self, view: _View) -> None:
        self._first = True
        self._write(view.outcome())

    def close(self) -> None:
        """Do nothing."""


def _bounds(progress: Progress, n: int, eps: float) -> tuple[str, str]:
    """Return what Ritz values say of the largest and the smallest eigenvalue before a certificate: each is a bound, up to rounding."""
    found = dict(zip(progress.eigenindex, progress.eigenvalues, strict=True))
    rounding = 8 * eps * progress.largest
    largest, smallest = found.get(0, math.nan) - rounding, max(found.get(n - 1, math.nan), 0.0) + rounding
    return quantity_text(None, (largest, None)), quantity_text(None, (0.0, smallest))


def _certified(pairs: EigenPairs) -> tuple[str, str]:
    """Return the largest and the smallest eigenvalue of a result, as every table says them."""
    texts = []
    for end, index in (("top", 0), ("bottom", pairs.n - 1)):
        at = pairs.eigenindex.tolist().index(index) if index in pairs.eigenindex.tolist() else None
        known = (None, (None, None)) if at is None else (float(pairs.eigenvalues[at]), pairs.intervals[at].tolist())
        texts.append(eigenvalue_text(*known, pairs.evidence[end]))
    return texts[0], texts[1]
