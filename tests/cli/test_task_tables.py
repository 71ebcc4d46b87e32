"""Tables of tasks in a narrow terminal."""

import io

import pytest
from rich.console import Console

from eigexp.cli.task_tables import status_table
from eigexp.sweep.task_status import DONE, FAILED, NOT_MET, TaskStatus


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_narrow_terminal_cuts_the_overrides_and_nothing_else(width):
    job = {"model": "efficientnet", "names": ["camera", "coins"], "overrides": ["model=efficientnet", "images.size=64", "seed=1"]}
    tasks = [TaskStatus("1302db8d4fd77b21", DONE, job, NOT_MET), TaskStatus("2302db8d4fd77b21", FAILED, job, "the model raised an error")]
    stream = io.StringIO()
    Console(file=stream, width=width).print(status_table(tasks))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= width
    whole = ["1302db8d4fd77b21", "2302db8d4fd77b21", "efficientnet ", "camera, coins", DONE, FAILED]
    assert all(word in text for word in whole)
    assert all(word in text.split() for word in ["the", "model", "raised", "an", "error", "tolerance", "not", "met"])
