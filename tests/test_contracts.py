"""What each kind of object promises. The rows are the files of conf/, and the charts of `KINDS`: a new one is tested without an edit.

Solvers and launchers have contracts of their own, in tests/solvers and tests/sweep: they need settings with which they reach the truth, or
a stand-in for a scheduler.
"""

from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image as PillowImage

from eigexp.config.compose import compose
from eigexp.config.instantiate import construct
from eigexp.images import Image, ImageSource
from eigexp.models import OnOff, prepare_model
from eigexp.noise import Noise
from eigexp.operators import linearise
from eigexp.report.axes import chart_figure
from eigexp.report.chart import Chart
from eigexp.report.charts import page_charts
from eigexp.report.style import figure_bytes
from eigexp.report.svg import chart_svg
from eigexp.report.view import View
from eigexp.solvers import Krylov
from eigexp.store import arrays_of
from eigexp.subspace import PixelSubspace
from eigexp.training import EigenModule, Task, TaskData, make_trainer
from eigexp.training.loggers import ResultLogger
from tests.store.fakes import fake_curves, fake_image, fake_pairs, fake_record

ELSEWHERE = {
    "logger": {"none", "wandb", "mlflow"},  # nothing, or a database: tests/training
    "subspace": {"none"},
    "model": {"efficientnet_lite0", "lpips", "plenoptic", "resnet18", "timm", "torchvision", "vgg16"},  # networks by name: tests/models
}
NEEDED: dict[tuple[str, str], list[str]] = {
    ("images", "folder"): ["images.path=photos"],
    ("images", "file"): ["images.path=photos/a.png"],
    ("images", "tensors"): ["images.path=photos/x.npy"],
    ("images", "dataset"): ["images.dataset._target_=torchvision.datasets.FakeData", "images.dataset.size=2"],
    ("noise", "low_rank"): ["noise.path=covariance.npz"],
    ("subspace", "compose"): ["subspace.parts=[{name:mask,extent:0.9},{name:band,high:0.4}]"],
    ("subspace", "tangent"): ["subspace.path=latent.npy"],
}


def options(group: str) -> list[str]:
    names = (file.name for file in files("eigexp.conf").joinpath(group).iterdir())
    return sorted({name.removesuffix(".yaml") for name in names if name.endswith(".yaml")} - ELSEWHERE.get(group, set()))


def node(group: str, option: str, more: Sequence[str] = ()) -> dict[str, Any]:
    config = compose([f"{group}={option}", *NEEDED.get((group, option), []), *more])
    return OmegaConf.to_container(OmegaConf.create(config), resolve=True)[group]  # type: ignore[index,call-overload]


