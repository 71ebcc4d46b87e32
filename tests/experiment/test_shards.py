"""Runs and sweeps that store their results in shards: the numbers of folders, in two files a batch."""

import json
import logging

import numpy as np
import pytest

from eigexp.cli import main
from eigexp.config.compose import compose
from eigexp.errors import ConfigurationError
from eigexp.experiment import fitting
from eigexp.experiment.run import RunOutcome, run
from eigexp.report import page
from eigexp.store import Store
from eigexp.store.maintenance import verify
from eigexp.store.owner import is_own
from eigexp.sweep.plan import make_plan
from eigexp.sweep.task_files import write_tasks
from eigexp.sweep.task_status import StatusReader
from eigexp.sweep.worker import run_task
from tests.docs.documented import ROOT, arguments, commands, replaced

COUNT, BATCH = 10, 4
WORDS = [
    "model._target_=tests.experiment.digits.Network",
    "images=dataset",
    "images.dataset._target_=tests.experiment.digits.Digits",
    f"images.batch_size={BATCH}",
    "solver=auto",
    "callbacks.progress.mode=quiet",
]


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EIGEXP_KEY_FILE", str(tmp_path / "key"))
    return Store(tmp_path / "results")


def compute(*words: str) -> RunOutcome:
    return run(compose([*WORDS, "store=results", "shards=true", *words]))


def shards(store: Store) -> int:
    return len(list(store.shards))


@pytest.mark.slow(2)
def test_a_run_stores_a_shard_for_each_batch_with_the_numbers_of_folders(store, tmp_path):
    outcome = compute()
    assert outcome.exit_code == 0 and len(outcome.statuses) == COUNT and len(outcome.shards) == 3 and not outcome.folders
    assert sorted(path.name for path in store.root.iterdir()) == ["checkpoints", "shards"] and not list(
        (store.root / "checkpoints").iterdir()
    )
    assert verify(store) == [] and all(is_own(store, id) for id in store.ids())
    run(compose([*WORDS, "store=apart", "logger=none", "figure.draw=false"]))
    apart = Store(tmp_path / "apart")
    assert store.ids() == apart.ids() and len(store.ids()) == COUNT
    for id in store.ids():
        one, other = store.read(id), apart.read(id)
        assert all(np.array_equal(one.arrays[name], other.arrays[name]) for name in other.arrays)
        assert one.record["settings"] == other.record["settings"] and one.record["response"] == other.record["response"]
        assert one.record["fisher_vector_products"] <= 5 + 3  # ten gradients are five products; the rest is overhead
    again = compute()
    assert set(again.reused) == set(store.ids()) and again.exit_code == 0 and again.shards == outcome.shards


