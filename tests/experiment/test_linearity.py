"""A stored result's model is built again, and its responses at finite norms are set against alpha * sqrt(lambda)."""

import math

import numpy as np
import pytest
import torch

from eigexp.config.compose import compose
from eigexp.errors import ConfigurationError, ModelError
from eigexp.experiment.linearity import Responses, measure, write_linearity
from eigexp.experiment.run import run
from eigexp.report.linearity import by_eigenindex, linear_up_to
from eigexp.store import Result, Store

QUIET = ["images.size=24", "logger=none", "figure.draw=false", "callbacks.progress.mode=quiet"]
NETWORKS = """
import torch
class Relu(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 5), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 5), torch.nn.ReLU())
    def forward(self, x):
        return self.layers(x)
class Single(Relu):
    def forward(self, x):
        return self.layers(x) + torch.nn.functional.linear(x, torch.ones(24, 24)).mean()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    (folder / "linearity_networks.py").write_text(NETWORKS)
    return folder


@pytest.fixture
def networks(folder, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    return folder


def result_of(root, *words) -> Result:
    outcome = run(compose([*QUIET, f"store='{root}'", *words]))
    return Store(root).read(outcome.folders[0].name)


@pytest.fixture(scope="module")
def onoff(tmp_path_factory):
    return result_of(tmp_path_factory.mktemp("onoff"), "model=onoff")


def test_small_changes_are_as_predicted_and_large_ones_are_not(onoff):
    top = by_eigenindex(measure(onoff, Responses(onoff, trust=True)))[0]
    ratios = {row.alpha: row.measured / row.predicted for row in top}
    smallest = min(abs(alpha) for alpha in ratios)
    assert abs(ratios[smallest] - 1) < 0.01 and abs(ratios[-smallest] - 1) < 0.01
    assert 0 < linear_up_to(top) < max(ratios)  # a divisive network saturates
    assert ratios[max(ratios)] < 0.5


def test_the_numbers_are_those_of_the_model(onoff):
    from eigexp.models import OnOff

    model = OnOff().double()
    image, v = (torch.from_numpy(a).double() for a in (onoff.image, onoff.eigendistortions[0]))
    (row, _) = measure(onoff, Responses(onoff, trust=True), alphas=[0.5], eigenindex=[0])
    with torch.no_grad():
        wanted = (model((image + 0.5 * v)[None]) - model(image[None])).norm()
    assert row.measured == pytest.approx(float(wanted), rel=1e-9)
    assert row.predicted == 0.5 * math.sqrt(onoff.eigenvalues[0])
    assert row.outside == np.mean((image + 0.5 * v).numpy() > 1) + np.mean((image + 0.5 * v).numpy() < 0)


def test_a_relu_network_holds_until_units_switch(networks, tmp_path):
    rows = by_eigenindex(measure(*_with_responses(result_of(tmp_path, "model._target_=linearity_networks.Relu"))))
    for own in rows.values():
        assert 0 < linear_up_to(own) < max(row.alpha for row in own)


@pytest.mark.slow(2)
def test_noise_scales_prediction_and_measurement_alike(networks, tmp_path):
    words = ["model=ln", "noise.variance=4"]
    loud, quiet = result_of(tmp_path / "loud", *words), result_of(tmp_path / "quiet", words[0])
    a, b = ({row.alpha: row for row in by_eigenindex(measure(*_with_responses(r), alphas=[0.01]))[0]} for r in (loud, quiet))
    assert a[0.01].measured == pytest.approx(b[0.01].measured / 2, rel=1e-3)
    assert a[0.01].measured == pytest.approx(a[0.01].predicted, rel=0.01)


def test_a_model_that_stays_in_float32_is_asked_in_float32_with_a_note(networks, tmp_path, caplog):
    result = result_of(tmp_path, "model._target_=linearity_networks.Single")
    responses = Responses(result, trust=True)
    assert responses.dtype == torch.float32
    assert "computed in float32" in caplog.text
    (row, _) = measure(result, responses, alphas=[0.01], eigenindex=[0])
    assert row.measured == pytest.approx(row.predicted, rel=0.02)


@pytest.mark.slow(1.0)
def test_a_layer_is_asked_itself(tmp_path):
    result = result_of(tmp_path, "model=resnet18", "model.layer=layer1", "model.weights=random", "images.grey=false", "solver.max_steps=40")
    responses = Responses(result, trust=True)
    changed = result.image.astype(np.float64) + 1e-3 * result.eigendistortions[0]
    assert responses.distance(changed, result.image) == pytest.approx(1e-3 * result.eigenvalues[0] ** 0.5, rel=0.02)


@pytest.mark.slow(1)
def test_the_files_and_the_words(onoff, tmp_path):
    lines = write_linearity(onoff, tmp_path / "new", Responses(onoff, trust=True))
    stem = f"camera_onoff_{onoff.id[:8]}_linearity"
    assert {path.name for path in (tmp_path / "new").iterdir()} == {f"{stem}.{form}" for form in ("csv", "pdf", "png")}
    assert len((tmp_path / "new" / f"{stem}.csv").read_text().splitlines()) == 1 + 2 * 2 * 17
    assert lines[0].startswith("most noticeable: the change of the response is alpha * sqrt(lambda) within 10% up to norm")


def test_other_weights_than_those_of_the_result_are_refused(onoff):
    onoff = Result(onoff.folder, {**onoff.record, "identity": {**onoff.record["identity"], "weights": "0" * 64}})
    with pytest.raises(ModelError, match="The weights of onoff are not those of result"):
        Responses(onoff, trust=True)


def test_a_result_without_a_configuration_is_refused(onoff, tmp_path):
    with pytest.raises(ConfigurationError, match="has no stored configuration"):
        Responses(Result(tmp_path, {**onoff.record, "files": {}}), trust=True)


def _with_responses(result: Result) -> tuple[Result, Responses]:
    return result, Responses(result, trust=True)


def test_a_model_of_somebody_else_is_not_built(onoff):
    with pytest.raises(ConfigurationError, match=r"was not computed here.*--trust.*--no-check"):
        Responses(onoff, trust=False)
