"""What a run returns to a search."""

from types import SimpleNamespace

import pytest

from eigexp.cli import one_run, run_summary
from eigexp.experiment import run as experiment


@pytest.mark.parametrize(("code", "value"), [(0, 2.5), (3, 2.5), (143, None)])
def test_a_run_that_a_signal_ended_has_no_objective(monkeypatch, code, value):
    monkeypatch.setattr(experiment, "run", lambda config: SimpleNamespace(exit_code=code, folders=[]))
    monkeypatch.setattr(run_summary, "show", lambda outcome: None)
    monkeypatch.setattr("eigexp.experiment.objective.objective", lambda folders, name: 2.5)
    assert one_run.compute({"extras": {"print_config": False}, "optimized_metric": "D_lower", "shards": False}) == (code, value)
