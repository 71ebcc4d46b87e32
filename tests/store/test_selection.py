"""Two results that differ in anything are told apart, whatever it is that differs."""

import copy
from typing import Any

import pytest

from eigexp.store.identity import identity_words
from eigexp.store.metric_names import record_summary
from eigexp.store.selection import Selection
from eigexp.store.table import Shown, fitting
from tests.store.fakes import fake_image, fake_pairs, fake_record

SETTINGS = {
    "model": "onoff", "model.size": 31, "solver": "krylov", "solver.k": 1, "solver.tol": 1e-4, "solver.max_steps": 100, "noise": "gaussian",
    "noise.variance": 1.0, "subspace": "mask", "subspace.file": "a" * 64, "images.size": 16, "images.crop": None, "images.grey": True,
    "seed": 0, "dtype": "float32", "certify": "float64",
}  # fmt: skip
OTHER = {"noise.variance": 2.0, "subspace.file": "b" * 64, "images.crop": [8, 8], "images.grey": False, "certify": "solver"}


def record(id: str = "a" * 16, **changes: Any) -> dict[str, Any]:
    made = fake_record(fake_pairs(), fake_image(), "onoff")
    return {**made, "id": id, "settings": dict(SETTINGS), **changes}


def changed(key: str) -> dict[str, Any]:
    value = SETTINGS[key]
    new = OTHER[key] if key in OTHER else f"other {value}" if isinstance(value, str) else value * 2 + 1
    image = {**record()["image"], "sha256": "c" * 64} if key.startswith("images.") else record()["image"]
    return record("b" * 16, settings={**SETTINGS, key: new}, image=image)


@pytest.mark.parametrize("key", [key for key in SETTINGS if key != "model"])
def test_each_setting_that_differs_is_a_column_and_in_the_label(key):
    selection = Selection.of_records([record(), changed(key)])
    column = {"solver.k": "k", "solver.tol": "tol"}.get(key, key)
    assert selection.differing == (column,)
    assert len({str(row[column]) for row in selection.table()}) == 2
    labels = list(selection.labels.values())
    assert str(labels[0]) != str(labels[1])
    assert "id " not in str(labels[0])  # by what differs, and not by the id
    for pair in selection.pairs():
        assert column in pair


def test_the_same_settings_are_no_columns_and_in_no_label():
    other = record("b" * 16, image={**record()["image"], "name": "coins", "sha256": "c" * 64})
    selection = Selection.of_records([record(), other])
    assert selection.differing == ()
    assert [str(label) for label in selection.labels.values()] == ["onoff, camera", "onoff, coins"]
    assert selection.settings_in_common == "16x16, k=1, noise=gaussian, subspace=mask"


def test_labels_leave_out_what_most_results_have_and_the_title_says_it():
    selection = Selection.of_records([record(), record("c" * 16, model="ln"), changed("solver.k")])
    assert {str(label) for label in selection.labels.values()} == {"onoff, camera", "ln, camera", "onoff, camera, k=3"}
    assert selection.settings_in_common.endswith("k=1 unless noted")


def test_results_that_nothing_else_tells_apart_have_their_ids():
    selection = Selection.of_records([record(), record("b" * 16)])
    assert [label.settings for label in selection.labels.values()] == ["id aaaaaaaa", "id bbbbbbbb"]


def test_two_images_of_one_name_are_two_images():
    small = record("b" * 16, image={**record()["image"], "sha256": "c" * 64, "shape": [1, 8, 8]})
    labels = Selection.of_records([record(), small]).labels
    assert [labels[id * 16].image for id in "ab"] == ["camera 16x16", "camera 8x8"]
    other = record("b" * 16, image={**record()["image"], "sha256": "c" * 64})
    labels = Selection.of_records([record(), other]).labels
    assert len({label.image for label in labels.values()}) == 2


def test_what_only_differs_between_models_is_no_column():
    other = record("b" * 16, model="ln", settings={**SETTINGS, "model": "ln", "model.size": 15})
    assert Selection.of_records([record(), other]).differing == ()


