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


def test_what_is_unknown_to_a_command_is_named(capsys):
    assert main(["status", "--faild"]) == 2
    assert "--faild is not an option of this command" in capsys.readouterr().err
