"""Ids depend on what determines the numbers and on nothing else; records hold plain finite values."""

import json
import math
import subprocess

import numpy as np
import pytest
import torch

from eigexp.errors import ConfigurationError
from eigexp.store.record import build_record, canonical_json, environment, git_state, plain, result_id
from eigexp.store.schema import Job, Sides, Zero, parse
from tests.store.fakes import ENVIRONMENT, fake_image, fake_pairs, fake_record

DESIGNED = {
    "id", "status", "evidence", "method", "image", "model", "n", "m", "eigenindex", "eigenvalues", "residuals", "intervals", "clusters",
    "null_space", "verified", "tolerances", "fisher_vector_products", "steps", "seconds", "seed", "versions", "git", "host", "device",
}  # fmt: skip


def test_id_is_sixteen_hexadecimal_digits_of_known_text():
    import hashlib

    assert canonical_json({"b": [1, 2.5], "a": "é"}) == '{"a":"\\u00e9","b":[1,2.5]}'
    assert result_id({"b": [1, 2.5], "a": "é"}) == hashlib.sha256(b'{"a":"\\u00e9","b":[1,2.5]}').hexdigest()[:16]


def test_id_is_pinned():
    """Changing this value orphans every stored result: raise FORMAT's part of the identity instead."""
    assert result_id({"model": "onoff", "seed": 0, "tol": 1e-5, "size": [256, 256], "layer": None}) == "0ab993cd794395cc"


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": 1, "b": 2}, {"b": 2, "a": 1}), ({"a": (1, 2)}, {"a": [1, 2]}), ({"tol": 1.0}, {"tol": 1}), ({"x": -0.0}, {"x": 0})],
)
def test_equal_settings_have_one_id(one, other):
    assert result_id(one) == result_id(other)


@pytest.mark.parametrize("other", [{"a": 2}, {"a": "1"}, {"a": True}, {"a": None}, {"a": [1]}, {"b": 1}, {"a": 1, "b": None}])
def test_different_settings_have_different_ids(other):
    assert result_id({"a": 1}) != result_id(other)


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), np.float32(1), b"x"])
def test_what_is_not_plain_is_refused_with_its_place(value):
    with pytest.raises(ConfigurationError, match=r"identity\.solver\[1\] is"):
        result_id({"solver": [0, value]})


def test_record_has_the_designed_keys_and_survives_json():
    pairs, image = fake_pairs(), fake_image()
    record = fake_record(pairs, image)
    assert set(record) >= DESIGNED
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["eigenvalues"] == pairs.eigenvalues.tolist()
    assert record["image"] == {"name": "camera", "shape": [1, 16, 16], "sha256": image.sha256, "source": image.source}
    assert record["null_space"] == {"dimension_at_least": 0, "dimension_estimate": None, "numerically_zero": None}


def test_numbers_that_are_not_finite_become_null():
    pairs = fake_pairs(residuals=torch.tensor([math.nan, math.inf], dtype=torch.float64))
    assert fake_record(pairs, fake_image())["residuals"] == [None, None]
    assert plain({"a": (math.nan, [-math.inf]), "b": np.float64("nan"), "c": np.int64(3)}) == {"a": [None, [None]], "b": None, "c": 3}


def test_further_values_are_kept():
    record = build_record(
        fake_pairs(), fake_image(), id="ab", identity={}, model="m", layer=["a", "b"], seconds=1.0, seed=2, device="cpu",
        environment=ENVIRONMENT, command="eigexp run",
    )  # fmt: skip
    assert (record["layer"], record["command"], record["host"]) == (["a", "b"], "eigexp run", "node1")


def test_environment_names_the_commit_of_a_repository(tmp_path):
    assert environment(tmp_path)["git"] is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "a").write_text("1")
    for command in (["init", "-q"], ["add", "a"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], check=True)
    git_state.cache_clear()
    state = environment(tmp_path)["git"]
    assert len(state["commit"]) == 40
    assert not state["dirty"]
    (tmp_path / "a").write_text("2")
    git_state.cache_clear()
    assert environment(tmp_path)["git"]["dirty"]


def test_environment_names_versions_and_host():
    found = environment()
    assert found["versions"]["torch"] == torch.__version__.split("+")[0] or found["versions"]["torch"] == torch.__version__
    assert found["host"]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ('{"job": [1]}', Job, "job: Input should be a valid string, not [1]"),
        ('{"names": ["a", 2]}', Job, "names.1: Input should be a valid string, not 2"),
        ('{"count": 1}', Zero, "below: Field required"),
        ('{"top": "proven"}', Sides, "bottom: Field required"),
    ],
)
def test_an_error_names_keys_of_the_file_alone(text, kind, message):
    with pytest.raises(ValueError) as error:
        parse(text.encode(), kind)
    assert str(error.value) == message