def test_a_killed_run_goes_on_with_the_batches_that_have_no_shard(store, monkeypatch):
    write, calls = fitting.StoreWriter.write_task, []

    def write_or_die(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(*args)

    monkeypatch.setattr(fitting.StoreWriter, "write_task", write_or_die)
    with pytest.raises(BaseException):  # noqa: B017 - whatever Lightning makes of it
        compute()
    assert (shards(store), len(store.ids())) == (1, BATCH)
    first = next(iter(store.shards)).path
    before = first.read_bytes()
    outcome = compute()
    assert outcome.exit_code == 0 and len(outcome.reused) == BATCH and (shards(store), len(store.ids())) == (3, COUNT)
    assert first.read_bytes() == before and len(calls) == 4


def test_a_damaged_shard_is_computed_again_with_one_warning(store, caplog):
    compute()
    numbers = {id: store.read(id).record["eigenvalues"] for id in store.ids()}
    shard = next(iter(store.shards))
    tensors = shard.files[1]
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        outcome = compute()
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert f"The shard {tensors.stem} failed verification (" in line and "recomputing" in line and "\n" not in line
    assert outcome.exit_code == 0 and len(outcome.reused) == COUNT - len(shard.positions) and shards(store) == 3
    assert {id: store.read(id).record["eigenvalues"] for id in store.ids()} == numbers and verify(store) == []
    assert len(list((store.root / ".corrupt").iterdir())) == 2


@pytest.mark.slow(2)
def test_a_task_of_a_sweep_is_a_shard(store):
    plan = make_plan([*WORDS, "store=results", "shards=true"])
    tasks = list(plan)
    write_tasks(plan.store, tasks, {})
    assert [task.state for task in StatusReader(store).all()] == ["to do"] * 3
    reports = [run_task(plan.store, task.id, lambda config, ids, cache: run(config, only=ids, cache=cache), None)[0] for task in tasks]
    assert {report.state for report in reports} == {"done"} and (shards(store), len(store.ids())) == (3, COUNT)
    found = StatusReader(store).with_results(StatusReader(store).all())
    assert sorted(len(task.job["ids"]) for task in found) == [2, 4, 4]
    assert {(task.state, task.detail) for task in found} == {("done", "")}
    assert len([path for path in store.root.glob("??/*") if path.is_dir()]) == 3 and verify(store) == []


def test_several_layers_have_shards_of_their_own_and_no_file_for_each_image(store):
    outcome = compute("model.layer=['2','5']", "images.indices=[0,1,2]", f"images.batch_size={COUNT}")
    assert outcome.exit_code == 0 and not outcome.tables and (len(outcome.statuses), len(outcome.shards)) == (6, 2)
    assert {record["layer"] for record in store.records()} == {"2", "5"} and verify(store) == []
    assert all(len({store.read(id).record["layer"] for id in shard.positions}) == 1 for shard in store.shards)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["images.batch_size=1"], "a batch is 1 image. Set images.batch_size=256"),
        (["store=memory://bucket/x"], "store=memory://bucket/x is a bucket"),
    ],
)
def test_shards_that_cannot_be_are_refused_before_anything_is_computed(store, words, message):
    with pytest.raises(ConfigurationError, match=message):
        compute(*words)


@pytest.mark.slow(1)
def test_the_documented_command(store, monkeypatch):
    pytest.importorskip("sklearn")
    (documented,) = [command for command in commands() if "shards=true" in command]
    monkeypatch.syspath_prepend(ROOT / "examples")
    assert main([*replaced(arguments(documented)[1:], ["images.batch_size=2"]), "images.indices=[0,1,1797]", "store=results"]) == 0
    assert (len(store.ids()), shards(store)) == (3, 2) and {record["m"] for record in store.records()} == {10}
    assert max(record["fisher_vector_products"] for record in store.records()) <= 5 + 3


@pytest.mark.slow(3)
def test_every_command_shows_results_in_shards(store, capsys, monkeypatch):
    assert main(["run", *WORDS, "store=results", "shards=true"]) == 0
    printed = capsys.readouterr()
    assert f"{COUNT} results in 3 shards ({COUNT} converged); `eigexp results` shows them" in printed.err
    assert printed.out.splitlines()[-1].endswith(".parquet")
    at = ["--store", "results"]
    id = store.ids()[0]

    def said(*words: str) -> str:
        assert main([*words, *at]) == 0, words
        return capsys.readouterr().out

    assert len(json.loads(said("results", "--format", "json"))) == COUNT
    assert said("results", "--pairs", "--format", "csv").count("\n") == 2 * COUNT + 1
    assert "3 tasks: 3 done" in said("status")
    assert said("report", "--output", "page.html") and "eigexp store unpack" in (store.root.parent / "page.html").read_text()
    monkeypatch.setattr(page, "MAX_RESULTS", COUNT - 1)
    assert main(["report", *at]) == 2 and "A page of 10 results is too large for a browser; 9 is the limit" in capsys.readouterr().err
    assert said("plot", "distortions", id, "--output", "figure.png") and said("plot", "compare", "--output", "compare.pdf")
    assert "images in" in said("export", id, "--alpha", "0.5", "--output", "stimuli")
    assert said("cross", "--where", "image=00000", "--models", "lg", "--format", "csv").count("\n") == 3
    assert not said("store", "verify") and not said("store", "prune")
    assert said("store", "unpack", id[:8]).strip() == str(store.path(id)) and store.shard_of(id) is None
    assert main(["store", "merge", "results", "--store", "copy"]) == 0
    assert f"{COUNT} results copied" in capsys.readouterr().out and Store("copy").ids() == store.ids()
    assert main(["run", *WORDS, "store=results", "shards=true", "optimized_metric=D_lower"]) == 2
