import inspect
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import get_object
from omegaconf import OmegaConf
from PIL import Image as PillowImage

from eigexp.errors import ImageError, MissingDependencyError
from eigexp.images import ImageFile, ImageFolder, PlenopticImages, SkimageImages

CONF = Path(__file__).parents[2] / "conf" / "images"


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("b.png", "a.png", "c.JPG", "deep/d.tif", "deep/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        PillowImage.fromarray(rng.integers(0, 256, (20, 24), np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_a_photograph_of_scikit_image():
    source = SkimageImages(names=["camera"], size=64, grey=True)
    assert source.names() == ["camera"] and len(source) == 1
    image = source[0]
    assert image.pixels.shape == (1, 64, 64) and image.source == "camera.png of scikit-image, 512x512 resized to 64x64, grey"
    assert image.sha256 == source[0].sha256 != SkimageImages("camera", 65, True)[0].sha256


def test_pixels_are_the_file_s_own_without_a_size():
    from skimage import data

    image = SkimageImages("camera")[0]
    assert torch.equal(image.pixels[0], torch.from_numpy(data.camera() / 255).float())


@pytest.mark.parametrize("names", [None, []])
def test_all_photographs_are_listed_without_reading_them(names, monkeypatch):
    monkeypatch.setattr("eigexp.images.sources.read_image", None)
    listed = SkimageImages(names).names()
    assert {"astronaut", "camera", "coffee", "moon"} <= set(listed) and "logo" not in listed


def test_every_photograph_loads():
    for image in SkimageImages(size=32, grey=True):
        assert image.pixels.shape == (1, 32, 32) and image.pixels.std() > 0.01, image.name


def test_opacity_of_a_listed_image_is_dropped():
    assert SkimageImages("logo", size=16)[0].pixels.shape == (3, 16, 16)


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(ImageError, match=r"no image 'camra'\. Did you mean camera"):
        SkimageImages(["camra"])


def test_plenoptic_images():
    pytest.importorskip("plenoptic")
    assert PlenopticImages("einstein", 32)[0].pixels.shape == (1, 32, 32)
    assert "einstein" in PlenopticImages().names()


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setattr("eigexp.images.sources.find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"plenoptic, which is not installed.*eigexp\[models\]"):
        PlenopticImages()


def test_a_file(folder):
    source = ImageFile(folder / "b.png", size=[10, 12])
    image = source[0]
    assert source.names() == ["b"] and image.pixels.shape == (1, 10, 12)
    assert str(folder) not in image.source and "b.png" in image.source


def test_a_missing_file_is_told_and_a_folder_is_not_a_file(folder):
    with pytest.raises(ImageError, match=r"images\.path=nowhere\.png is not a file"):
        ImageFile("nowhere.png")
    with pytest.raises(ImageError, match="images=folder"):
        ImageFile(folder)


def test_a_folder_is_sorted(folder):
    source = ImageFolder(folder)
    assert source.names() == ["a", "b", "c"]
    assert [image.name for image in source] == source.names()


def test_a_folder_by_a_pattern(folder):
    assert ImageFolder(folder, "*.png").names() == ["a", "b"]
    assert ImageFolder(folder, "**/*").names() == ["a", "b", "c", "deep/a", "deep/d"]
    shutil.copy(folder / "a.png", folder / "a.tif")
    assert ImageFolder(folder, "a*").names() == ["a.png", "a.tif"]


def test_the_same_picture_elsewhere_has_the_same_identity(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere")
    shutil.copy(folder / "b.png", other / "b.png")
    here, there = ImageFile(folder / "b.png")[0], ImageFile(other / "b.png")[0]
    assert (here.name, here.source, here.sha256) == (there.name, there.source, there.sha256)


def test_an_empty_folder_a_missing_one_and_a_file_are_told(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=r"holds no image that matches images\.pattern=\*\."):
        ImageFolder(tmp_path / "empty")
    with pytest.raises(ImageError, match=r"images\.pattern=\*\.gif"):
        ImageFolder(folder, "*.gif")
    with pytest.raises(ImageError, match=r"images\.path=nowhere is not a folder"):
        ImageFolder("nowhere")
    with pytest.raises(ImageError, match="images=file"):
        ImageFolder(folder / "a.png")


@pytest.mark.parametrize("size", [0, "big", [1, 2, 3]])
def test_a_wrong_size_is_told_before_anything_is_read(size):
    with pytest.raises(ImageError, match=r"images\.size"):
        SkimageImages("camera", size=size)


@pytest.mark.parametrize("file", sorted(CONF.glob("*.yaml")), ids=lambda file: file.stem)
def test_configurations_name_the_arguments_of_their_constructor(file):
    config = OmegaConf.load(file)
    assert set(config) - {"_target_", "batch_size"} <= set(inspect.signature(get_object(config["_target_"])).parameters)


def test_lists_of_a_configuration_are_taken():
    config = OmegaConf.create({"names": ["camera", "moon"], "size": [16, 20]})
    assert SkimageImages(names=config.names, size=config["size"], grey=True)[1].pixels.shape == (1, 16, 20)


def test_a_subset_reads_its_own_images_alone(folder, monkeypatch):
    read = []
    real = ImageFolder.__getitem__
    monkeypatch.setattr(ImageFolder, "__getitem__", lambda self, i: read.append(i) or real(self, i))
    source = ImageFolder(folder)
    part = source.subset(["c", "a"])
    assert part.names() == [name for name in source.names() if name in ("a", "c")] and len(part) == 2 and not read
    assert part[1].sha256 == source[source.names().index("c")].sha256
    with pytest.raises(ImageError, match=r"images\.subset: there is no image 'x'"):
        source.subset(["a", "x"])
