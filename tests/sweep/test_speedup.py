"""The script that the figures of a second process come from runs as the benchmark page says; nothing here depends on the clock."""

import re

import pytest

from tests.docs.documented import ROOT, arguments, commands
from tests.sweep.sweeps import environment
from tests.warm import commands as warm

SMALL = ["--size", "16", "images.names=[camera,coins]", "model=ln", "model.layer=null", "model.weights=null", "images.grey=true"]


@pytest.mark.slow
def test_as_the_page_says():
    command = max((c for c in commands() if "scripts.speedup" in c), key=len)
    done = warm.run(*arguments(command)[1:], *SMALL, cwd=ROOT, env=environment())
    assert done.returncode == 0, done.stderr
    assert re.search(r"^wall [\d.]+ s and [\d.]+ s: [\d.]+ times as fast", done.stdout, flags=re.MULTILINE), done.stdout
