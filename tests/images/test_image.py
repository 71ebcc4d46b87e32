import dataclasses

import pytest
import torch

from eigexp.images import Image


def test_the_digest_is_of_dtype_shape_and_bytes():
    pixels = torch.rand(1, 4, 6)
    digest = Image("a", pixels).sha256
    assert len(digest) == 64 and Image("b", pixels.clone()).sha256 == digest
    changed = pixels.clone()
    changed[0, 0, 0] += 1e-6
    for other in (changed, pixels.reshape(1, 6, 4), pixels.double(), pixels.view(torch.int32)):
        assert Image("a", other).sha256 != digest
    assert Image("a", pixels.mT.contiguous().mT).sha256 == digest


def test_a_digest_that_is_given_is_kept():
    assert Image("a", torch.rand(1, 2, 2), sha256="0123").sha256 == "0123"


def test_an_image_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Image("a", torch.rand(1, 2, 2)).name = "b"
