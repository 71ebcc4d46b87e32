"""Sweeps and W&B: the group of a sweep, what `eigexp wandb sync` sends, and runs that W&B's own agent starts."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from eigexp.cli import main
from eigexp.cli.wandb_sync import offline_runs, sync, sync_command
from eigexp.errors import ConfigurationError
from eigexp.store import Store
from eigexp.sweep.group import group_name, with_group
from eigexp.sweep.plan import make_plan
from tests.sweep.sweeps import eigexp, environment
from tests.warm.commands import python

EXAMPLE = Path(__file__).parents[2] / "examples" / "wandb_sweep.yaml"


def test_a_group_is_called_by_the_words_that_choose_what_is_computed():
    assert group_name(["model=ln,lg", "store=there", "launcher=slurm", "launcher.pack=3", "solver.k=1"]) == "model=ln,lg solver.k=1"
    long = [group_name([f"images.names=[{'a' * 80}]", word]) for word in ("seed=0", "seed=1")]
    assert len(set(long)) == 2 and all(len(name) <= 128 for name in long)
    assert group_name([]) == "defaults"


def test_a_group_that_was_given_stays():
    config = {"logger": {"wandb": {"group": None}, "other": {"group": "mine"}, "csv": {"every": 1}}}
    assert with_group(config, "us")["logger"] == {"wandb": {"group": "us"}, "other": {"group": "mine"}, "csv": {"every": 1}}
    assert config["logger"]["wandb"]["group"] is None


def test_every_task_of_a_plan_is_in_its_group_and_keeps_its_id(tmp_path):
    words = ["model=ln,lg", "images.size=16", f"store='{tmp_path}'"]
    found, mine = make_plan(words), make_plan([*words, "logger.wandb.group=mine"])
    assert {task.config["logger"]["wandb"]["group"] for task in found} == {"model=ln,lg images.size=16"}
    assert {task.config["logger"]["wandb"]["group"] for task in mine} == {"mine"}
    assert found.ids == mine.ids


@pytest.mark.slow
def test_offline_runs_of_a_sweep_are_found_and_handed_to_wandb(tmp_path, monkeypatch):
    words = ["model=ln", "images.names=[camera,coins]", "images.size=16", "logger=wandb", "logger.wandb.mode=offline"]
    done = eigexp(tmp_path, "sweep", *words, environment=environment(WANDB_API_KEY="", HOME=str(tmp_path)))
    assert done.returncode == 0, done.stderr
    runs = offline_runs(tmp_path / "outputs")
    assert sorted(run.name.rpartition("-")[2] for run in runs) == Store(tmp_path / "outputs/results").ids()
    monkeypatch.setattr("eigexp.cli.wandb_sync.has_wandb_key", lambda: True)
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: asked.append(command) or subprocess.CompletedProcess(command, 7))
    assert sync(tmp_path / "outputs", more=["--include-synced"]) == 7
    assert asked == [[sys.executable, "-P", "-m", "wandb", "sync", "--include-synced", *map(str, runs)]]


@pytest.mark.slow(1)
def test_wandb_itself_takes_the_command(tmp_path):
    run = tmp_path / "outputs" / "wandb" / "offline-run-20260101_000000-abc"
    run.mkdir(parents=True)
    (run / "run-abc.wandb").write_bytes(b"")
    done = subprocess.run(
        sync_command([run], dry_run=True), env=environment(HOME=str(tmp_path)), capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0 and "abc" in done.stdout + done.stderr


def test_without_runs_or_without_a_key(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert main(["wandb", "sync"]) == 0
    assert "no offline runs in outputs/wandb" in capsys.readouterr().out
    (tmp_path / "outputs/wandb/offline-run-1-a").mkdir(parents=True)
    assert main(["wandb", "sync"]) == 2
    assert "wandb login" in capsys.readouterr().err
    with pytest.raises(ConfigurationError):
        sync()


@pytest.mark.slow
def test_the_example_is_started_as_the_agent_starts_it(tmp_path):
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    sweep = yaml.safe_load(EXAMPLE.read_text())
    chosen = {name: parameter.get("value", parameter.get("values", [None])[0]) for name, parameter in sweep["parameters"].items()}
    chosen |= {"images.size": 16, "logger.wandb.mode": "offline"}
    variables = create_sweep_command_args({"args": {name: {"value": value} for name, value in chosen.items()}})
    variables |= {"interpreter": ["python"], "program": [sweep["program"]], "env": ["/usr/bin/env"]}
    command: list[str] = []
    for word in map(str, create_sweep_command(sweep["command"])):  # as in wandb.wandb_agent.Agent._command_run
        command += variables[word[2:-1]] if word.startswith("${") and word.endswith("}") else [word]
    assert command[:3] == ["/usr/bin/env", "eigexp", "run"] and "solver.k=1" in command

    program = tmp_path / "bin" / "eigexp"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {python()} -m eigexp "$@"\n')
    program.chmod(0o755)
    around = environment(WANDB_SWEEP_ID="abc", WANDB_RUN_ID="given1")
    around["PATH"] = f"{program.parent}:{around['PATH']}"
    done = subprocess.run(command, cwd=tmp_path, env=around, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    (id,) = Store(tmp_path / "outputs/results").ids()
    assert Store(tmp_path / "outputs/results").read(id).record["model"] == "ln"
    assert [run.name.rpartition("-")[2] for run in offline_runs(tmp_path / "outputs")] == ["given1"]
