"""Resuming through the command: what cannot be trusted is told, set aside, and done anew."""

import os
import signal
import time

import pytest
import torch

from eigexp.cli import main
from eigexp.store import Store
from eigexp.store.folders import QUARANTINE
from eigexp.store.maintenance import prune, verify
from eigexp.training import AtomicCheckpointIO
from tests.sweep.sweeps import SLOW, SMALL, begin, same_numbers, serial

WORDS = ["model=ln", "images.names=[camera]", "store=results", "callbacks.progress.mode=quiet", *SMALL]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """The checkpoint of a run that was stopped within its iteration, as bytes, and what the run gives uninterrupted."""
    folder = tmp_path_factory.mktemp("interrupted")
    process = begin(folder, "run", *WORDS, *SLOW, "+callbacks.slow.seconds=0.1", quiet=False)
    deadline = time.monotonic() + 900
    while not list(folder.glob("results/checkpoints/*.ckpt")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(900) == 128 + signal.SIGTERM
    (checkpoint,) = folder.glob("results/checkpoints/*.ckpt")
    return checkpoint.name, checkpoint.read_bytes(), serial(WORDS[:2] + SMALL, tmp_path_factory.mktemp("serial"))


@pytest.fixture
def checkpoint(interrupted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "results" / "checkpoints" / interrupted[0]
    path.parent.mkdir(parents=True)
    path.write_bytes(interrupted[1])
    return path


def steps_begun_at(tmp_path):
    return [int(line.split()[2]) for line in (tmp_path / "who.txt").read_text().splitlines()]


def run(tmp_path, caplog):
    caplog.clear()
    assert main(["run", *WORDS, "+callbacks.who._target_=tests.sweep.slow.Who", f"+callbacks.who.path={tmp_path}/who.txt"]) == 0
    return caplog.text


@pytest.mark.slow(2)
def test_a_checkpoint_is_taken_up(checkpoint, interrupted, tmp_path, caplog):
    assert "Starting this task again" not in run(tmp_path, caplog)
    assert steps_begun_at(tmp_path)[0] > 0
    assert same_numbers(Store("results"), interrupted[2]) and not checkpoint.exists()


@pytest.mark.slow(2)
def test_a_kill_before_the_end_of_a_stored_task_leaves_a_checkpoint_that_the_next_command_removes(
    checkpoint, interrupted, tmp_path, caplog
):
    run(tmp_path, caplog)
    for command in (["run", *WORDS], ["sweep", *WORDS]):
        checkpoint.write_bytes(interrupted[1])
        checkpoint.with_name(f".{checkpoint.name}.tmp").write_bytes(b"half")
        assert main(command) == 0
        assert os.listdir(checkpoint.parent) == [] and verify(Store("results")) == []


def other_settings(path):
    saved = torch.load(path, weights_only=True)
    saved["eigexp"]["fingerprint"]["seed"] = 9
    AtomicCheckpointIO().save_checkpoint(saved, path)
    return "seed"


def other_version(path):
    saved = torch.load(path, weights_only=True)
    saved["eigexp"]["fingerprint"]["format"] = -1
    AtomicCheckpointIO().save_checkpoint(saved, path)
    return "format"


def torn_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return "damaged"


def tampered(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return "digest differs"


@pytest.mark.slow(1)
@pytest.mark.parametrize("spoil", [other_settings, other_version, torn_off, tampered])
def test_a_checkpoint_that_does_not_fit_is_set_aside_and_the_task_starts_anew(checkpoint, interrupted, tmp_path, caplog, spoil):
    reason = spoil(checkpoint)
    told = run(tmp_path, caplog)
    assert reason in told and "Starting this task again" in told
    assert steps_begun_at(tmp_path)[-1] == 0
    assert [path.name.startswith(checkpoint.name) for path in (tmp_path / "results" / QUARANTINE).iterdir()] == [True]
    assert same_numbers(Store("results"), interrupted[2])


@pytest.mark.slow(1)
def test_a_result_that_was_changed_is_set_aside_and_made_again(checkpoint, interrupted, tmp_path, caplog):
    run(tmp_path, caplog)
    store = Store("results")
    (id,) = store.ids()
    pairs = store.path(id) / "pairs.safetensors"
    pairs.write_bytes(pairs.read_bytes()[:-1] + b"!")
    told = run(tmp_path, caplog)
    assert "failed verification (pairs.safetensors changed" in told
    assert same_numbers(store, interrupted[2]) and verify(store) == []


@pytest.mark.slow(1)
def test_checkpoints_that_nobody_wants_are_pruned(checkpoint, tmp_path, capsys):
    stray = checkpoint.with_name(".0123456789abcdef.ckpt.tmp")
    stray.write_bytes(b"")
    assert prune(Store("results")) == []
    for path in (checkpoint, stray):
        os.utime(path, (time.time() - 30 * 86400,) * 2)
    assert main(["store", "prune", "--store", "results"]) == 0
    assert "it was not changed for 30 days" in capsys.readouterr().out and checkpoint.exists()
    assert main(["store", "prune", "--store", "results", "--yes"]) == 0
    assert not checkpoint.exists() and not stray.exists()
