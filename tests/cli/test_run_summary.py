"""The table at the end of a run: every number, cut to a narrow terminal by whole columns, whole in a log, and without colours if asked."""

import io
import re
from unittest.mock import patch

import pytest
from rich.console import Console

from eigexp.cli.run_summary import remarks, show, summary_table
from eigexp.experiment.run import RunOutcome
from eigexp.store import Result

NAME = "a rather long name of a photograph.png"


def record(evidence="krylov", interval=(0.0, 2.5e-6), **more):
    return {
        "id": "ab12", "image": {"name": NAME}, "model": "onoff", "layer": None, "n": 100, "eigenindex": [0, 99],
        "eigenvalues": [0.25, 2e-6], "intervals": [[0.24, 0.26], list(interval)], "residuals": [1e-6, 2e-7],
        "evidence": {"top": "krylov", "bottom": evidence}, "fisher_vector_products": 161.0, **more,
    }  # fmt: skip


def printed(tmp_path, capsys, width=None, found=None, no_color=None, **outcome):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=width is not None, width=width, no_color=no_color, legacy_windows=False)
    with patch("eigexp.cli.run_summary.read_record", return_value=found or record()):  # what is not shown is left out
        show(RunOutcome((tmp_path,), outcome.get("reused", ()), ("converged",), outcome.get("signum")), console)
    assert capsys.readouterr().out == f"{tmp_path}\n"
    return stream.getvalue()


def test_a_log_has_every_number_uncut_and_no_codes(tmp_path, capsys):
    text = printed(tmp_path, capsys)
    assert "\x1b" not in text and "\u2026" not in text
    heading, top, bottom = text.splitlines()
    assert heading.split() == ["image", "model", "index", "eigenvalue", "interval", "residual", "threshold", "evidence", "FVPs", "verified"]
    for part in (NAME, "onoff", "0.25", "[2.4000e-01, 2.6000e-01]", "1.0e-06", "2", "krylov", "161", "yes"):
        assert part in top
    for part in ("99", "<= 2.5e-06", "[0.0000e+00, 2.5000e-06]", ">= 632", "yes"):
        assert part in bottom


@pytest.mark.parametrize("width", [30, 50, 80, 100, 140, 200])
def test_a_narrow_terminal_loses_whole_columns(tmp_path, capsys, width):
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed(tmp_path, capsys, width, record(image={"name": "camera"})))
    assert "\u2026" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert "eigenvalue" in text and "<= 2.5e-06" in text
    if width >= 80:
        assert all(name in text for name in ("interval", "residual", "verified"))


@pytest.mark.parametrize("width", [60, 70, 80, 90, 120])
@pytest.mark.parametrize("name", ["camera", NAME])
def test_no_other_column_is_kept_before_interval_and_verified(tmp_path, capsys, width, name):
    wide = record("budget", (0.0, 0.448), image={"name": name}, layer="features.16")
    wide["eigenvalues"][1] = 2.1e-2
    heading = re.sub(r"\x1b\[[0-9;]*m", "", printed(tmp_path, capsys, width, wide)).splitlines()[0].split()
    assert "verified" in heading and "interval" in heading


@pytest.mark.parametrize(("evidence", "word"), [("proven", "yes"), ("krylov", "yes"), ("converged", "no"), ("budget", "no"), (None, "no")])
def test_verified_is_said_of_each_end(tmp_path, capsys, evidence, word):
    assert printed(tmp_path, capsys, found=record(evidence)).splitlines()[2].split()[-1] == word


def test_no_eigenvalue_is_said_that_its_interval_does_not_hold(tmp_path, capsys):
    found = record("proven", (0.0, 0.448), eigenvalues=[0.25, 0.021])
    for width in (30, 80, 200):
        text = printed(tmp_path, capsys, width, found)
        assert "<= 0.448" in text and "2.1" not in text
    assert "0.021?" in printed(tmp_path, capsys, found=record("converged", (0.0209, 0.0211), eigenvalues=[0.25, 0.021]))


def test_what_is_not_known_is_a_dash(tmp_path, capsys):
    row = printed(tmp_path, capsys, found=record(interval=(0.0, None))).splitlines()[2]
    assert "[0.0000e+00, -]" in row and row.split()[-3:] == ["-", "krylov", "yes"]


def test_zeros_and_notes_are_said_below_the_table(tmp_path, capsys):
    zeros = {"dimension_at_least": 40, "dimension_estimate": None, "numerically_zero": {"count": 1, "below": 1e-12}}
    lines = printed(tmp_path, capsys, found=record(null_space=zeros, notes=["the network has random weights"])).splitlines()
    assert lines[3:] == [
        f"{NAME} onoff: at least 40 of 100 eigenvalues are exactly zero; "
        "1 eigenvalue found is below 1e-12 of the largest: zero or not, rounding hides it",
        f"{NAME} onoff: the network has random weights",
    ]


def test_a_note_of_several_results_is_said_once():
    same = [record(notes=["random"], image={"name": f"image {i}"}, n=100) for i in range(5)]
    assert remarks(same) == ["image 0 onoff, image 1 onoff, image 2 onoff and 2 more: random"]


def test_colours_are_left_out_where_asked(tmp_path, capsys):
    assert "\x1b[32m" in printed(tmp_path, capsys, 140, no_color=False)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", printed(tmp_path, capsys, 140, no_color=True))


def test_results_of_before_and_signals_are_named(tmp_path, capsys):
    text = printed(tmp_path, capsys, reused=("ab12",), signum=15)
    assert "yes (stored before)" in text
    assert "Stopped by a signal" in text


def test_names_are_no_markup():
    table = summary_table([Result(None, record(image={"name": "[red]x[/red] \u753b"}))])  # type: ignore[arg-type]
    stream = io.StringIO()
    Console(file=stream, width=200).print(table)
    assert "[red]x[/red] \u753b" in stream.getvalue()