def each(group: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("option", options(group))


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A current folder with two small images, and a file of tensors."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for seed, name in enumerate(("a", "b")):
        pixels = torch.randint(0, 256, (20, 24, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
        PillowImage.fromarray(pixels.numpy()).save(f"photos/{name}.png")
    np.save("photos/x.npy", pixels.permute(2, 0, 1)[None].numpy() / 255)


@pytest.fixture
def arrays(tmp_path, monkeypatch):
    """A current folder with the file of a noise of five responses, and of a latent."""
    monkeypatch.chdir(tmp_path)
    np.savez("covariance.npz", diagonal=np.arange(1.0, 6.0), factors=np.ones((5, 2)))
    np.save("latent.npy", np.ones(4))


@pytest.fixture
def task():
    pixels = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))
    return Task(images=(Image("random", pixels, source="made here"),), model=prepare_model(OnOff()), ids=("0" * 16,), model_name="onoff")


@each("noise")
def test_a_noise_is_a_differentiable_map_of_each_image_s_responses(option, arrays):
    noise = construct(node("noise", option), "noise")
    assert isinstance(noise, Noise)
    at = torch.rand(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.1
    noise.check(at)
    augmented = noise.augment(at, at)
    assert augmented.dtype == at.dtype and len(augmented) == 3
    assert torch.allclose(noise.augment(at[1:2], at[1:2]), augmented[1:2])
    assert torch.autograd.gradcheck(lambda r: noise.augment(r, at), at.clone().requires_grad_())
    u = torch.randn(3, 4, 5, dtype=torch.float64)
    step = 1e-6 * u[:, 0]
    moved = (noise.augment(at + step, at) - noise.augment(at - step, at)) / 2e-6
    assert torch.allclose(noise.whiten(u, at)[:, 0], moved, atol=1e-7)
    assert noise.augment(at.float(), at.float()).dtype == torch.float32


@each("subspace")
@pytest.mark.parametrize("shape", [(1, 6, 8), (3, 5, 7)])
def test_a_subspace_has_orthonormal_columns_and_its_transpose(option, shape, arrays):
    shape = (3, *shape[1:]) if option == "colour" else shape
    np.save("basis.npy", np.random.default_rng(0).normal(size=(5, *shape)))
    decoder = f"subspace.decoder={{_target_:tests.subspace.decoder.Decoder,shape:{list(shape)}}}"
    more = {"file": ["subspace.path=basis.npy"], "tangent": [decoder.replace(" ", "")]}.get(option, [])
    subspace = construct(node("subspace", option, more), "subspace")
    assert isinstance(subspace, PixelSubspace)
    n, pixels = subspace.dimension(shape), shape[0] * shape[1] * shape[2]
    P = subspace.to_pixels(torch.eye(n, dtype=torch.float64), shape).T
    assert torch.allclose(P.T @ P, torch.eye(n, dtype=torch.float64))
    assert torch.allclose(subspace.from_pixels(torch.eye(pixels, dtype=torch.float64), shape), P)
    assert subspace.to_pixels(torch.ones(2, 3, n), shape).shape == (2, 3, pixels)


@each("images")
def test_a_source_names_its_images_and_gives_each_twice_alike(option, photos):
    source = construct({key: value for key, value in node("images", option).items() if key != "batch_size"}, "images")
    assert isinstance(source, ImageSource)
    names = source.names()
    assert len(names) == len(source) == len(set(names)) > 0
    image = source[0]
    assert image.name == names[0] and image.sha256 == source[0].sha256 == source.subset(names[:1])[0].sha256
    assert source.subset(names[-1:]).names() == names[-1:]
    assert image.pixels.ndim == 3 and image.pixels.is_floating_point()
    assert 0 <= float(image.pixels.min()) <= float(image.pixels.max()) <= 1


@pytest.mark.slow(0.7)
@each("model")
def test_a_model_is_a_differentiable_function_of_each_image_alone(option):
    settings = {key: value for key, value in node("model", option).items() if key not in ("name", "layer", "weights")}
    model = prepare_model(construct(settings, "model"))
    x = torch.rand(2, 1, 176, 176, generator=torch.Generator().manual_seed(0))  # the least that five scales of SSIM take
    A, alone = linearise(model, x), linearise(model, x[1:])
    v, u = torch.randn(2, 1, A.shape.n), torch.randn(2, 1, A.shape.m)
    Av, ATu = A.apply(v), A.adjoint(u)
    assert torch.equal(A.apply(v), Av)
    assert torch.allclose(alone.apply(v[1:]), Av[1:], rtol=1e-4, atol=1e-4 * float(Av.abs().max()))
    assert abs(float((Av * u).sum() - (v * ATu).sum())) <= 1e-4 * float(Av.norm() * u.norm())


@each("callbacks")
def test_a_callback_changes_no_number(option, task, photos):
    def pairs(callbacks: list[Any]) -> Any:
        module = EigenModule(Krylov(max_steps=40), seed=0)
        make_trainer(callbacks=callbacks, accelerator="cpu").fit(module, TaskData([task]))
        return module.eigenpairs()[0]

    made = [construct(settings, f"callbacks.{name}") for name, settings in node("callbacks", option).items()]
    alone, watched = pairs([]), pairs(made)
    assert torch.equal(alone.eigendistortions, watched.eigendistortions) and torch.equal(alone.eigenvalues, watched.eigenvalues)


@each("logger")
def test_a_logger_writes_what_it_is_given(option, task, photos):
    before = set(Path().rglob("*"))
    for name, settings in node("logger", option).items():
        logger = construct(settings, f"logger.{name}")
        assert isinstance(logger, ResultLogger)
        logger.begin(task)
        logger.log_image_metrics(0, {"eigenvalue/0": 0.5}, step=1)
        logger.close("success")
    written = [path for path in set(Path().rglob("*")) - before if path.is_file() and path.stat().st_size]
    assert any(task.ids[0] in str(path) for path in written)


@pytest.mark.parametrize("make", [pytest.param(chart.make, id=f"{kind}-{chart.caption}") for kind, chart in page_charts()])
def test_a_chart_of_any_result_is_drawn_by_both_painters(make: Callable[[View], Chart]):
    for k in (1, 3):
        image, pairs = fake_image(), fake_pairs(k=k)
        chart = make(View.of(arrays_of(pairs, image), fake_record(pairs, image), fake_curves(pairs)))
        assert chart.title and chart.label and chart.x.label and chart.y.label and (chart.marks or chart.lines)
        ElementTree.fromstring(chart_svg(chart))
        assert figure_bytes(chart_figure(chart, (3.0, 2.0)), "svg").startswith(b"<?xml")
