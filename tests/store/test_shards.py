"""Shards: the same results as in folders, whole or absent, and never a wrong number."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from eigexp.errors import MissingDependencyError, StoreError
from eigexp.store import Store, arrays_of, shards
from eigexp.store.maintenance import merge, prune, verify
from eigexp.store.owner import is_own, mark_file_as_own
from eigexp.store.remote import Remote
from eigexp.store.result import CONFIG, CURVES, curves_csv
from eigexp.store.selection import Selection
from eigexp.store.shard import Row
from eigexp.store.store import config_yaml
from eigexp.store.table import table
from tests.store.fakes import fake_curves, fake_image, fake_pairs, fake_record, write_fake

SHAPE = (1, 8, 8)
COUNT = 6


def row(seed: int, shape: Sequence[int] = SHAPE, **changes) -> Row:
    image, pairs = fake_image(tuple(shape), f"{seed:05d}", seed), fake_pairs(tuple(shape), seed=seed, **changes)
    texts = {CURVES: curves_csv(fake_curves(pairs, 2)), CONFIG: config_yaml({"seed": 0})}
    return Row(fake_record(pairs, image), pairs, image, texts)


def write(root: Path, seeds: Sequence[int] = range(COUNT)) -> Store:
    store = Store(root)
    store.write_shard([row(seed) for seed in seeds])
    return store


def in_folders(root: Path, seeds: Sequence[int] = range(COUNT)) -> Store:
    store = Store(root)
    for seed in seeds:
        image, pairs = fake_image(SHAPE, f"{seed:05d}", seed), fake_pairs(SHAPE, seed=seed)
        store.write(fake_record(pairs, image), pairs, image, fake_curves(pairs, 2), {"seed": 0})
    return store


def flip(path: Path, at: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= 1
    path.write_bytes(content)


def paths(store: Store) -> tuple[Path, Path]:
    (shard,) = store.shards
    return shard.files


def without_time(record):
    return {key: value for key, value in record.items() if key not in ("created", "digest")}


def test_a_result_is_the_same_in_a_shard_and_in_a_folder(tmp_path):
    packed, apart = write(tmp_path / "shards"), in_folders(tmp_path / "folders")
    assert packed.ids() == apart.ids() and len(packed.ids()) == COUNT
    assert [path.name for path in packed.root.iterdir()] == ["shards"] and len(list(packed.shards.folder.iterdir())) == 2
    for id in packed.ids():
        one, other = packed.read(id), apart.read(id)
        assert without_time(one.record) == without_time(other.record)  # with the digests of the files
        assert one.content("pairs.safetensors") == other.content("pairs.safetensors")
        assert (one.config, one.curves, one.figures) == (other.config, other.curves, [])
        assert all((one.arrays[name] == other.arrays[name]).all() for name in other.arrays)
    columns = [name for name in table(packed)[0] if name != "created"]
    assert [[r[c] for c in columns] for r in table(packed)] == [[r[c] for c in columns] for r in table(apart)]
    assert sorted(record["id"] for record in packed.records()) == packed.ids()
    assert packed.find(packed.ids()[0][:12]) == packed.ids()[0]
    assert verify(packed) == []


def test_the_parquet_file_has_the_columns_of_the_table(tmp_path):
    pandas = pytest.importorskip("pandas")
    store = write(tmp_path)
    data = pandas.read_parquet(paths(store)[0]).set_index("id")
    for shown in table(store):
        assert data.loc[shown["id"], "top"] == shown["top"] and data.loc[shown["id"], "image"] == shown["image"]


def test_results_of_other_shapes_are_in_another_shard_and_equal_images_are_one_result(tmp_path):
    store = Store(tmp_path)
    store.write_shard([row(0), row(1), row(2, (1, 8, 9)), row(0), row(3, k=2)])
    assert len(store.ids()) == 4 and len(list(store.shards)) == 3 and verify(store) == []
    assert sorted(store.read(id).image.shape for id in store.ids()) == [SHAPE, SHAPE, SHAPE, (1, 8, 9)]


def test_what_exists_is_not_written_again(tmp_path):
    store = in_folders(tmp_path, [0, 1])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    store.write_shard([row(seed) for seed in range(4)])
    (shard,) = store.shards
    assert set(shard.positions).isdisjoint(path.parent.name for path in before) and len(store.ids()) == 4
    store.write_shard([row(seed) for seed in range(4)])
    assert len(list(store.shards)) == 1 and all(path.read_bytes() == content for path, content in before.items())


def test_another_process_sees_a_new_shard_at_once(tmp_path, monkeypatch):
    here, there = write(tmp_path, [0]), Store(tmp_path)
    tick = here.shards.folder.stat().st_mtime_ns
    monkeypatch.setattr(shards.time, "time", lambda: tick / 1e9)
    assert len(there.ids()) == 1
    here.write_shard([row(1)])
    os.utime(here.shards.folder, ns=(tick, tick))  # as if within the same tick of the folder's time
    assert len(there.ids()) == 2 and all(map(there.has, here.ids()))


def test_arrays_that_change_after_they_were_read_are_read_again(tmp_path):
    store = write(tmp_path)
    _ = store.read(store.ids()[0]).arrays
    _, tensors = paths(store)
    flip(tensors, 1.0)
    os.utime(tensors, ns=(0, 0))
    assert [finding.path for finding in verify(store)] == [paths(store)[0]]


def test_notes_and_figures_make_a_result_leave_its_shard(tmp_path):
    store = write(tmp_path)
    id, *others = store.ids()
    before = store.read(id)
    store.add(id, {"figure.png": b"png"}, ["a note"])
    after = Store(tmp_path).read(id)
    assert after.record["notes"][-1] == "a note" and after.figures == [store.path(id) / "figure.png"]
    assert (after.arrays["eigenvalues"] == before.arrays["eigenvalues"]).all()
    assert store.shard_of(id) is None and all(map(store.shard_of, others))
    assert len(store.ids()) == len(table(store)) == COUNT and verify(store) == []


@pytest.mark.parametrize("which", [0, 1])
def test_a_flipped_bit_anywhere_is_found_and_shows_no_number(tmp_path, which):
    sound = write(tmp_path / "sound")
    numbers = {id: (sound.read(id).record["eigenvalues"], sound.read(id).arrays["eigendistortions"].tobytes()) for id in sound.ids()}
    for case in range(40):
        root = tmp_path / str(case)
        merge(Store(root), sound)
        flip(paths(Store(root))[which], case / 39)
        store, shown = Store(root), {}
        for id in store.ids():
            try:
                result = store.read(id)
                shown[id] = (result.record["eigenvalues"], result.arrays["eigendistortions"].tobytes())
            except StoreError as error:
                assert "\n" not in str(error) and "prune" in str(error)
        assert all(numbers[id] == found for id, found in shown.items())
        rows = table(store, index=False)
        assert all(numbers[r["id"]][0][0] == r["top"] for r in rows)
        if len(shown) < COUNT:
            assert [finding.kind for finding in prune(store, yes=True)] == ["corrupt"]
            assert verify(store) == [] and store.ids() == []
            write(root)
            assert len(store.ids()) == COUNT


def test_a_shard_that_cannot_be_read_is_left_out_with_one_line(tmp_path, caplog):
    store = write(tmp_path, [0])
    write(tmp_path, [1, 2])
    bad = store.shard_of(row(0).id)
    assert bad
    bad.path.write_bytes(b"PAR1")
    with caplog.at_level(logging.WARNING):
        assert len(table(Store(tmp_path))) == 2
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert line.startswith(f"Left out: {bad.path}. The first reason: {bad.path} is damaged: ") and "\n" not in line
    (finding,) = verify(Store(tmp_path))
    assert (finding.kind, finding.path) == ("corrupt", bad.path)


def test_a_column_that_differs_from_the_records_is_found(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    store = write(tmp_path)
    path, _ = paths(store)
    data = parquet.read_table(path)
    at = data.column_names.index("top")
    parquet.write_table(data.set_column(at, "top", [[99.0] * COUNT]), path)
    assert all(shown["top"] == 10 for shown in table(Store(tmp_path)))
    (finding,) = verify(Store(tmp_path))
    assert "the column top differs from the record" in finding.detail


def test_a_small_file_of_very_many_rows_is_refused(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    store = write(tmp_path)
    path, _ = paths(store)
    parquet.write_table(pyarrow.table({"id": pyarrow.array(["a" * 16] * 1_000_000)}), path)
    (finding,) = verify(Store(tmp_path))
    assert "it has 1000000 rows in" in finding.detail


class Killed(BaseException):
    """The process has died."""


@pytest.fixture
def dying(monkeypatch):
    """Return a function that lets the process die before its nth change to a file; from then on nothing it does has an effect."""
    left = [10**9]

    def changing(change):
        def change_or_die(*args, **more):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return change(*args, **more)

        return change_or_die

    for name in ("open", "fsync", "replace", "unlink", "mkdir"):
        monkeypatch.setattr(os, name, changing(getattr(os, name)))

    def die_before(number: int) -> None:
        left[0] = number

    return die_before


@pytest.mark.parametrize("copied", [False, True])
def test_a_kill_between_any_two_operations_leaves_a_shard_whole_or_absent(tmp_path, dying, monkeypatch, copied):
    rows, outcomes = [row(seed) for seed in range(3)], []
    source = Store(tmp_path / "source")
    source.write_shard(rows)
    for number in range(200):
        store = Store(tmp_path / str(number))
        change = (lambda store: merge(store, source)) if copied else lambda store: store.write_shard(rows)
        try:
            dying(number)
            change(store)
            break
        except Killed:
            dying(10**9)
            found = Store(store.root)
            outcomes.append(len(found.ids()))
            assert [finding for finding in verify(found) if finding.kind == "corrupt"] == []
            change(store)
            monkeypatch.setattr("eigexp.store.maintenance._abandoned", lambda path, pid: True)
            prune(found, yes=True)
            assert len(found.ids()) == 3 and verify(found) == [] and len(list(found.shards.folder.iterdir())) == 2
    dying(10**9)
    assert set(outcomes) == {0, 3} and outcomes == sorted(outcomes) and len(outcomes) > 8


def test_arrays_without_rows_are_swept_away_unless_the_shard_is_completed_meanwhile(tmp_path):
    store = write(tmp_path)
    rows, tensors = paths(store)
    content = rows.read_bytes()
    rows.unlink()
    (finding,) = verify(store)
    assert (finding.kind, finding.path) == ("orphan", tensors)
    from eigexp.store import maintenance

    rows.write_bytes(content)
    maintenance._remove(store, finding)
    assert tensors.exists() and verify(Store(tmp_path)) == []
    rows.unlink()
    prune(store, yes=True)
    assert not tensors.exists()


def test_two_writers_of_one_batch_leave_the_files_of_the_first(tmp_path, monkeypatch):
    first, second = Store(tmp_path), Store(tmp_path)
    rows, later = ([row(seed, fisher_vector_products=products) for seed in range(3)] for products in (1.0, 99.0))
    assert [path.name for path in first.write_shard(rows)] == [path.name for path in Store(tmp_path / "other").write_shard(later)]
    content = {path: path.read_bytes() for path in paths(first)}
    monkeypatch.setattr(Store, "has", lambda self, id: False)  # it looked before the first wrote
    second.write_shard(later)
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in paths(second)} == content and verify(Store(tmp_path)) == []


def test_merge_copies_shards_whole_and_single_results_where_some_exist(tmp_path):
    target, source = write(tmp_path / "target", [0]), write(tmp_path / "source", [0, 1, 2])
    source.write_shard([row(seed) for seed in (3, 4)])
    merged = merge(target, source)
    assert (len(merged.copied), len(merged.present), merged.refused) == (4, 1, ())
    assert len(list(target.shards)) == 2 and len(target.ids()) == 5 and verify(target) == []
    assert all(target.read(id).record == source.read(id).record for id in source.ids() if id != row(0).id)
    bad = write(tmp_path / "bad", [7, 8])
    flip(paths(bad)[1], 0.9)
    assert not merge(target, Store(bad.root)).copied or verify(target) == []
    assert verify(target) == []


def test_a_shard_is_ones_own_where_it_was_computed(tmp_path, monkeypatch):
    monkeypatch.setenv("EIGEXP_KEY_FILE", str(tmp_path / "key"))
    store = write(tmp_path / "mine")
    assert not is_own(store, store.ids()[0])
    mark_file_as_own(paths(store)[0])
    assert all(is_own(store, id) for id in store.ids())
    merge(Store(tmp_path / "copy"), store)
    assert not is_own(Store(tmp_path / "copy"), store.ids()[0]) and verify(store) == []


def test_results_in_shards_go_to_a_bucket_and_none_is_written_there_as_a_shard(tmp_path, monkeypatch):
    monkeypatch.setenv("EIGEXP_CACHE", str(tmp_path / "cache"))
    store, url = write(tmp_path / "here"), "memory://bucket/of_shards"
    assert sum(Remote(url).push(store, id) for id in store.ids()) == COUNT
    there = Store(url)
    assert there.ids() == store.ids() and there.read(store.ids()[0]).record == store.read(store.ids()[0]).record
    with pytest.raises(StoreError, match="keeps each result as objects"):
        there.write_shard([row(9)])


def test_links_in_place_of_shards_are_not_followed(tmp_path):
    elsewhere = write(tmp_path / "elsewhere")
    store = Store(tmp_path / "store")
    store.root.mkdir()
    store.shards.folder.symlink_to(elsewhere.shards.folder)
    assert store.ids() == [] and [finding.path for finding in verify(store)] == [store.shards.folder]
    store.write_shard([row(8)])
    assert len(Store(store.root).ids()) == 1 and len(elsewhere.ids()) == COUNT
    path, _ = paths(store)
    kept = path.rename(tmp_path / "kept")
    path.symlink_to(kept)
    assert Store(store.root).ids() == [] and [finding.path for finding in verify(Store(store.root))] == [path]


def test_without_pyarrow_there_is_one_line(tmp_path, monkeypatch):
    store = write(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    from eigexp.store import shard

    shard._columns.cache_clear()
    again = Store(tmp_path)
    for _ in range(2):
        with pytest.raises(MissingDependencyError, match=r"need pyarrow. Run: pip install 'eigexp\[table\]'"):
            again.ids()
    with pytest.raises(MissingDependencyError):
        store.write_shard([row(9)])
    assert Store(tmp_path / "other").ids() == []


def test_a_store_of_both_is_one_selection(tmp_path):
    store = write(tmp_path, [0, 1])
    in_folders(tmp_path, [2, 3])
    write_fake(tmp_path, "ln")
    assert len(Selection.of_store(store).rows) == 5 and len(Selection.of_store(store, ["model=onoff"]).rows) == 4
    assert set(arrays_of(fake_pairs(), fake_image())) == set(store.read(store.ids()[0]).arrays)
