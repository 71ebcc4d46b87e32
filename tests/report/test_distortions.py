"""The figure of a result shows what it says, for every kind of image, and hides no clipping."""

import io
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image as PillowImage

from eigexp.errors import ConfigurationError
from eigexp.images import Image
from eigexp.pairs import NullSpace
from eigexp.report import distortion_figure, figure_png
from eigexp.store import Store, arrays_of
from tests.store.fakes import fake_curves, fake_image, fake_pairs, fake_record, write_fake

ROOT = Path(__file__).parents[2]


def parts(shape=(1, 16, 16), name="camera", k=1, **changes):
    image, pairs = fake_image(shape, name), fake_pairs(shape, k=k, **changes)
    return arrays_of(pairs, image), fake_record(pairs, image), fake_curves(pairs)


def texts(figure) -> str:
    found = [t.get_text() for axes in figure.axes for t in [axes.title, axes._left_title, axes.xaxis.label, *axes.texts]]
    return "\n".join([figure.get_suptitle(), *found])


def shown(figure) -> dict[str, np.ndarray]:
    """Every picture by the title above it (those after the first of one title are numbered)."""
    found: dict[str, np.ndarray] = {}
    for axes in figure.axes:
        for picture in axes.images:
            title = axes.get_title(loc="left")
            found[title if title not in found else f"{title} 2"] = np.asarray(picture.get_array())
    return found


def test_panels_hold_the_image_and_the_sums_at_one_norm():
    arrays, record, curves = parts()
    pictures = shown(distortion_figure(arrays, record, curves, scale=2.0))
    image, (top, bottom) = arrays["image"][0], arrays["eigendistortions"][:, 0]
    assert np.allclose(pictures["image"], image)
    assert np.allclose(pictures["image + 2 × distortion"], np.clip(image + 2 * top, 0, 1), atol=1e-6)
    assert np.allclose(pictures["image + 2 × distortion 2"], np.clip(image + 2 * bottom, 0, 1), atol=1e-6)
    alone = pictures["most noticeable:  λ = 10"]
    assert np.allclose(alone, 0.5 + top / (2 * abs(top).max()), atol=1e-6)


def test_words_say_what_the_result_rests_on():
    arrays, record, curves = parts()
    words = texts(distortion_figure(arrays, record, curves))
    for part in (
        "onoff",
        "camera",
        "λ = 10",
        "λ in [7, 13]×10⁻⁵",
        "Krylov evidence",
        "converged, verified",
        "[5.62, 5.94]",
        "256 pixels",
        "512 responses",
        "212 products",
    ):
        assert part in words, part
    assert "response² / pixel²" in words


def test_facts_of_a_large_result_end_before_the_next_picture():
    arrays, record, curves = parts((3, 224, 224), verified=False, status="budget")
    record |= {"m": 2**25, "fisher_vector_products": 123_456.0, "null_space": {"dimension_at_least": 2**20}}
    figure = distortion_figure(arrays, record, curves)
    renderer = FigureCanvasAgg(figure).get_renderer()
    (facts,) = (axes for axes in figure.axes if any("33,554,432 responses" in t.get_text() for t in axes.texts))
    beside = min(axes.bbox.x0 for axes in figure.axes if axes.bbox.x0 > facts.bbox.x0)
    assert max(t.get_window_extent(renderer).x1 for t in facts.texts) < beside


def test_a_ratio_of_two_models_names_the_second_and_has_no_units_of_responses():
    arrays, record, curves = parts()
    plain = texts(distortion_figure(arrays, record, curves))
    assert "response² / pixel²" in plain and "against" not in plain
    record |= {
        "identity": {**record.get("identity", {}), "against": {"model": {"name": "lg"}}},
        "settings": {"against": "lg", "floor": 0.01},
    }
    figure = distortion_figure(arrays, record, curves)
    assert "against lg" in texts(figure) and "ratio of sensitivities" in texts(figure)
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert "λ  (ratio of sensitivities)" in labels and not any("pixel²" in text for text in [*labels, texts(figure)])


def test_each_end_has_its_own_evidence_and_what_is_not_verified_says_so():
    arrays, record, curves = parts(evidence={"top": "krylov", "bottom": "budget"}, verified=False, status="budget")
    words = texts(distortion_figure(arrays, record, curves)).splitlines()
    facts = dict(itertools.pairwise(words))
    assert facts["status"] == "budget, not verified"
    assert (facts["largest"], facts["smallest"]) == ("Krylov evidence", "stopped on budget, not verified")


def test_share_of_clipped_values_is_printed():
    image = Image("white", torch.ones(1, 10, 10))
    pairs = fake_pairs((1, 10, 10))
    figure = distortion_figure(arrays_of(pairs, image), fake_record(pairs, image), scale=3.0)
    top = pairs.eigendistortions[0].numpy()
    share = 100 * np.mean((1 + 3 * top.astype(float) > 1) | (1 + 3 * top.astype(float) < 0))
    assert f"{share:.2g} % of values clipped" in texts(figure)


def test_nothing_clipped_is_said_too():
    image = Image("grey", torch.full((1, 10, 10), 0.5))
    pairs = fake_pairs((1, 10, 10))
    assert "nothing clipped" in texts(distortion_figure(arrays_of(pairs, image), scale=0.1))


