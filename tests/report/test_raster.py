"""The quick painter of the figure of a result draws what matplotlib's draws: the same texts, pictures and marks at the same places."""

import io

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image as PillowImage

from eigexp.report.canvas import Canvas, Frame
from eigexp.report.composition import compose
from eigexp.report.distortions import composition_figure
from eigexp.report.pixels import as_picture, to_bytes
from eigexp.report.raster import _ARROW, paint, result_png
from eigexp.report.style import figure_png
from eigexp.report.view import View
from eigexp.store import arrays_of
from tests.store.fakes import fake_curves, fake_image, fake_pairs, fake_record

ZERO = {"eigenvalues": torch.tensor([10.0, 0.0], dtype=torch.float64)}
NOT_VERIFIED = {"evidence": {"top": "krylov", "bottom": "budget"}, "verified": False, "status": "budget"}
CASES = {
    "grey": ((1, 16, 16), {}, True),
    "colour": ((3, 16, 12), {}, True),
    "wide": ((1, 9, 30), {}, True),
    "high": ((4, 30, 8), {}, True),
    "bound": ((1, 16, 16), ZERO, True),
    "not verified": ((1, 16, 16), NOT_VERIFIED, True),
    "no curves": ((1, 16, 16), {}, False),
    "larger than its frame": ((1, 500, 400), {}, True),
    "several": ((1, 16, 16), {"k": 3}, True),
}


def composition_of(shape, changes, curves):
    image, pairs = fake_image(shape, "camera"), fake_pairs(shape, **changes)
    return compose(View.of(arrays_of(pairs, image), fake_record(pairs, image), fake_curves(pairs) if curves else None))


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(PillowImage.open(io.BytesIO(content)).convert("RGB"))


