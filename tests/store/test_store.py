"""Results are whole or absent, the first writer of one wins, and refusals say what to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from eigexp.errors import StoreError
from eigexp.store import Store, complete
from eigexp.store import store as store_module
from eigexp.store.maintenance import verify
from tests.store.fakes import fake_image, fake_pairs, fake_record, write_fake

ROOT = Path(__file__).parents[2]


def parts(model: str = "onoff"):
    image, pairs = fake_image(), fake_pairs()
    return fake_record(pairs, image, model), pairs, image


def test_a_result_lies_under_its_first_two_digits_with_all_its_files(tmp_path):
    record, pairs, image = parts()
    folder = Store(tmp_path).write(record, pairs, image, figures={"distortions.png": b"x"})
    assert folder == tmp_path / record["id"][:2] / record["id"]
    assert sorted(os.listdir(folder)) == ["config.yaml", "curves.csv", "distortions.png", "pairs.safetensors", "record.json"]
    stored = json.loads((folder / "record.json").read_text())
    assert stored == {"digest": stored["digest"], **record, "files": stored["files"]}
    assert sorted(stored["files"]) == ["config.yaml", "curves.csv", "distortions.png", "pairs.safetensors"]
    assert verify(Store(tmp_path)) == []


def test_spaces_and_other_letters_in_paths_are_fine(tmp_path):
    id = write_fake(tmp_path / "my résultats 画像")
    assert Store(tmp_path / "my résultats 画像").read(id).eigenvalues[0] == 10


def test_a_store_that_is_not_there_yet_is_empty(tmp_path):
    store = Store(tmp_path / "none")
    assert store.ids() == []
    assert not store.has("ab" * 8)


def test_ids_are_those_of_complete_results(tmp_path):
    store = Store(tmp_path)
    ids = sorted(write_fake(tmp_path, model) for model in ("ln", "lg", "lgg"))
    store.write_json("ff" * 8, "job.json", {"job": 1})
    store.write_config("ee" * 8, {"seed": 1})
    assert store.ids() == ids
    assert not store.has("ff" * 8)
    assert store.read_json("ff" * 8, "job.json") == {"job": 1}
    assert store.read_json("ff" * 8, "error.json") is None


def test_a_complete_result_is_never_rewritten(tmp_path):
    record, pairs, image = parts()
    store = Store(tmp_path)
    folder = store.write(record, pairs, image, config={"seed": 0})
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
    store.write({**record, "seconds": 99.0}, fake_pairs(seed=5), image, config={"seed": 1})
    store.write_config(record["id"], {"seed": 2})
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()} == before


def test_a_writer_that_comes_second_at_the_last_moment_changes_nothing(tmp_path, monkeypatch):
    """The other result appears between the first look and the move into place."""
    record, pairs, image = parts()
    store = Store(tmp_path)
    commit = store_module._commit

    def late(folder, staged):
        monkeypatch.setattr(store_module, "_commit", commit)
        Store(tmp_path).write({**record, "seconds": 1.0}, pairs, image, config={"first": True})
        for target in staged:  # the first writer cleared its names, which one process shares
            staged[target].write_bytes(b"second")
        commit(folder, staged)

    monkeypatch.setattr(store_module, "_commit", late)
    store.write({**record, "seconds": 2.0}, pairs, image, config={"first": False})
    assert store.read(record["id"]).record["seconds"] == 1.0
    assert store.read(record["id"]).config == {"first": True}
    assert verify(store) == []


def test_an_earlier_error_goes_when_the_result_is_complete(tmp_path):
    record, pairs, image = parts()
    store = Store(tmp_path)
    store.write_json(record["id"], "error.json", {"error": "x"})
    store.write(record, pairs, image)
    assert store.read_json(record["id"], "error.json") is None


def test_a_path_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        write_fake(tmp_path / "file")
    with pytest.raises(StoreError, match="store=<folder>"):
        Store(tmp_path / "file").ids()


@pytest.mark.slow(2)
def test_full_disk_leaves_no_result(tmp_path):
    """A real small file system would need root: the kernel's own full device stands in for the write."""
    run = subprocess.run(
        [sys.executable, "-c", "import resource,sys; resource.setrlimit(resource.RLIMIT_FSIZE,(4096,4096))\n"
         "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
         "from tests.store.fakes import *\nfrom eigexp.errors import StoreError\n"
         "try: write_fake(sys.argv[1], image=fake_image((1, 64, 64)))\nexcept StoreError as e: print('refused:', e)", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "refused: Cannot write" in run.stdout, run.stderr
    assert Store(tmp_path).ids() == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("id", ["", "a", "../../etc", "a/b", "a b"])
def test_what_cannot_be_an_id_is_refused(tmp_path, id):
    with pytest.raises(StoreError, match="is not the id"):
        Store(tmp_path).path(id)


def test_find_completes_an_unambiguous_beginning(tmp_path):
    ids = [write_fake(tmp_path, f"m{i}") for i in range(20)]
    store = Store(tmp_path)
    assert store.find(ids[3][:10]) == ids[3]
    with pytest.raises(StoreError, match="results begin with ''"):
        store.find("")
    with pytest.raises(StoreError, match="has no result 'zz'"):
        store.find("zz")


def test_reading_what_is_absent_or_damaged_says_so(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(StoreError, match="has no complete result"):
        store.read("ab" * 8)
    id = write_fake(tmp_path)
    (store.path(id) / "record.json").write_text('{"id": ')
    with pytest.raises(StoreError, match=r"record\.json is damaged"):
        store.read(id)


def test_reading_and_writing_import_no_torch(tmp_path):
    id = write_fake(tmp_path)
    code = f"import sys\nfrom eigexp.store import Store\nr = Store({str(tmp_path)!r}).read({id!r})\nr.image, r.curves, r.config\n"
    run = subprocess.run(
        [sys.executable, "-c", code + "print('torch' in sys.modules)"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"


def test_equal_results_have_equal_bytes():
    """safetensors writes the keys of its metadata in any order."""
    contents = [save({"x": np.arange(3.0)}, metadata={"format": "eigexp 1", "id": "aa", "more": "x"}) for _ in range(30)]
    (ordered,) = {complete.in_order(content) for content in contents}
    assert np.array_equal(load(ordered)["x"], np.arange(3.0))