def test_layers_are_in_natural_order_and_front_ends_in_theirs():
    records = [record(str(at) * 16, model="net", layer=f"features.{layer}") for at, layer in enumerate((1, 10, 4))]
    records += [record("8" * 16, model="lgg"), record("9" * 16, model="lg")]
    rows = Selection.of_records(records).rows
    assert [(row["model"], row["layer"]) for row in rows] == [
        ("lg", None), ("lgg", None), ("net", "features.1"), ("net", "features.4"), ("net", "features.10")
    ]  # fmt: skip


@pytest.mark.parametrize("part", ["model", "noise", "subspace", "solver"])
def test_names_of_runs_tell_settings_apart(part):
    identity: dict[str, Any] = {
        "model": {"name": "onoff"}, "noise": {"name": "gaussian"}, "subspace": None, "solver": {"name": "krylov"}, "shape": [1, 8, 8],
        "seed": 0, "dtype": "float32",
    }  # fmt: skip
    other = copy.deepcopy(identity)
    other[part] = {"name": "other" if part != "model" else "onoff", "setting": 3}
    names = {identity_words(one) for one in (identity, other, {**identity, "seed": 1}, {**identity, "dtype": "float64"})}
    assert len(names) == 4


def test_a_setting_that_some_results_lack_tells_them_apart():
    other = record("b" * 16, settings={**SETTINGS, "against": "ln", "floor": 0.01})
    selection = Selection.of_records([record(), record("c" * 16, model="ln"), other])
    assert selection.differing == ("against", "floor")
    assert selection.labels["b" * 16].settings == "against=ln, floor=0.01"
    assert {selection.labels[id * 16].settings for id in "ac"} == {""}
    assert "against" not in selection.settings_in_common  # what most have is none
    assert selection.usual("against") is None


def test_settings_of_images_differ_where_name_and_size_do_not_say_it():
    def seen(id, name, shape, **settings):
        image = {"name": name, "shape": shape, "sha256": id * 64}
        return record(id * 16, image=image, settings={**SETTINGS, **{f"images.{key}": value for key, value in settings.items()}})

    sizes = [seen("a", "camera", [1, 16, 16], size=16, grey=True), seen("b", "coffee", [3, 32, 32], size=32, grey=False)]
    assert Selection.of_records(sizes).differing == ("size",)
    crops = [seen("a", "camera", [1, 16, 16], crop="center"), seen("b", "camera", [1, 16, 16], crop=None)]
    assert Selection.of_records(crops).differing == ("images.crop",)


def test_ratios_have_no_thresholds():
    found = record(identity={"against": {"model": {"name": "ln"}}, "floor": 0.01})
    row, plain = Selection.of_records([found]).rows[0], Selection.of_records([record()]).rows[0]
    assert plain["threshold_top"] and plain["D"] and row["D"] == plain["D"]
    names = [f"threshold_{end}{bound}" for end in ("top", "bottom") for bound in ("", "_low", "_high")]
    assert [row[name] for name in names] == [None] * 6 and row["pairs"][0]["threshold_high"] is None
    assert "threshold_top" in record_summary(record()) and "threshold_top" not in record_summary(found)


def test_a_narrow_table_has_one_column_for_settings():
    found = [record("a" * 16), record("b" * 16, image={**record()["image"], "name": "coffee"})]
    found += [record(id * 16, settings={**SETTINGS, **own}) for id, own in (("c", {"noise": "poisson"}), ("d", {"seed": 7}))]
    selection = Selection.of_records(found)
    wide = fitting(selection, Shown()).splitlines()
    assert {"noise", "seed"} <= set(wide[0].split())
    narrow = fitting(selection, Shown(width=len(wide[0]) - 1)).splitlines()
    assert "settings" in narrow[0].split() and "noise" not in narrow[0].split() and max(map(len, narrow)) < len(wide[0])
    assert [word for line in narrow[1:-1] for word in line.split() if "=" in word.strip("<>=")] == ["seed=7", "noise=poisson"]
    assert narrow[-1].startswith("(") and narrow[-1].endswith("unless noted)") and "seed=0" in narrow[-1]