@pytest.mark.slow(0.4)
@pytest.mark.parametrize(
    "shape", [(1, 16, 16), (3, 16, 12), (16, 16), (2, 9, 9), (5, 3, 8, 8), (40,), (1, 40), (1, 2, 30), (1, 1, 1), (2,)]
)
def test_every_shape_gives_a_figure(shape):
    arrays, record, curves = parts(shape)
    content = figure_png(distortion_figure(arrays, record, curves), dpi=60)
    assert PillowImage.open(io.BytesIO(content)).size[0] > 500


def test_colour_images_stay_in_colour():
    arrays, record, curves = parts((3, 16, 16))
    assert np.allclose(shown(distortion_figure(arrays, record, curves))["image"], np.moveaxis(arrays["image"], 0, -1))


def test_channel_chooses_and_an_absent_one_is_refused():
    arrays, record, curves = parts((4, 16, 16))
    assert np.allclose(shown(distortion_figure(arrays, record, curves, channel=2))["image"], arrays["image"][2])
    assert np.allclose(shown(distortion_figure(arrays, record, curves, channel=[3, 1, 0]))["image"][..., 0], arrays["image"][3])
    with pytest.raises(ConfigurationError, match="channel=7 does not fit 4 channels"):
        distortion_figure(arrays, record, curves, channel=7)


def test_eigenindex_chooses_and_an_absent_one_is_refused():
    arrays, record, curves = parts(k=3)
    words = texts(distortion_figure(arrays, record, curves, eigenindex=[1, -2]))
    assert "eigenindex 1:" in words
    assert "eigenindex 254:" in words
    with pytest.raises(ConfigurationError, match=r"no eigendistortion of eigenindex 7\. Known: 0, 1, 2, 253"):
        distortion_figure(arrays, record, curves, eigenindex=[7])


def test_process_image_maps_what_is_shown():
    arrays, record, curves = parts()
    pictures = shown(distortion_figure({**arrays, "image": arrays["image"] * 4 - 2}, record, curves, process_image=lambda a: (a + 2) / 4))
    assert np.allclose(pictures["image"], arrays["image"][0], atol=1e-6)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_shows_nothing_is_refused(scale):
    with pytest.raises(ConfigurationError, match=r"figure\.scale"):
        distortion_figure(*parts(), scale=scale)


def test_only_one_end_is_enough():
    arrays, record, curves = parts()
    top = {name: values if name == "image" else values[:1] for name, values in arrays.items()}
    figure = distortion_figure(top, record, curves)
    assert len([axes for axes in figure.axes if axes.images]) == 3


def test_a_bottom_that_may_be_zero_is_given_by_its_bound():
    arrays, record, curves = parts(eigenvalues=torch.tensor([10.0, 0.0], dtype=torch.float64), null_space=NullSpace(40, 44.0))
    words = texts(distortion_figure(arrays, record, curves))
    assert "λ ≤ 3×10⁻⁵" in words
    assert "at least 40 of 256" in words


def test_names_are_text_and_never_formulas():
    arrays, record, _ = parts(name=r"$\frac{1}$ <b> 画像")
    record["model"] = "$x^{$ " * 30
    content = figure_png(distortion_figure(arrays, record))
    assert content.startswith(b"\x89PNG")


def test_arrays_alone_and_stored_results_are_enough(tmp_path):
    arrays, _, _ = parts()
    assert "most noticeable" in texts(distortion_figure(arrays))
    result = Store(tmp_path).read(write_fake(tmp_path))
    assert "212 products" in texts(distortion_figure(result))
    with pytest.raises(ConfigurationError, match="The arrays do not contain image"):
        distortion_figure({name: values for name, values in arrays.items() if name != "image"})


BARE = """
import sys
import numpy as np
from eigexp.report import distortion_figure, figure_png
rng = np.random.default_rng(0)
arrays = {"image": rng.random((1, 8, 8)), "eigendistortions": rng.random((2, 1, 8, 8)), "eigenvalues": np.array([1, 0.1])}
one, other = (figure_png(distortion_figure({**arrays, "eigenindex": np.array([0, 63])})) for _ in range(2))
assert one == other
assert not {"matplotlib.pyplot", "torch", "lightning"} & set(sys.modules)
"""


@pytest.mark.slow(2)
def test_no_pyplot_no_torch_and_the_same_bytes_twice():
    run = subprocess.run([sys.executable, "-W", "error", "-c", BARE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_labels_do_not_overlap():
    figure = distortion_figure(*parts((1, 64, 64)))
    figure_png(figure)
    renderer = figure.canvas.get_renderer()
    labels = [t for axes in figure.axes for t in [axes._left_title, axes.xaxis.label, *axes.texts] if t.get_text()]
    boxes = [(label.get_text(), label.get_window_extent(renderer)) for label in labels]
    overlaps = [(a, b) for i, (a, first) in enumerate(boxes) for b, second in boxes[:i] if first.overlaps(second)]
    assert overlaps == []
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width for _, box in boxes)


def test_an_interval_that_reaches_zero_leaves_d_open():
    values = torch.tensor([10.0, 1e-4], dtype=torch.float64)
    arrays, record, curves = parts(eigenvalues=values, intervals=torch.tensor([[10.0, 10.0], [0.0, 2e-4]], dtype=torch.float64))
    assert "at least 5.4" in texts(distortion_figure(arrays, record, curves))
