"""The attacks of `scripts/attack.py`, a few inputs of each here and all of them by one command.

```bash
EIGEXP_ATTACK_SCALE=1 python -m pytest tests/fuzz/test_attack.py -n 0
```
"""

import os
import random
import time
import warnings

import pytest

from scripts.attack import ATTACKS
from scripts.soak import SWEEP, Soak

SCALE = float(os.environ.get("EIGEXP_ATTACK_SCALE", "0.005"))
SHORT = ("model=ln", "images.names=[camera]", "images.size=16", "solver=krylov,power", *SWEEP[-3:])


@pytest.mark.slow(5)
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_finds_no_fault(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    act, count = ATTACKS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as for a user: a warning ends no command
        assert act(random.Random(0), max(1, round(count * SCALE))) == []


@pytest.mark.slow(5)
def test_a_sweep_that_is_disturbed_has_the_bits_of_one_that_is_not(tmp_path, monkeypatch):
    """Some rounds of `scripts/soak.py`, or as many minutes of it as EIGEXP_SOAK_MINUTES says."""
    monkeypatch.chdir(tmp_path)
    end = time.monotonic() + 60 * float(os.environ.get("EIGEXP_SOAK_MINUTES", "0"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        soaked = Soak(tmp_path, 0, SWEEP if end > time.monotonic() else SHORT)
        while soaked.rounds < 5 or time.monotonic() < end:
            soaked.round()
        wrong = soaked.finish()
    print(dict(soaked.done))
    assert wrong == []
