import pytest
import torch
from PIL import Image

from eigexp.errors import ConfigurationError, ImageError
from eigexp.operators import linearise
from eigexp.subspace import Mask

SHAPE = (2, 9, 12)
EYE = torch.eye(2 * 9 * 12)


def kept(mask: Mask, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    """1 where the mask keeps a pixel, as an image."""
    return mask.to_pixels(torch.ones(mask.dimension(shape)), shape).view(shape)


@pytest.fixture
def picture(tmp_path):
    def write(sides: tuple[int, int] = (9, 12)) -> str:
        plane = torch.zeros(sides, dtype=torch.uint8)
        plane[2:4, 5:] = 200
        plane[0, 0] = 127
        Image.fromarray(plane.numpy()).save(tmp_path / "mask.png")
        return str(tmp_path / "mask.png")

    return write


@pytest.mark.parametrize("mask", [Mask(), Mask(extent=0.5), Mask(shape="box", extent=0.4), Mask(shape="box")])
def test_the_columns_are_orthonormal_and_back_is_the_transpose(mask):
    n = mask.dimension(SHAPE)
    P = mask.to_pixels(torch.eye(n), SHAPE).T
    assert torch.equal(P.T @ P, torch.eye(n))
    assert torch.equal(mask.from_pixels(EYE, SHAPE), P)
    assert torch.equal(kept(mask)[0], kept(mask)[1])


def test_leading_axes_are_kept():
    mask = Mask(extent=0.5)
    assert mask.to_pixels(torch.ones(3, 2, mask.dimension(SHAPE)), SHAPE).shape == (3, 2, 216)
    assert mask.from_pixels(torch.ones(3, 2, 216), SHAPE).shape == (3, 2, mask.dimension(SHAPE))


def test_one_mask_serves_images_of_other_channels():
    mask = Mask(shape="box", extent=0.4)
    assert mask.dimension(SHAPE) == 2 * mask.dimension((1, *SHAPE[1:]))


def test_a_whole_box_is_every_pixel():
    assert kept(Mask(shape="box")).all()


def test_a_box_is_a_centred_share_of_the_sides():
    plane = kept(Mask(shape="box", extent=1 / 3))[0].bool()
    rows, columns = plane.any(1).nonzero().flatten(), plane.any(0).nonzero().flatten()
    assert rows.tolist() == [3, 4, 5]
    assert columns.tolist() == [4, 5, 6, 7]
    assert plane.sum() == 12


def test_a_disk_is_symmetric_and_has_its_area():
    plane = kept(Mask(extent=0.8), (1, 101, 151))[0]
    assert torch.equal(plane, plane.flip(0))
    assert torch.equal(plane, plane.flip(1))
    assert float(plane.mean()) == pytest.approx(torch.pi / 4 * 0.64, rel=0.01)


def test_a_file_keeps_what_is_brighter_than_half(picture):
    plane = kept(Mask(shape="file", path=picture()))[1]
    assert plane[2:4, 5:].all()
    assert plane.sum() == 14


def test_a_mask_of_a_file_confines_distortions(picture):
    mask = Mask(shape="file", path=picture())
    A = linearise(lambda x: x.square(), torch.rand(1, *SHAPE), subspace=mask, method="double_backward")
    assert A.shape.n == 28
    assert torch.equal(A.to_pixels(torch.ones(1, 1, 28)).view(SHAPE), kept(mask))


def test_a_file_of_another_size_is_refused(picture):
    with pytest.raises(ImageError, match=r"has size \(9, 13\), but the image \(9, 12\)"):
        Mask(shape="file", path=picture((9, 13))).dimension(SHAPE)


def test_a_file_that_is_missing_or_no_image_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"absent\.png: There is no image file"):
        Mask(shape="file", path=str(tmp_path / "absent.png")).dimension(SHAPE)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ImageError, match=r"text\.png: .*text\.png cannot be read as an image"):
        Mask(shape="file", path=str(tmp_path / "text.png")).dimension(SHAPE)


def test_the_pixels_are_found_once(picture, monkeypatch):
    mask = Mask(shape="file", path=picture())
    mask.dimension(SHAPE)
    monkeypatch.setattr(Image, "open", lambda *args: pytest.fail("read again"))
    mask.to_pixels(torch.ones(mask.dimension(SHAPE)), SHAPE)
    assert mask == Mask(shape="file", path=mask.path)
    assert hash(mask) == hash(Mask(shape="file", path=mask.path))


@pytest.mark.parametrize("shape", [(12,), ()])
def test_an_image_without_a_plane_is_refused(shape):
    with pytest.raises(ImageError, match=r"needs images of two axes or more, but one image has shape \(.*subspace=none"):
        Mask().dimension(shape)


def test_a_mask_that_keeps_nothing_is_refused():
    with pytest.raises(ImageError, match=r"keeps no pixel .*larger subspace\.extent"):
        Mask(extent=0.01).dimension((1, 10, 10))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": "ring"}, r"subspace\.shape=ring is unknown\. Choose disk, box or file"),
        ({"extent": 0.0}, r"subspace\.extent=0\.0 must lie in \(0, 1\]"),
        ({"extent": 1.5}, r"subspace\.extent=1\.5 must lie in \(0, 1\]"),
        ({"extent": float("nan")}, r"subspace\.extent=nan must lie"),
        ({"shape": "file"}, r"subspace\.shape=file and subspace\.path=None disagree"),
        ({"shape": "disk", "path": "a.png"}, r"subspace\.shape=disk and subspace\.path=a\.png disagree"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        Mask(**settings)
