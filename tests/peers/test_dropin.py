"""eigexp does what plenoptic's class documents, and differs where the README says so."""

import pytest

pytest.importorskip("plenoptic")

from tests.peers import dropin


@pytest.mark.slow(0.1)
@pytest.mark.parametrize("behaviour", dropin.BEHAVIOURS, ids=lambda b: b.name)
def test_behaviour(behaviour):
    row = dropin.Row(behaviour, dropin.outcome(behaviour, dropin.THEIRS), dropin.outcome(behaviour, dropin.OURS))
    assert row.as_expected, f"plenoptic: {row.theirs}; eigexp: {row.ours}; differs on purpose: {behaviour.why or 'no'}"


def test_the_table_names_every_behaviour():
    rows = [dropin.Row(b, "accepted", "accepted") for b in dropin.BEHAVIOURS]
    assert all(b.name in dropin.table(rows) for b in dropin.BEHAVIOURS)
