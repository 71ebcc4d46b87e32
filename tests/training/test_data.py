"""Tasks as epochs, without a fit: which tasks are a process's, and where a resumed run goes on."""

from types import SimpleNamespace

import pytest

from eigexp.errors import CheckpointError
from eigexp.training import TaskData
from eigexp.training.processes import Processes
from eigexp.training.strategy import BlockStrategy, IndependentStrategy
from tests.training.toys import task


def shared_out(num_tasks, rank, world_size, strategy=IndependentStrategy):
    """The data of one process, after its set-up."""
    data = TaskData([task(str(i)) for i in range(num_tasks)])
    there = strategy(world_size, "cpu", Processes(rank, world_size, rank, started=True))
    data.trainer = SimpleNamespace(strategy=there, global_rank=rank, world_size=world_size)
    data.setup("fit")
    return data


def ids(data):
    """The ids of the tasks of each epoch, to the end."""
    found, epoch = [], 0
    while (one := data.task(epoch)) is not None:
        found.append(one.ids[0])
        assert data.is_last(epoch) == (data.task(epoch + 1) is None)
        epoch += 1
    return found


def test_independent_processes_take_turns():
    assert [ids(shared_out(5, rank, 2)) for rank in (0, 1)] == [["0", "2", "4"], ["1", "3"]]


def test_the_processes_of_a_block_solve_the_same_tasks():
    assert [ids(shared_out(3, rank, 2, BlockStrategy)) for rank in (0, 1)] == [["0", "1", "2"]] * 2


@pytest.mark.parametrize(("saved", "epoch", "left"), [("4", 1, ["4"]), ("2", 1, ["2", "4"]), ("0", 0, ["0", "2", "4"])])
def test_a_resumed_process_goes_on_with_the_task_of_its_checkpoint(saved, epoch, left):
    data = shared_out(5, 0, 2)
    data.load_state_dict({"ids": [saved], "epoch": epoch})
    assert [data.task(e).ids[0] for e in range(epoch, epoch + len(left))] == left
    assert data.task(epoch + len(left)) is None and data.is_last(epoch + len(left) - 1)


def test_a_checkpoint_of_another_process_is_refused():
    with pytest.raises(CheckpointError, match="belongs to the results 1"):
        shared_out(4, 0, 2).load_state_dict({"ids": ["1"], "epoch": 0})