def coarse(picture: np.ndarray) -> np.ndarray:
    """Means of squares of pixels, which a line that is moved by a pixel hardly changes."""
    high, wide = (side // 12 for side in picture.shape[:2])
    return picture[: 12 * high, : 12 * wide].reshape(high, 12, wide, 12, 3).mean(axis=(1, 3))


@pytest.fixture
def written(monkeypatch):
    """Collect each text that a canvas gets."""
    texts, text = [], Canvas.text

    def note(self, at, words, *more, **named):
        texts.append(words)
        text(self, at, words, *more, **named)

    monkeypatch.setattr(Canvas, "text", note)
    return texts


@pytest.mark.slow(0.4)
@pytest.mark.parametrize("case", CASES)
def test_it_looks_like_the_figure_and_has_the_same_texts(case, written):
    composition = composition_of(*CASES[case])
    mine, figure = pixels(paint(composition)), composition_figure(composition)
    other = pixels(figure_png(figure))
    assert mine.shape == other.shape
    differences = np.abs(coarse(mine) - coarse(other))
    assert differences.mean() < 2.0 and np.quantile(differences, 0.995) < 40, (differences.mean(), np.quantile(differences, 0.995))
    shown = [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    assert sorted(filter(None, written)) == sorted(shown)


def test_another_figure_does_not_look_like_it():
    one, other = (composition_of((1, 16, 16), changes, True) for changes in ({}, NOT_VERIFIED | {"k": 3}))
    mine, figure = pixels(paint(one)), pixels(figure_png(composition_figure(other)))
    assert np.quantile(np.abs(coarse(mine) - coarse(figure)), 0.995) > 40


def test_pictures_hold_every_pixel_of_the_panels():
    composition = composition_of((3, 16, 12), {}, True)
    drawn, dpi = pixels(paint(composition)), 150
    for box, panel in composition.panels:
        picture = to_bytes(as_picture(panel.values))
        factor = min(box.width * dpi / 12, box.height * dpi / 16)
        x, y = (box.left + box.width / 2) * dpi, (composition.height - box.bottom - box.height / 2) * dpi
        rows, columns = y + (np.arange(16) - 7.5) * factor, x + (np.arange(12) - 5.5) * factor
        assert np.array_equal(drawn[np.ix_(rows.round().astype(int), columns.round().astype(int))], picture)


@pytest.mark.parametrize(("changes", "hollow"), [({}, False), (NOT_VERIFIED, True)])
def test_marks_lie_at_their_values_and_those_that_are_not_verified_are_hollow(changes, hollow):
    composition = composition_of((1, 16, 16), changes, True)
    drawn, dpi = pixels(paint(composition)).astype(int), 150
    box, chart = composition.charts[0]
    colours = {"top": (213, 94, 0), "bottom": (0, 114, 178)}
    assert [mark.role for mark in chart.marks] == ["top", "bottom"]
    for mark in chart.marks:
        x = (box.left + chart.x.share(mark.x) * box.width) * dpi
        y = (composition.height - box.bottom - chart.y.share(mark.y) * box.height) * dpi
        centre, edge = drawn[round(y), round(x)], drawn[round(y), round(x) - 5]
        assert tuple(centre) == ((255, 255, 255) if hollow and mark.role == "bottom" else colours[mark.role])
        assert np.abs(edge - colours[mark.role]).max() < 90


def test_an_upper_bound_has_an_arrow_below_and_no_disc():
    composition = composition_of((1, 16, 16), ZERO, True)
    drawn, dpi = pixels(paint(composition)).astype(int), 150
    box, chart = composition.charts[0]
    mark = chart.marks[-1]
    assert mark.limit == "at most"
    x = round((box.left + chart.x.share(mark.x) * box.width) * dpi)
    y = round((composition.height - box.bottom - chart.y.share(mark.y) * box.height) * dpi)
    blue = (drawn[..., 2] - drawn[..., 0]) > 90
    assert blue[y - 1 : y + 2, x - 11].any() and blue[y - 1 : y + 2, x + 11].any() and not blue[y - 8 : y - 4, x - 4 : x + 5].any()
    assert blue[y + 5 : y + 40, x - 1 : x + 2].any(axis=1).all() and not blue[y + 60 : y + 100, x - 4 : x + 5].any()


@pytest.mark.parametrize("bound", [1e-3, 1e-8, 1e-14])
def test_the_arrow_of_a_bound_ends_above_the_axis(bound):
    image, pairs = fake_image((1, 16, 16)), fake_pairs((1, 16, 16))
    arrays = arrays_of(pairs, image)
    arrays["eigenvalues"][-1], arrays["intervals"][-1] = bound / 2, (0.0, bound)
    box, chart = compose(View.of(arrays, fake_record(pairs, image), fake_curves(pairs)), None).charts[0]
    assert chart.marks[-1].limit == "at most"
    assert chart.y.share(chart.marks[-1].y) * box.height * 72 > _ARROW


def test_charts_use_nothing_that_the_quick_painter_lacks():
    for case in CASES.values():
        for _, chart in composition_of(*case).charts:
            assert (chart.means, chart.notes, chart.dividers, chart.band, chart.legend, chart.values) == ((), (), (), None, (), "y")
            assert {mark.limit for mark in chart.marks} <= {"", "at most"} and {mark.shape for mark in chart.marks} <= {0}
            assert not chart.x.log and not chart.x.names


def test_pictures_need_no_figure_of_matplotlib_and_signals_have_one(monkeypatch):
    made, init = [], Figure.__init__
    monkeypatch.setattr(Figure, "__init__", lambda self, *arguments, **more: (made.append(1), init(self, *arguments, **more))[1])
    for shape in ((1, 16, 16), (40,)):
        image, pairs = fake_image(shape, "camera"), fake_pairs(shape)
        content = result_png(View.of(arrays_of(pairs, image), fake_record(pairs, image)))
        assert pixels(content).shape[1] == 1398
        assert len(made) == (len(shape) == 1)


def test_a_name_in_any_script_longer_than_the_canvas_is_cut_off():
    image, pairs = fake_image((1, 16, 16), "画像 $x^{$ " * 90), fake_pairs((1, 16, 16))
    record = fake_record(pairs, image) | {"model": "$x^{$ " * 30}
    view = View.of(arrays_of(pairs, image), record)
    assert result_png(view) == result_png(view)
    canvas = Canvas(1, 1, 50)
    canvas.text((-30, 20), "far too long for this", 12)
    canvas.text((200, 200), "beyond", 12)
    canvas.text((40, 60), "upwards", 12, up=True)
    assert canvas.pixels.shape == (50, 50, 3) and (canvas.pixels < 128).any()


def test_a_picture_is_as_large_as_it_fits_and_in_the_middle():
    canvas = Canvas(1, 2, 50)
    frame = canvas.picture(Frame(0, 0, 50, 100), np.zeros((3, 5), np.uint8))
    assert frame == Frame(0, 35, 50, 65)
    assert (canvas.pixels[35:65] == 0).all() and (canvas.pixels[:35] == 255).all() and (canvas.pixels[65:] == 255).all()
