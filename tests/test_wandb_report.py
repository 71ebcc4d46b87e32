"""The layout of a W&B report names keys that runs have, and builds without a network."""

import json
import runpy
from pathlib import Path

import pytest

from eigexp.report.pictures import captioned_pictures
from eigexp.report.view import View
from eigexp.store.metric_names import SUMMARY, metric_name
from tests.store.fakes import arrays_of_fake

pytest.importorskip("wandb_workspaces")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.mark.slow(2)
def test_the_report_builds_offline_and_its_keys_are_those_of_a_run():
    made = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "wandb_report.py"))["report"]("", "eigexp")
    spec = json.loads(made._to_model().model_dump_json(by_alias=True))
    text = json.dumps(spec)
    assert "Which model separates most" in text
    for key in ("D_lower", "threshold_top"):
        assert key in text and key in SUMMARY
    for index in (0, 99):
        for quantity in ("eigenvalue", "residual"):
            assert metric_name(index, 100, quantity) in text
    names = {f"distortions/{name}" for name in captioned_pictures(View.of(*arrays_of_fake()))}
    assert {f"distortions/{end} noticeable added" for end in ("most", "least")} <= names
    assert all(f"distortions/{end} noticeable added" in text for end in ("most", "least"))
