"""Crops at an image's own resolution; tensors of any shape; datasets."""

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from safetensors.torch import save_file

from eigexp.errors import ImageError
from eigexp.images import DatasetImages, ImageFile, ImageFolder, SkimageImages, TensorImages


@pytest.fixture(scope="module")
def camera():
    return SkimageImages("camera", grey=True)[0].pixels


def test_a_box_is_cut_at_the_images_own_resolution(camera):
    cut = SkimageImages("camera", grey=True, crop=[100, 50, 30, 40])[0]
    assert torch.equal(cut.pixels, camera[:, 100:130, 50:90])
    assert "cropped at [100, 50, 30, 40]" in cut.source
    scaled = SkimageImages("camera", size=16, grey=True, crop=[100, 50, 32, 32])[0].pixels
    assert scaled.shape == (1, 16, 16)
    kept = SkimageImages("camera", size=16, grey=True, crop=[100, 50, 32, 32], resize="none")[0].pixels
    assert torch.equal(kept, camera[:, 100:132, 50:82])


def test_centre_random_and_no_scaling(camera):
    centre = SkimageImages("camera", size=[20, 30], grey=True, crop="center")[0].pixels
    assert torch.equal(centre, camera[:, 246:266, 241:271])
    one, again, other = (SkimageImages("camera", size=24, grey=True, crop=f"random({s})")[0].pixels for s in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert (camera.unfold(1, 24, 1).unfold(2, 24, 1) == one[:, None, None]).flatten(3).all(3).any()  # a part of the image, unscaled
    assert torch.equal(SkimageImages("camera", size=64, grey=True, resize="none")[0].pixels, camera)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop": [0, 0, 600, 10]}, "600x10 is not within camera of 512x512"),
        ({"crop": "center", "size": 600}, "600x600 is not within camera"),
        ({"crop": "center"}, "needs images.size"),
        ({"crop": "middle"}, "images.crop=middle is unknown"),
        ({"crop": [1, 2, 3]}, "is not a box"),
        ({"resize": "stretch"}, "images.resize=stretch is unknown"),
    ],
)
def test_framings_that_cannot_be(settings, message):
    with pytest.raises(ImageError) as error:
        SkimageImages("camera", **settings)[0]
    assert message in str(error.value)


def test_files_and_folders_take_the_same_settings(tmp_path):
    array = np.arange(40 * 50, dtype=np.uint8).reshape(40, 50)
    PillowImage.fromarray(array).save(tmp_path / "a.png")
    wanted = torch.from_numpy(array[5:15, 7:27] / 255).float()[None]
    for source in (ImageFile(tmp_path / "a.png", crop=[5, 7, 10, 20]), ImageFolder(tmp_path, crop=[5, 7, 10, 20])):
        torch.testing.assert_close(source[0].pixels, wanted)


@pytest.mark.parametrize("shape", [(7,), (3, 5), (1, 4, 4), (2, 3, 4, 4)])
def test_tensors_are_taken_as_they_are(tmp_path, shape):
    value = 100 * torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    save_file({"b": value[1].clone(), "a": value[0].clone()}, tmp_path / "x.safetensors")
    np.save(tmp_path / "x.npy", value.double().numpy())
    named = TensorImages(tmp_path / "x.safetensors")
    assert named.names() == ["a", "b"] and torch.equal(named[1].pixels, value[1])
    numbered = TensorImages(tmp_path / "x.npy", names="1")
    assert numbered.names() == ["1"] and torch.equal(numbered[0].pixels, value[1].double())


@pytest.mark.parametrize("dtype", [">f4", "<f8", ">i2", "u2"])
def test_arrays_of_either_byte_order(tmp_path, dtype):
    value = np.arange(24).reshape(2, 3, 4).astype(dtype)
    np.save(tmp_path / "x.npy", value)
    assert np.array_equal(TensorImages(tmp_path / "x.npy")[1].pixels.numpy(), value[1])


def test_tensors_that_cannot_be(tmp_path):
    save_file({"a": torch.tensor([1.0, torch.nan])}, tmp_path / "nan.safetensors")
    np.save(tmp_path / "objects.npy", np.array([object()]), allow_pickle=True)
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    for make, message in (
        (lambda: TensorImages(tmp_path / "none.npy"), "is not a .safetensors or .npy file"),
        (lambda: TensorImages(tmp_path / "nan.safetensors", "b"), "has no tensor 'b'"),
        (lambda: TensorImages(tmp_path / "nan.safetensors")[0], "NaN or Inf"),
        (lambda: TensorImages(tmp_path / "objects.npy"), "cannot be read"),
        (lambda: TensorImages(tmp_path / "bad.safetensors"), "cannot be read"),
        (lambda: TensorImages(tmp_path / "words.npy")[0], "words.npy has values of dtype <U1"),
    ):
        with pytest.raises(ImageError) as error:
            make()
        assert message in str(error.value)


class Items:
    """A map-style dataset of one kind of item."""

    def __init__(self, item):
        self.item = item

    def __len__(self):
        return 3

    def __getitem__(self, i):
        return self.item


def test_items_of_a_dataset():
    array = np.arange(64, dtype=np.uint8).reshape(8, 8)
    picture = PillowImage.fromarray(array)
    source = DatasetImages(Items((picture, 5)), indices=[2], crop=[0, 0, 4, 4])
    assert source.names() == ["00002"] and "item 2 of Items" in source[0].source
    torch.testing.assert_close(source[0].pixels, torch.from_numpy(array[:4, :4] / 255).float()[None])
    tensor = torch.randn(3, 4, 4)
    assert torch.equal(DatasetImages(Items(tensor))[0].pixels, tensor)
    assert DatasetImages(Items(picture.convert("RGB")), size=4, grey=True)[0].pixels.shape == (1, 4, 4)
    with pytest.raises(ImageError, match="there is no item 3"):
        DatasetImages(Items(tensor), indices=[3])
    with pytest.raises(ImageError, match="begins with a str"):
        DatasetImages(Items("a"))[0]
    with pytest.raises(ImageError, match="not a map-style dataset"):
        DatasetImages(5)


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_pictures_of_a_dataset_keep_their_depth(mode):
    deep = np.array([[0, 300], [40_000, 65_535]], np.uint16)
    picture = PillowImage.frombytes(mode, (2, 2), deep.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    np.testing.assert_allclose(DatasetImages(Items(picture))[0].pixels[0].numpy(), deep / 65_535, rtol=1e-6)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "1", "CMYK"])
def test_pictures_of_a_dataset_are_read_like_files(mode, tmp_path):
    picture = PillowImage.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).convert(mode)
    picture.save(tmp_path / "a.tif")
    assert torch.equal(DatasetImages(Items(picture))[0].pixels, ImageFile(tmp_path / "a.tif")[0].pixels)


def test_integers_of_a_dataset_are_divided_by_the_largest_of_their_dtype():
    for dtype in (torch.uint8, torch.uint16):
        largest = torch.full((1, 2, 2), torch.iinfo(dtype).max, dtype=dtype)
        assert DatasetImages(Items(largest))[0].pixels.unique().tolist() == [1.0]
    for item in (PillowImage.new("I", (2, 2), 300), torch.ones(1, 2, 2, dtype=torch.int16)):
        with pytest.raises(ImageError, match="have no known range"):
            DatasetImages(Items(item))[0]
