import numpy as np
import pytest
import torch
from skimage.color import rgb2gray
from skimage.transform import resize

from eigexp.errors import ImageError
from eigexp.images.transforms import center_crop, check_size, scale_to_cover, transform

RNG = np.random.default_rng(0)
COLOUR = RNG.random((31, 45, 3))


@pytest.mark.parametrize(("size", "expected"), [(None, None), (8, (8, 8)), ([8, 9], (8, 9)), ((8, 9), (8, 9))])
def test_sizes(size, expected):
    assert check_size(size) == expected


@pytest.mark.parametrize("size", [0, -3, [8], [8, 9, 10], [8, 0], [8.5, 8], 2.5, True, [True, 8], []])
def test_wrong_sizes_are_told(size):
    with pytest.raises(ImageError, match=r"images\.size=.* is not a size"):
        check_size(size)


def test_grey_is_that_of_scikit_image():
    assert np.allclose(transform(COLOUR, None, grey=True)[0], rgb2gray(COLOUR), atol=1e-7)


def test_colour_channels():
    grey = COLOUR[..., :1]
    assert transform(grey, None, grey=False).shape == (3, 31, 45)
    assert transform(grey, None, grey=None).shape == (1, 31, 45)
    assert torch.equal(transform(COLOUR, None, grey=None), torch.from_numpy(COLOUR).permute(2, 0, 1).float())


@pytest.mark.parametrize("size", [(16, 16), (20, 9), (7, 40), (64, 64), (31, 45)])
def test_the_image_covers_the_size_in_proportion_and_stays_in_range(size):
    pixels = transform(COLOUR, size, grey=None)
    assert pixels.shape == (3, *size) and pixels.dtype == torch.float32
    assert pixels.min() >= 0 and pixels.max() <= 1


def test_scaling_averages_what_it_drops():
    ramp = torch.linspace(0, 1, 64, dtype=torch.float64).expand(1, 64, 64)
    small = scale_to_cover(ramp, (16, 16))
    expected = resize(ramp[0].numpy(), (16, 16), anti_aliasing=True)
    assert np.abs(small[0].numpy() - expected)[:, 2:-2].max() < 2e-3
    checkers = (torch.arange(64).view(-1, 1) + torch.arange(64)) % 2
    assert (scale_to_cover(checkers.double().unsqueeze(0), (16, 16)) - 0.5).abs().max() < 0.02


def test_scaling_down_averages_over_all_pixels_and_not_over_the_nearest_two():
    stripes = (torch.arange(64) % 4 % 3 == 0).double().expand(1, 64, 64)  # 1 0 0 1: the two pixels at the centre of four are black
    assert (scale_to_cover(stripes, (16, 16)) - 0.5).abs().max() < 0.1


@pytest.mark.parametrize(("size", "expected"), [((7, 40), (28, 40)), ((17, 17), (17, 25)), ((16, 16), (16, 23)), ((62, 45), (62, 90))])
def test_scaling_covers_the_size_in_proportion(size, expected):
    scaled = scale_to_cover(torch.from_numpy(COLOUR).permute(2, 0, 1), size)
    assert scaled.shape[1:] == expected
    assert scaled.dtype == scale_to_cover(torch.rand(1, 8, 8), (4, 4)).dtype == torch.float64


def test_scaled_pixels_lie_on_a_grid_that_hides_rounding():
    scaled = scale_to_cover(torch.from_numpy(COLOUR).permute(2, 0, 1), (16, 16)) * 2**20
    assert torch.equal(scaled, scaled.round())


def test_the_crop_is_central():
    pixels = torch.arange(35.0).view(1, 5, 7)
    assert torch.equal(center_crop(pixels, (3, 4)), pixels[:, 1:4, 1:5])
    assert torch.equal(center_crop(pixels, (2, 7)), pixels[:, 1:3])  # the larger half of an odd margin is cut at the bottom


def test_an_image_at_its_own_size_is_untouched():
    assert torch.equal(transform(COLOUR, (31, 45), None), transform(COLOUR, None, None))
