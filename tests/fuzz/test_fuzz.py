"""Command lines, records and images that hypothesis makes up: 300 of them here, as many as you like by one command.

```bash
EIGEXP_FUZZ_CASES=10000 python -m pytest tests/fuzz -n 0
```
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eigexp.errors import ImageError
from eigexp.images.reading import read_image
from tests.fuzz.lines import SMALL, attempt, known_keys, random_line
from tests.fuzz.records import Stand
from tests.images.test_hostile import originals, spoiled

CASES = int(os.environ.get("EIGEXP_FUZZ_CASES", "300"))


def cases(share: float) -> settings:
    # The same cases at each run: one that is found becomes a test of its own, and no run depends on what another found.
    return settings(
        max_examples=max(1, round(CASES * share)), derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )


randoms = st.randoms(use_true_random=False)
KEYS = known_keys()


@pytest.mark.slow(2)
@cases(0.1)
@given(randoms)
def test_a_command_line_is_planned_or_refused_in_one_line(tmp_path_factory, rng):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.getbasetemp())
        found = attempt(["sweep", *SMALL, *random_line(rng, KEYS), "--dry-run"])
    assert not found.fault, found


@pytest.mark.slow(2)
@cases(0.5)
@given(randoms)
def test_a_changed_record_is_shown_or_left_out(stand, rng):
    stand.attack(rng, page=rng.random() < 0.1)


@cases(0.4)
@given(randoms)
def test_a_damaged_image_is_read_or_refused(tmp_path_factory, rng):
    name, content = rng.choice(sorted(originals().items()))
    path = tmp_path_factory.getbasetemp() / f"damaged.{name}"
    path.write_bytes(spoiled(name, content, rng))
    try:
        pixels = read_image(path)
        assert pixels.ndim == 3 and pixels.min() >= 0 and pixels.max() <= 1
    except ImageError as error:
        assert "\n" not in str(error)


@pytest.fixture(scope="module")
def stand(tmp_path_factory):
    return Stand(tmp_path_factory.mktemp("stand"))
