"""What a run shows on a real terminal (a pty), and that a log has nothing in it but lines of text."""

import os
import pty
import re
import subprocess
import sys
import tempfile

import pytest

from tests.warm import commands as warm

RUN = ["-m", "eigexp", "run", "model=onoff", "images.size=40", "logger=none", "callbacks.progress.refresh_seconds=0"]
COLOUR = re.compile(r"\x1b\[[0-9;]*\b(?:3[0-7]|9[0-7]|38;)[0-9;]*m")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PLAIN = "figure.draw=false"
UNSET = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "SLURM_JOB_ID")


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    return {**kept, "OMP_NUM_THREADS": "1", "TERM": "xterm-256color", **more}


def on_a_terminal(cwd, *words, **env):
    """Standard output, and what a terminal of 120 columns got on standard error."""
    master, slave = pty.openpty()
    with tempfile.TemporaryFile() as out:
        process = warm.start(*RUN, PLAIN, *words, cwd=cwd, env=environment(COLUMNS="120", **env), stdin=slave, stdout=out, stderr=slave)
        os.close(slave)
        seen = _read(master)
        assert process.wait() == 0, seen.decode()
        out.seek(0)
        return out.read().decode(), seen.decode()


def _read(master):
    """What the terminal gets, until its last writer has gone."""
    seen = b""
    while True:
        try:
            seen += (part := os.read(master, 65536))
        except OSError:  # the last writer has gone
            break
        if not part:
            break
    os.close(master)
    return seen


def in_a_log(cwd, *words, **env):
    if "PYTHONIOENCODING" not in env:
        return warm.run(*RUN, PLAIN, *words, cwd=cwd, env=environment(**env))
    command = [sys.executable, *RUN, *words]  # without the warm server: the interpreter reads it when it starts
    return subprocess.run(command, cwd=cwd, env=environment(**env), capture_output=True, text=True, encoding="ascii", check=False)


@pytest.mark.slow(2)
def test_a_terminal_gets_a_bar_that_goes_and_a_table_that_stays(tmp_path):
    out, seen = on_a_terminal(tmp_path)
    assert (tmp_path / out.strip() / "record.json").exists()
    assert COLOUR.search(seen)
    drawn = [line for line in re.split(r"[\r\n]+", ESCAPES.sub("", seen)) if "step " in line and "left" in line]
    assert len(drawn) > 3
    for part in ("camera", "\u2501", "max ", "min ", "residual ", "FVPs"):
        assert any(part in line for line in drawn), part
    assert max(len(line) for line in drawn) <= 120
    assert re.search(r"\d s, [\d.:]+ ?s? left", "".join(drawn)), "no time left was ever known"
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h") == 1  # the cursor is back
    tail = ESCAPES.sub("", seen[seen.rindex("\x1b[?25h") :])
    assert all(word in tail for word in ("eigenvalue", "interval", "residual", "FVPs", "verified", "yes"))


@pytest.mark.slow(2)
def test_no_color_leaves_a_bar_without_colours(tmp_path):
    _, seen = on_a_terminal(tmp_path, NO_COLOR="1")
    assert "\u2501" in seen and "verified" in seen
    assert not COLOUR.search(seen)


@pytest.mark.slow(1)
def test_a_dumb_terminal_gets_lines(tmp_path):
    _, seen = on_a_terminal(tmp_path, "callbacks.progress.line_seconds=0.0", TERM="dumb")
    assert "\x1b[" not in seen and "camera: step " in seen


@pytest.mark.slow(7)
@pytest.mark.parametrize("env", [{}, {"PYTHONIOENCODING": "ascii", "SLURM_JOB_ID": "7", "LC_ALL": "C"}], ids=["utf-8", "ascii, in a job"])
def test_a_log_is_lines_of_text(tmp_path, env):
    (tmp_path / "caf\u00e9 \u753b.png").write_bytes(picture())
    words = [
        "callbacks.progress.line_seconds=0.0",
        "images=file",
        "images.path='caf\u00e9 \u753b.png'",
        "images.size=40",
        "images.grey=true",
    ]
    done = in_a_log(tmp_path, *words, **env)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / done.stdout.strip() / "record.json").exists()
    text = done.stderr
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", text + done.stdout)  # no carriage returns, no escape codes
    assert len(re.findall(r"step \d+, .* left$", text, re.MULTILINE)) > 2
    assert "converged after" in text and "verified" in text


@pytest.mark.slow(1)
def test_quiet_leaves_the_table_alone(tmp_path):
    done = in_a_log(tmp_path, "callbacks.progress.mode=quiet")
    lines = done.stderr.splitlines()
    assert [line.split()[0] for line in lines] == ["image", "camera", "1599"], lines


def picture() -> bytes:
    import io

    import numpy as np
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)).save(content, "PNG")
    return content.getvalue()
