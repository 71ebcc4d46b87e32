"""A result reads back what was written."""

import math

import numpy as np
import pytest
import torch

from eigexp.errors import StoreError
from eigexp.store import Store
from eigexp.store.result import curves_csv
from tests.store.fakes import fake_curves, fake_image, fake_pairs, fake_record


@pytest.fixture
def written(tmp_path):
    image, pairs = fake_image(), fake_pairs(k=2)
    record = fake_record(pairs, image)
    config = {"model": {"name": "onoff", "é": [1, 2.5, None]}, "tol": 1e-5}
    Store(tmp_path).write(record, pairs, image, fake_curves(pairs), config, {"distortions.png": b"png"})
    return Store(tmp_path).read(record["id"]), pairs, image, config


def test_arrays_come_back_bit_for_bit(written):
    result, pairs, image, _ = written
    for name in ("eigendistortions", "eigenvalues", "eigenindex", "residuals", "intervals"):
        assert torch.equal(torch.from_numpy(getattr(result, name).copy()), getattr(pairs, name)), name
    assert np.array_equal(result.image, image.pixels.numpy())


def test_curves_config_and_figures_come_back(written):
    result, pairs, _, config = written
    assert result.config == config
    assert [path.name for path in result.figures] == ["distortions.png"]
    wanted = fake_curves(pairs)
    assert len(result.curves) == len(wanted)
    assert result.curves[0]["residual/0"] is None
    assert {k: v for k, v in result.curves[5].items()} == wanted[5]


def test_a_result_without_curves_and_config_is_empty_there(tmp_path):
    image, pairs = fake_image(), fake_pairs()
    record = fake_record(pairs, image)
    Store(tmp_path).write(record, pairs, image)
    result = Store(tmp_path).read(record["id"])
    assert (result.curves, result.config, result.figures) == ([], {}, [])


def test_damaged_arrays_are_named(written):
    result, *_ = written
    (result.folder / "pairs.safetensors").write_bytes(b"corrupt")
    with pytest.raises(StoreError, match=r"pairs\.safetensors changed after the record was written"):
        _ = result.image


def test_curves_keep_late_columns_and_drop_nan():
    rows = [{"step": 1, "eigenvalue/0": math.nan}, {"step": 2, "eigenvalue/0": 1.5, "eigenvalue/9": 0.25}]
    assert curves_csv(rows) == b"step,eigenvalue/0,eigenvalue/9\n1,,\n2,1.5,0.25\n"
