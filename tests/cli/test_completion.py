"""The shell is offered commands, options, groups, models, images, layers and ids; and `eigexp run --help` lists the groups that exist."""

import os
import subprocess
import sys

import pytest

from eigexp import cli
from eigexp.cli import completion
from eigexp.cli.command import command_parser
from eigexp.cli.options import default_options, groups, keys
from tests.store.fakes import fake_image, write_fake


def offered(folder, line: str) -> list[str]:
    """What a shell gets for the text before its cursor, from a process of its own: argcomplete writes to descriptors by their numbers."""
    answer = folder / "answer"
    asked = {"COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n"}
    environment = {**os.environ, **asked, "_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}
    subprocess.run([sys.executable, "-m", "eigexp"], cwd=folder, env=environment, check=True, close_fds=True)
    return [word.strip() for word in answer.read_text().split("\n")]


@pytest.mark.slow(3)
def test_the_shell_is_offered_what_exists(tmp_path):
    id = write_fake(tmp_path / "outputs/results", "onoff", fake_image(name="camera"))
    assert {"run", "results", "plot", "completion"} <= set(offered(tmp_path, "eigexp "))
    assert {"model=ln", "model=onoff", "model=resnet18"} <= set(offered(tmp_path, "eigexp run model="))
    assert {"distortions", "grid", "profile"} <= set(offered(tmp_path, "eigexp plot "))
    assert id in offered(tmp_path, f"eigexp plot spectrum {id[:3]}")
    assert "images.names=camera" in offered(tmp_path, "eigexp run images.names=")
    assert "image=camera" in offered(tmp_path, "eigexp results --where image=")


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_each_shell_has_its_code(shell, capsys):
    assert cli.main(["completion", shell]) == 0
    assert "eigexp" in capsys.readouterr().out


def test_the_help_of_run_lists_what_exists(capsys):
    assert cli.main(["run", "--help"]) == 0
    text = capsys.readouterr().out
    for group, options in groups().items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"  {group} ")]
        assert {word.rstrip("*") for word in line.split()[1:]} == set(options)
    assert default_options("model") == ["onoff"] and default_options("logger") == ["csv", "wandb"]
    assert {"seed", "solver.k", "images.size"} <= set(keys())


def test_nothing_is_completed_where_no_shell_asks(monkeypatch):
    monkeypatch.delenv("_ARGCOMPLETE", raising=False)
    assert completion.complete(command_parser()) is None and "_ARGCOMPLETE" not in os.environ
