import copy
import pickle

import pytest
import torch
from torch.nn import functional as F

from eigexp.models.filters import MIN_SIDE, RADIUS, GaussianStage, gaussian_matrices, gaussian_taps


def test_taps_sum_to_one_and_fall_off_as_a_gaussian():
    taps = gaussian_taps(torch.tensor([0.5, 3.0, 170.0], dtype=torch.float64))
    assert torch.allclose(taps.sum(1), torch.ones(3, dtype=torch.float64), atol=1e-15)
    ratio = taps[1, RADIUS + 2] / taps[1, RADIUS]
    assert ratio.item() == pytest.approx(torch.exp(torch.tensor(-4 / 18.0, dtype=torch.float64)).item(), rel=1e-14)


@pytest.mark.parametrize("size", [MIN_SIDE, 17, 31, 50])
def test_a_matrix_is_reflect_padding_then_correlation(size):
    signal = torch.rand(size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    std = torch.tensor([2.5], dtype=torch.float64)
    padded = F.pad(signal.view(1, 1, -1), (RADIUS, RADIUS), mode="reflect")
    expected = F.conv1d(padded, gaussian_taps(std).view(1, 1, -1)).flatten()
    assert torch.allclose(gaussian_matrices(std, size)[0] @ signal, expected, atol=1e-14)


def test_a_changed_standard_deviation_is_seen():
    stage, std, x = GaussianStage(), torch.tensor([1.0]), torch.rand(1, 1, 20, 24)
    before = stage(x, (std,))
    std.fill_(3.0)
    assert torch.equal(stage(x, (std,)), GaussianStage()(x, (torch.tensor([3.0]),)))
    assert not torch.equal(stage(x, (std,)), before)


def test_matrices_are_kept_and_few():
    stage, std = GaussianStage(), torch.tensor([1.0])
    for size in (16, 17, 18, 19, 20, 21):
        stage(torch.rand(1, 1, size, size), (std,))
    assert len(stage._cache) == 4
    first = stage._blocks(torch.rand(1, 1, 21, 21), (std,))
    assert stage._blocks(torch.rand(2, 1, 21, 21), (std,))[0] is first[0]


@pytest.mark.parametrize(("h", "w"), [(191, 40), (193, 256), (330, 17)])
def test_blocks_of_large_sides_are_the_whole_product(h, w):
    stds = (torch.tensor([0.7, 40.0]), torch.tensor([3.0]))
    x = torch.rand(2, 1, h, w, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows, columns = (gaussian_matrices(torch.cat(stds), size) for size in (h, w))
    assert torch.allclose(GaussianStage()(x, stds), rows @ x @ columns.mT, atol=1e-14)


def test_copies_and_pickles_are_empty():
    stage = GaussianStage()
    stage(torch.rand(1, 1, 16, 16), (torch.tensor([1.0]),))
    assert not copy.deepcopy(stage)._cache and not pickle.loads(pickle.dumps(stage))._cache


def test_matrices_made_in_inference_mode_serve_gradients():
    stage, std = GaussianStage(), torch.tensor([1.0])
    with torch.inference_mode():
        stage(torch.rand(1, 1, 16, 16), (std,))
    x = torch.rand(1, 1, 16, 16, requires_grad=True)
    stage(x, (std,)).sum().backward()
    assert x.grad is not None


def test_a_repeated_standard_deviation_filters_one_image_once():
    """And several images, which are different, each by their own."""
    stds, x = (torch.tensor([3.0, 1.0]), torch.tensor([2.0, 3.0])), torch.rand(2, 1, 20, 24)
    stage = GaussianStage()
    filtered = stage(x, stds)
    assert filtered.shape == (2, 4, 20, 24)
    for channel, std in enumerate(torch.cat(stds)):
        assert torch.equal(filtered[:, channel : channel + 1], GaussianStage()(x, (std.view(1),)))
    (cached,) = stage._cache.values()
    assert [len(matrix) for blocks in cached[1:3] for _, matrix in blocks] == [3, 3]
    many = torch.rand(2, 4, 20, 24)
    assert torch.equal(stage(many, stds)[:, 3:], GaussianStage()(many[:, 3:], (torch.tensor([3.0]),)))
