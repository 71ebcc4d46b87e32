"""Stimuli are image +/- alpha * distortion to the last bit, and the manifest says what clipping and rounding did."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from eigexp.errors import ConfigurationError
from eigexp.images import Image
from eigexp.report.stimuli import export_stimuli
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
    with pytest.raises(ConfigurationError, match="no grey or colour image"):
        export_stimuli(arrays, tmp_path, record=record)
