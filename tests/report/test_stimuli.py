"""Stimuli are image +/- alpha * distortion to the last bit, and the manifest says what clipping and rounding did."""

import csv
import re

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from eigexp.errors import ConfigurationError
from eigexp.images import Image
from eigexp.report.stimuli import export_stimuli, summary_lines
from eigexp.report.view import View
from eigexp.store import arrays_of
from tests.store.fakes import fake_image, fake_pairs, fake_record


def parts(shape=(1, 32, 32), level=None, name="camera"):
    image = fake_image(shape, name) if level is None else Image(name, torch.full(shape, level))
    pairs = fake_pairs(shape)
    return arrays_of(pairs, image), fake_record(pairs, image)


def test_files_are_the_sums_rounded(tmp_path):
    arrays, record = parts()
    rows = export_stimuli(arrays, tmp_path, alphas=[0.5, 2], bits=[8], record=record)
    assert len(rows) == 1 + 2 * 2 * 2
    for row in rows:
        position = {None: 0, 0: 0, 1023: 1}[row["eigenindex"]]
        wanted = np.clip(arrays["image"][0] + row["alpha"] * arrays["eigendistortions"][position, 0].astype(np.float64), 0, 1)
        assert np.abs(np.asarray(PillowImage.open(tmp_path / row["file"])) / 255 - wanted).max() <= 0.5 / 255 + 1e-9


def test_sixteen_bits_are_finer(tmp_path):
    arrays, record = parts(level=0.5)
    rows = {(row["bits"], row["alpha"], row["eigenindex"]): row for row in export_stimuli(arrays, tmp_path, alphas=[0.05], record=record)}
    coarse, fine = rows[8, 0.05, 1023], rows[16, 0.05, 1023]
    assert fine["cosine"] > 0.999 > coarse["cosine"]
    assert abs(fine["realised_alpha"] - 0.05) < 1e-3
    assert coarse["rounding_rms"] > 100 * fine["rounding_rms"]


def test_a_distortion_below_a_step_is_seen_to_vanish(tmp_path):
    arrays, record = parts(level=0.5019607843137255)  # 128 / 255
    rows = export_stimuli(arrays, tmp_path, alphas=[0.005], bits=[8], record=record)
    assert {row["realised_alpha"] for row in rows} == {0.0}


def test_clipping_is_reported(tmp_path):
    arrays, record = parts(level=1.0)
    row = next(
        r for r in export_stimuli(arrays, tmp_path, alphas=[1.0], bits=[16], record=record) if r["eigenindex"] == 1023 and r["alpha"] > 0
    )
    distortion = arrays["eigendistortions"][1]
    assert np.isclose(row["clipped"], np.mean(distortion > 0), atol=0.01)
    assert row["realised_alpha"] < 0.8


def test_predicted_dprime_is_alpha_over_the_threshold(tmp_path):
    arrays, record = parts()
    rows = export_stimuli(arrays, tmp_path, alphas=[2.0], bits=[8], record=record)
    assert {round(row["predicted_dprime"], 9) for row in rows if row["eigenindex"] == 0} == {round(2 * 10**0.5, 9)}


def test_manifest_gathers_results_and_repeats_nothing(tmp_path):
    one, other = parts(), parts((3, 16, 16), name="a/b ../ <x> é")
    export_stimuli(one[0], tmp_path, alphas=[1], record=one[1])
    export_stimuli(other[0], tmp_path, alphas=[1], record=other[1])
    rows = export_stimuli(other[0], tmp_path, alphas=[1], record=other[1])
    with (tmp_path / "manifest.csv").open(newline="", encoding="utf-8") as file:
        listed = [row["file"] for row in csv.DictReader(file)]
    assert len(listed) == len(set(listed)) == 20
    assert {path.name for path in tmp_path.glob("*.png")} == set(listed)
    assert {row["file"] for row in rows} <= set(listed)


def test_what_the_model_makes_of_the_files_is_in_the_manifest(tmp_path):
    arrays, record = parts()

    def distance(values, reference):
        return float(np.abs(values - reference).sum())

    rows = export_stimuli(arrays, tmp_path, alphas=[0.5], bits=[8], record=record, distance=distance)
    pixels = {row["file"]: np.asarray(PillowImage.open(tmp_path / row["file"])) / 255 for row in rows}
    reference = pixels.pop(rows[0]["file"])
    assert rows[0]["measured_dprime"] is None
    for row in rows[1:]:
        assert row["measured_dprime"] == pytest.approx(np.abs(pixels[row["file"]] - reference).sum())


def test_the_lines_say_what_clipped_and_what_rounding_left(tmp_path):
    arrays, record = parts(level=1.0)
    lines = summary_lines(export_stimuli(arrays, tmp_path, alphas=[1.0], bits=[8, 16], record=record))
    assert len(lines) == 4
    pattern = r"eigenindex \d+, norm 1, (8|16) bit: [\d.]+ % clipped, norm in the file 0\.\d+, cosine to the distortion 0\.\d{4}"
    assert all(re.fullmatch(pattern, line) for line in lines), lines


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/abs/olute", "..", "a\\b\x00c", "\u753b/\u50cf"])
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    arrays, record = parts(name=name)
    record = record | {"model": "../" + name, "id": "../../" + record["id"]}
    folder = tmp_path / "in" / "here"
    rows = export_stimuli(arrays, folder, alphas=[1.0], bits=[8], record=record)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {folder / row["file"] for row in rows} | {folder / "manifest.csv"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"alphas": [0]}, "alphas"), ({"alphas": []}, "alphas"), ({"bits": [12]}, "bits=12"), ({"eigenindex": [5]}, "eigenindex 5")],
)
def test_settings_that_cannot_work(tmp_path, settings, message):
    arrays, record = parts()
    with pytest.raises(ConfigurationError, match=message):
        export_stimuli(arrays, tmp_path, record=record, **settings)


def test_a_signal_is_refused(tmp_path):
    arrays, record = parts((50,))
    with pytest.raises(ConfigurationError, match="neither grey nor colour"):
        export_stimuli(arrays, tmp_path, record=record)


def test_a_threshold_is_predicted_only_where_the_eigenvalue_is_not_zero():
    arrays, record = parts()
    arrays["intervals"] = np.array([[9.0, 11.0], [0.0, 1e-3]])
    view = View.of(arrays, record)
    assert view.threshold(0) == pytest.approx(10**-0.5) and view.threshold(1) is None
