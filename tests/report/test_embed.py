"""Pictures for a page keep to their budget, and distortions can be read back from their bytes."""

import base64
import io

import numpy as np
import pytest
from PIL import Image as PillowImage

from eigexp.report.embed import embed_distortion, embed_distortions, embed_image, reduction
from tests.store.fakes import blob, unit


def decoded(uri: str) -> np.ndarray:
    return np.asarray(PillowImage.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def noise(shape=(1, 64, 64), seed=0) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal(shape))


def test_a_distortion_is_read_back_to_half_a_step():
    distortion = unit(blob((1, 64, 64), 0))
    found = embed_distortion(distortion, 100_000)
    assert found.steps == 127
    back = (decoded(found.uri).astype(float) - 128) / 127 * found.peak
    assert np.abs(back - distortion[0]).max() <= found.peak / 254 + 1e-9


@pytest.mark.parametrize("budget", [3000, 2000, 1500])
def test_noise_gets_coarser_but_stays_within_its_budget(budget):
    distortion = noise()
    found = embed_distortion(distortion, budget)
    assert found.size <= budget
    back = (decoded(found.uri).astype(float) - 128) / 127 * found.peak
    assert np.abs(back - distortion[0]).max() <= found.peak * (0.5 / found.steps + 0.5 / 127) + 1e-9
    assert set(np.unique(decoded(found.uri))) & {128} == {128}  # zero stays mid-grey


def test_what_a_smooth_one_leaves_goes_to_the_noise():
    pair = [unit(blob((1, 64, 64), 0)), noise()]
    alone, shared = embed_distortion(pair[1], 2500), embed_distortions(pair, 5000)
    assert shared[0].steps == 127
    assert shared[1].steps > alone.steps
    assert sum(found.size for found in shared) <= 5000


def test_colour_stays_colour():
    assert decoded(embed_distortion(noise((3, 32, 32)), 10**6).uri).shape == (32, 32, 3)


def test_images_are_exact_where_small_and_jpeg_where_not():
    image = np.random.default_rng(0).integers(0, 256, (3, 64, 64)) / 255
    exact = embed_image(image, 10**6)
    assert exact.startswith("data:image/png")
    assert np.array_equal(decoded(exact), np.moveaxis(image * 255, 0, -1).round())
    assert embed_image(image, 5000).startswith("data:image/jpeg")


def test_large_pictures_are_averaged_down():
    assert [reduction((1, 256, 256)), reduction((3, 385, 100)), reduction((1, 1024, 2000))] == [1, 2, 6]
    assert decoded(embed_image(np.full((1, 801, 400), 0.5), 10**6)).shape == (267, 133)
