import logging

import pytest
import torch
from torch import nn

from eigexp.errors import ModelError
from eigexp.models.network import ImageNetwork
from eigexp.models.prepare import prepare_model, weights_digest


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.5))


def library(**arguments):
    settings = {"architecture": "small", "pretrained": lambda: small().eval()} | arguments
    return ImageNetwork(small(), (0.5,) * 3, (0.25,) * 3, **settings)


def test_a_model_is_fixed(caplog):
    with caplog.at_level(logging.INFO):
        model = prepare_model(small().train())
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    assert "was in training mode" in caplog.text
    x = torch.rand(1, 3, 8, 8)
    digest = weights_digest(model)
    assert torch.equal(model(x), model(x)) and weights_digest(model) == digest


def test_weights_come_from_a_file(tmp_path):
    state = {name: value + 1 for name, value in small().state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    model = prepare_model(small(), weights=str(tmp_path / "w.pth"))
    assert weights_digest(model) != weights_digest(small())


def test_a_layer_of_a_library_network_keeps_its_name_and_the_normalisation():
    x = torch.rand(2, 3, 8, 8)
    model = prepare_model(library(), layer="0", weights="random")
    assert torch.equal(model(x), small()[0]((x - 0.5) / 0.25))


def test_unchosen_weights_are_refused():
    with pytest.raises(ModelError, match=r"model\.weights=null: small needs weights"):
        prepare_model(library())


def test_weights_already_chosen_are_kept():
    network = library()
    network.choose_weights("random")
    assert not prepare_model(network).training


def test_random_weights_give_a_warning(caplog):
    prepare_model(library(), weights="random")
    assert [r.levelname for r in caplog.records if "random weights" in r.message] == ["WARNING"]


@pytest.mark.parametrize("error", [OSError("no route"), RuntimeError("invalid hash value")])
def test_the_error_for_weights_that_cannot_be_downloaded_says_what_to_do(error):
    def fails():
        raise error

    with pytest.raises(ModelError, match=r"could not be downloaded.*model\.weights=path.*model\.weights=random"):
        prepare_model(library(pretrained=fails), weights="default")


def test_grey_images_are_refused():
    model = prepare_model(library(), weights="default")
    with pytest.raises(ModelError, match=r"\(b, 3, h, w\), but got \(1, 1, 8, 8\).*images\.grey=false"):
        model(torch.rand(1, 1, 8, 8))
