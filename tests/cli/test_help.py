"""Help pages: each says what, with an example and the exit codes; each example is a command that parses."""

import argparse
import shlex

import pytest

from eigexp.cli import main
from eigexp.cli.command import command_parser
from eigexp.report.charts import KINDS

(_GROUP,) = (action for action in command_parser()._actions if isinstance(action, argparse._SubParsersAction))
PARSERS: dict[str, argparse.ArgumentParser] = dict(_GROUP.choices)


@pytest.mark.parametrize("name", PARSERS)
def test_a_page_says_what_with_examples_and_exit_codes(name):
    parser = PARSERS[name]
    text = parser.format_help()
    examples = [line.strip() for line in text.splitlines() if line.startswith(f"  eigexp {name}")]
    assert parser.description and len(examples) >= (1 if name == "rank" else 2) and "exit codes: " in text  # rank is internal
    for example in examples:
        options, rest = command_parser().parse_known_args(shlex.split(example.partition(" >")[0])[1:])
        assert options.action and (rest == [] or parser.usage)


@pytest.mark.parametrize("name", PARSERS)
def test_every_option_says_what_it_is_and_its_default(name):
    for action in PARSERS[name]._actions:
        if action.option_strings:
            assert action.help, action.option_strings
            assert "(default: )" not in PARSERS[name].format_help()
            if action.default not in (None, False, "", [], argparse.SUPPRESS):
                assert f"(default: {action.default})" in " ".join(PARSERS[name].format_help().split())


def test_the_page_of_plot_lists_every_kind_once_however_often_it_is_shown():
    parser = command_parser()._actions[-1].choices["plot"]
    assert parser.format_help() == parser.format_help()
    listed = [line.split()[0] for line in parser.format_help().splitlines() if line.endswith((" result)", " results)", " image)"))]
    assert listed == list(KINDS)


def test_the_help_of_run_says_what_with_examples_groups_and_exit_codes(capsys):
    assert main(["run", "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Compute the eigendistortions of one configuration") and "exit codes: 0 converged" in text
    assert text.count("  eigexp run ") >= 2 and "solver.k=1" in text and "krylov*" in text
    assert len(text.splitlines()) < 45  # one screen


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["status", "--faild"],
            "--faild is not an option of this command. Did you mean --failed or --format? `eigexp status --help` lists them.",
        ),
        (["sweep", "--dryrun", "model=ln"], "--dryrun is not an option of this command. Did you mean --dry-run?"),
        (["results", "abc"], "abc is not an option of this command. `eigexp results --help` lists them."),
    ],
)
def test_what_is_unknown_to_a_command_is_named(capsys, words, message):
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_a_store_without_results_is_said_to_have_none(tmp_path, capsys):
    store = ["--store", str(tmp_path / "none")]
    assert main(["results", *store]) == 0
    assert f"No result in {tmp_path}/none. `eigexp run` computes one." in capsys.readouterr().err
    assert main(["status", *store]) == 0
    assert capsys.readouterr().out == f"No tasks in {tmp_path}/none. `eigexp sweep` plans some.\n"
    assert main(["plot", "grid", *store]) == 2
    assert "has 0 results, so there is nothing to draw" in capsys.readouterr().err
