"""Subspaces: what they hold, against transforms of SciPy and plenoptic, and B^T F B by numpy."""

import numpy as np
import pytest
import scipy.fft
import torch
from plenoptic.process import SteerablePyramidFreq

from eigexp.errors import ConfigurationError, ImageError, MemoryLimitError
from eigexp.models import OnOff, prepare_model
from eigexp.operators import dense_matrix, linearise
from eigexp.solvers import Krylov, Sparse
from eigexp.subspace import Band, Colour, Composition, FileBasis, Mask, Tangent, Window
from tests.noise.test_runs import certified, image
from tests.subspace.decoder import Decoder

SHAPE = (1, 16, 16)


def columns(subspace, shape=SHAPE):
    return subspace.to_pixels(torch.eye(subspace.dimension(shape), dtype=torch.float64), shape)


def random(subspace, shape, seed=0):
    v = torch.randn(subspace.dimension(shape), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return subspace.to_pixels(v, shape).view(shape)


@pytest.fixture
def latent(tmp_path):
    np.save(tmp_path / "latent.npy", np.array([0.1, -0.2, 0.3, 0.4]))
    return str(tmp_path / "latent.npy")


@pytest.mark.parametrize(
    "subspace",
    [
        Band(0.05, 0.2),
        Band(0.1, 0.3, orientation=30.0),
        Window(extent=0.8),
        Window("cosine", 0.6, y=0.3),
        Composition([Mask(extent=0.8), Band(0, 0.2)]),
    ],
    ids=lambda s: s.name,
)
def test_pairs_are_those_of_the_projected_matrix(subspace):
    model = prepare_model(OnOff()).double()
    J = dense_matrix(linearise(model, image(16)))[0].numpy()
    B = columns(subspace).numpy().T
    truth = np.linalg.eigvalsh(B.T @ (J.T @ J) @ B)[::-1]
    pairs = certified(linearise(model, image(16), subspace=subspace), Krylov(k=2))
    index = pairs.eigenindex.numpy()
    low, high = pairs.intervals.numpy().T
    assert pairs.verified and pairs.n == B.shape[1]
    assert (low <= truth[index] + 1e-12).all() and (truth[index] <= high + 1e-12).all()
    v = pairs.eigendistortions.flatten(1).numpy()
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(v @ B @ B.T, v, atol=1e-12)
    np.testing.assert_allclose(((v @ J.T) ** 2).sum(1), pairs.eigenvalues.numpy(), rtol=1e-9, atol=1e-15)


def test_the_sparse_solver_takes_a_subspace():
    model, subspace = prepare_model(OnOff()).double(), Band(0, 0.2)
    A = linearise(model, image(16), subspace=subspace)
    J = dense_matrix(A)[0]
    top = certified(A, Sparse(k=1)).eigenvalues[0]
    torch.testing.assert_close(top, torch.linalg.eigvalsh(J.T @ J)[-1], rtol=1e-9, atol=0)


def test_a_band_of_cosines_is_that_of_scipy():
    x = random(Band(0.1, 0.3), (2, 12, 20)).numpy()
    spectrum = scipy.fft.dctn(x, axes=(1, 2), norm="ortho")
    radius = np.hypot(np.arange(12)[:, None] / 24, np.arange(20) / 40)
    inside = (radius >= 0.1) & (radius < 0.3)
    assert np.abs(spectrum[:, ~inside]).max() < 1e-12 < np.abs(spectrum[:, inside]).min()


def test_bands_that_meet_fill_the_image():
    bands = [Band(0, 0.2), Band(0.2, 1)]
    assert sum(b.dimension((3, 9, 10)) for b in bands) == 270
    turned = [Band(0.01, 1, orientation=angle, width=45) for angle in (0, 45, 90, 135)]
    assert 0 < sum(b.dimension(SHAPE) for b in turned) <= 256


@pytest.mark.parametrize(("orientation", "expected"), [(0.0, (0, 1)), (90.0, (1, 0)), (45.0, (-1, 1)), (135.0, (1, 1))])
def test_an_orientation_counts_from_horizontal(orientation, expected):
    """A wave along (dy, dx) in rows downwards and columns to the right lies within its own orientation and no other's."""
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    wave = torch.cos(2 * torch.pi * 2 / 16 * (expected[0] * y + expected[1] * x) + 0.3).double().view(1, -1)
    for angle in (0.0, 45.0, 90.0, 135.0):
        kept = float(Band(0.01, 0.4, orientation=angle, width=40).from_pixels(wave, SHAPE).norm() / wave.norm())
        assert kept == pytest.approx(float(angle == orientation), abs=1e-6)


def test_a_steerable_band_is_that_of_the_pyramid():
    """A distortion in the octave and orientation of one of the pyramid's bands excites that band most."""
    pyramid = SteerablePyramidFreq((64, 64), height=3, order=3).double()
    for scale, low in enumerate((0.25, 0.125, 0.0625)):
        found = []
        for angle in (0.0, 45.0, 90.0, 135.0):
            x = random(Band(low * 0.75, low * 1.25, orientation=angle, width=30), (1, 64, 64))
            bands = [pyramid(x[None])[s].square().sum((0, 1, 3, 4)) for s in range(3)]
            found.append(divmod(int(torch.stack(bands).argmax()), 4))
        assert len(set(found)) == 4 and {s for s, _ in found} == {scale}


def test_a_window_fades():
    x = random(Window("cosine", 0.5, high=0.3), (2, 32, 48)).abs()
    assert x[:, :8].max() < 1e-12 and x[:, :, :12].max() < 1e-12 and x[:, 10:22, 16:32].max() > 0.01
    energy = columns(Window("gaussian", 0.5, high=0.1), (1, 32, 32)).square().sum(0).view(32, 32)
    assert energy[16, 16] > 100 * energy[16, 4] and energy[16, 16] > energy[16, 8] > energy[16, 6] > 0


def test_a_window_has_a_centre():
    energy = columns(Window(extent=0.4, y=0.25, x=0.75), (1, 32, 32)).square().sum(0).view(32, 32)
    top = int(energy.argmax())
    assert energy[8, 24] > 0.5 * energy.max() > 1e4 * energy[24, 8] and abs(top // 32 - 8) < 5


def test_colours_are_orthogonal_axes():
    shape = (3, 4, 5)
    axes = [columns(Colour(axis), shape) for axis in ("luminance", "red_green", "blue_yellow")]
    whole = torch.cat(axes)
    torch.testing.assert_close(whole @ whole.T, torch.eye(60, dtype=torch.float64))
    assert (random(Colour("luminance"), shape).std(0) < 1e-15).all()
    assert random(Colour("green"), shape)[[0, 2]].abs().max() == 0
    with pytest.raises(ImageError, match=r"needs images of 3 channels, but got shape \(1, 4, 5\)"):
        Colour().dimension((1, 4, 5))


def test_a_file_s_vectors_are_made_orthonormal(tmp_path):
    rows = np.random.default_rng(0).normal(size=(3, *SHAPE))
    rows = np.concatenate([rows, rows[:1] + rows[1:2]])  # dependent
    np.savez(tmp_path / "b.npz", basis=rows)
    subspace = FileBasis(str(tmp_path / "b.npz"))
    assert subspace.dimension(SHAPE) == 3
    given, B = torch.from_numpy(rows).flatten(1), columns(subspace)
    torch.testing.assert_close(given @ B.T @ B, given)
    with pytest.raises(ImageError, match=r"basis has shape \(4, 1, 16, 16\), but an image \(1, 8, 8\)"):
        subspace.dimension((1, 8, 8))


def test_a_tangent_is_the_range_of_the_jacobian(latent):
    decoder = Decoder().double()
    subspace, z = Tangent(decoder, latent), torch.tensor([0.1, -0.2, 0.3, 0.4], dtype=torch.float64)
    step = torch.tensor([0.0, 1e-6, -1e-6, 2e-6], dtype=torch.float64)
    change = (decoder((z + step)[None]) - decoder((z - step)[None])).detach().flatten()
    B = columns(subspace)
    assert len(B) == 4
    assert float((change - B.T @ (B @ change)).norm() / change.norm()) < 1e-8
    with pytest.raises(ImageError, match=r"makes 256 pixels, but an image has shape \(1, 8, 8\)"):
        subspace.dimension((1, 8, 8))


def test_colour_and_band_need_no_matrix():
    parts = [{"name": "colour", "axis": "red_green"}, {"name": "band", "high": 0.1}]
    subspace, shape = Composition(parts), (3, 12, 12)
    assert subspace.dimension(shape) == Band(high=0.1).dimension((1, 12, 12))
    x = random(subspace, shape)
    torch.testing.assert_close(x[0], -x[1])
    assert x[2].abs().max() == 0 and Band(high=0.1).from_pixels(x.flatten(), shape).norm() == pytest.approx(float(x.norm()))
    assert Composition([Colour("red")]).dimension(shape) == 144
    assert Composition([Colour("red"), Mask(extent=0.5), Band(high=0.2)]).dimension(shape) > 0


def test_parts_that_commute_have_their_intersection():
    both = columns(Composition([Mask(extent=0.5), Mask("box", 0.4)]))
    inside = both.abs().amax(0).view(16, 16) > 1e-12
    assert torch.equal(inside, columns(Mask(extent=0.5)).sum(0).view(16, 16).bool() & columns(Mask("box", 0.4)).sum(0).view(16, 16).bool())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Band(0.3, 0.2), r"subspace\.low=0\.3 and subspace\.high=0\.2: 0 <= low < high"),
        (lambda: Band(orientation=float("nan")), r"subspace\.orientation=nan"),
        (lambda: Band(width=0), r"subspace\.width=0 must lie in \(0, 180\]"),
        (lambda: Window("ring"), r"subspace\.shape=ring is unknown"),
        (lambda: Window(extent=0), r"subspace\.extent=0 must lie in \(0, 2\]"),
        (lambda: Window(high=0.6), r"subspace\.high=0\.6 must lie in \(0, 0\.5\]"),
        (lambda: Window(y=1.5), r"subspace\.y=1\.5 must lie in \[0, 1\]"),
        (lambda: Colour("lum"), r"subspace\.axis=lum is unknown\. Did you mean blue or luminance"),
        (lambda: Composition([]), r"subspace\.parts is empty"),
        (lambda: Composition([{"name": "bend"}]), r"'bend' is not a subspace\. Did you mean band"),
        (lambda: Composition([{"name": "band", "hi": 1}]), r"band cannot be constructed .*hi"),
        (lambda: Tangent(3, "latent.npy"), r"subspace\.decoder is not callable"),
    ],
)
def test_settings_that_cannot_work_are_refused(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


@pytest.mark.parametrize("subspace", [Band(0.7, 0.71), Composition([Mask(extent=0.2), FileBasis("absent.npy")])])
def test_what_holds_nothing_is_refused(subspace):
    with pytest.raises((ImageError, ConfigurationError), match=r"contains no frequency|cannot be read"):
        subspace.dimension(SHAPE)


def test_a_basis_that_does_not_fit_is_refused():
    with pytest.raises(MemoryLimitError, match=r"the basis of Composition"):
        Composition([Mask(), Band(high=1.0)]).dimension((1, 4096, 4096))


@pytest.mark.parametrize("subspace", [Band(), Window()])
def test_a_vector_is_no_image(subspace):
    with pytest.raises(ImageError, match=r"needs images of two axes or more"):
        subspace.dimension((12,))


def test_a_band_and_its_mirror_image_have_as_many_coordinates():
    """At half a cycle a pixel two waves of mirrored orientations are one: both or neither."""
    one, other = (Band(0.3, 0.8, orientation=angle, width=40).dimension((1, 16, 16)) for angle in (20.0, -20.0))
    assert one == other > 0
