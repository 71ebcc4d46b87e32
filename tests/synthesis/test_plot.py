"""The figure of an object."""

import numpy as np
import pytest

from eigexp import Eigendistortion
from tests.synthesis.toys import Bare, LinearMap, linear_object, picture, quietly, random_matrix

TALL = random_matrix("tall", 0)


@pytest.fixture
def eig():
    return linear_object(TALL)


def test_the_figure_is_that_of_a_result(eig):
    eig.synthesize(k=2, progress=False)
    figure = eig.plot()
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert any("most noticeable" in t for t in titles) and any("least noticeable" in t for t in titles)
    figure.canvas.draw()


@pytest.mark.slow(0.9)
def test_the_figure_of_chosen_ranks(eig):
    eig.synthesize(k=2, progress=False)
    assert len(eig.plot([0, 1, -2, -1]).axes) > len(eig.plot(-1).axes)
    with pytest.raises(ValueError, match="eigenindex=7 was not synthesized"):
        eig.plot([0, 7])


def test_a_figure_before_synthesis_is_a_value_error(eig):
    with pytest.raises(ValueError, match="no eigendistortions yet"):
        eig.plot()


def test_the_figure_of_randomized_svd_and_of_one_axis():
    eig = quietly(Eigendistortion, picture(36), Bare(lambda x: TALL @ x).eval())
    quietly(eig.synthesize, "randomized_svd", progress=False)
    eig.plot().canvas.draw()


def test_the_figure_of_a_channel_with_a_scale_and_a_process():
    images = picture(2, 4, 3, 3)
    eig = Eigendistortion(images, LinearMap(TALL).eval())
    eig.synthesize(progress=False)
    seen = []

    def process(pixels):
        seen.append(pixels)
        return np.clip(pixels, 0, 1)

    figure = eig.plot(0, channel=2, scale=0.5, process_image=process, image=1)
    assert any("0.5" in axes.get_title(loc="left") for axes in figure.axes)
    np.testing.assert_array_equal(seen[0], images[1].numpy())
