"""D of models and images: values, bounds and what is not verified are told apart, and never averaged with each other."""

import math

import pytest
import torch

from eigexp.report.separation import comparison_chart, dodge, groups
from eigexp.report.thresholds import thresholds_chart, thresholds_csv, thresholds_text
from eigexp.store import result_id
from eigexp.store.selection import Selection
from tests.store.fakes import fake_image, fake_pairs, fake_record


def record(model="onoff", image="camera", top=10.0, bottom=1e-3, layer=None, high=None, verified=True, **settings):
    values = torch.tensor([top, bottom], dtype=torch.float64)
    low = 0.0 if high is not None else bottom * 0.99
    intervals = torch.tensor([[top * 0.99, top * 1.01], [low, bottom * 1.01 if high is None else high]], dtype=torch.float64)
    evidence = {"top": "krylov", "bottom": "krylov" if verified else "budget"}
    pairs = fake_pairs(eigenvalues=values, intervals=intervals, evidence=evidence, verified=verified)
    made = fake_record(pairs, fake_image(name=image, seed=sum(map(ord, image))), model, layer=layer)
    known = {"solver": "krylov", "solver.k": 1, "noise": "gaussian", "subspace": "none", **settings}
    return {**made, "id": result_id({"of": [model, image, layer, top, bottom, verified, str(known)]}), "settings": known}


def chart(*records):
    return comparison_chart(Selection.of_records(records))


def test_five_verified_and_one_that_is_not_are_no_one_number():
    """The case that was drawn as a bar of 4.36: five verified values of 4.6 and more, and one run of few steps."""
    verified = [record(image=f"image{i}", bottom=1e-3 / (1 + i)) for i in range(5)]
    found = chart(*verified, record(image="image5", bottom=0.2, verified=False))
    assert found.means == () and [text for _, text in found.notes] == ["\u2265 4.59, 1 not verified"]
    assert [mark.hollow for mark in found.marks] == [False] * 5 + [True]
    assert found.marks[-1].title.endswith("not verified")
    alone = chart(*verified)
    ((_, mean),) = alone.means
    assert mean == pytest.approx(sum(mark.x for mark in alone.marks) / 5) and alone.notes == ((0.0, f"{mean:.2f}"),)


def test_a_bound_is_an_arrow_and_joins_no_mean():
    found = chart(record(), record(image="coins", bottom=1e-9, high=1e-4))
    assert [mark.limit for mark in found.marks] == ["", "at least"]
    assert found.marks[1].x == pytest.approx(0.5 * math.log(9.9 / 1e-4)) and found.marks[1].span is None
    assert found.marks[0].span[0] < found.marks[0].x < found.marks[0].span[1]
    assert found.means == () and found.notes[0][1].startswith("\u2265 ")
    assert found.marks[1].title == "onoff, coins: D \u2265 5.75"


@pytest.mark.parametrize("settings", [{"subspace": "mask"}, {"noise": "poisson"}, {"solver.k": 3}, {"subspace": "band"}])
def test_results_of_one_model_layer_and_image_have_a_row_each(settings):
    found = chart(record(), record(bottom=1e-5, **settings))
    assert len(found.marks) == 2 and {round(mark.y) for mark in found.marks} == {0, 1}
    names = [text for _, text in found.y.ticks]
    assert len(set(names)) == 2 and any("=" in name for name in names)


def test_even_results_that_nothing_tells_apart_are_both_drawn():
    same = [{**record(), "id": digit * 16} for digit in "ab"]
    found = chart(*same)
    assert len(found.marks) == 2 and {text for _, text in found.y.ticks} == {"onoff, id aaaaaaaa", "onoff, id bbbbbbbb"}


def test_rows_are_ordered_by_what_is_verified_of_them():
    selection = Selection.of_records([record("a", bottom=1e-2), record("b", bottom=1e-6, verified=False), record("c", bottom=1e-4)])
    assert [group.label.model for group in groups(selection, by_size=True)] == ["c", "a", "b"]
    assert [group.label.model for group in groups(selection)] == ["a", "b", "c"]


def test_an_image_has_one_mark_in_every_figure_of_a_store():
    everything = [record(image=name) for name in ("moon", "camera", "rocket")]
    whole = Selection.of_records(everything)
    part = Selection(Selection.of_records([everything[2]]).rows, ("moon", "camera", "rocket"))
    wanted = {"camera": ("m0", 0), "moon": ("m1", 1), "rocket": ("m2", 2)}
    for selection in (whole, part):
        for made in (comparison_chart(selection), thresholds_chart(selection)):
            for mark in made.marks:
                image = mark.title.split(", ")[1].partition(":")[0]
                assert (mark.role, mark.shape) == wanted[image]


def test_nothing_known_is_said():
    assert chart(record(bottom=0.0, high=50.0)).empty == "no result with both ends"
    assert [dodge(at, 3, 1.0) for at in range(3)] == [-0.5, 0.0, 0.5] and dodge(0, 1, 1.0) == 0


def test_thresholds_are_bounds_where_only_bounds_are_known():
    selection = Selection.of_records([
        record("vgg16", layer="features.16", bottom=1e-9, high=1e-4), record("vgg16", layer="features.4"), record("ln", verified=False)
    ])  # fmt: skip
    made = thresholds_chart(selection)
    assert [text for _, text in made.y.ticks] == ["ln", "vgg16, features.4", "features.16"] and made.dividers == (0.5,)
    heading, *lines = thresholds_text(selection).splitlines()
    assert heading.split() == ["model", "layer", "image", "1/\u221a\u03bb\u2081", "1/\u221a\u03bb\u2099", "D"]
    assert "?" in lines[0] and "\u2265 100" in lines[2] and "\u2265 5.75" in lines[2]
    csv = thresholds_csv(selection).splitlines()
    assert len(csv) == 4 and "threshold_bottom_low" in csv[0]
