"""A logger that fails where it is told to."""

from typing import Any

from eigexp.training.loggers import ResultLogger


class Failing:
    """A run that fails."""

    def __init__(self, at: str):
        self.at = at
        self._fail("opened")

    def _fail(self, stage: str) -> None:
        if stage == self.at:
            raise OSError("no space")

    def log_metrics(self, metrics: Any, step: int) -> None:
        self._fail("written to")

    def log_result(self, result: Any) -> None:
        self._fail("given the result")

    def finalize(self, status: str) -> None:
        self._fail("closed")


class FailingLogger(ResultLogger):
    def log_result(self, image: int, result: Any) -> None:
        self.runs[image].log_result(result)


def failing(at: str) -> ResultLogger:
    return FailingLogger(lambda task, image: Failing(at))
