"""The commands of the page name the store and the results as a shell reads them."""

import shlex
from pathlib import Path

import pytest

from eigexp.report.commands import plot_command, run_command, where_words
from eigexp.store import Store
from eigexp.store.labels import shortest
from tests.store.fakes import write_fake


@pytest.mark.slow(0.0)
def test_what_runs_again_is_the_records_command_or_the_frozen_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store("a b")
    result = store.read(write_fake(store.root))
    place = f"'a b/{result.id[:2]}/{result.id}'"
    assert run_command(result) == f'eigexp run --config-path="$PWD"/{place} --config-name=config store=outputs/again'
    result.record["command"] = "eigexp run model=ln"
    assert run_command(result) == "eigexp run model=ln"


@pytest.mark.slow(0.0)
@pytest.mark.parametrize(
    ("root", "store"),
    [("outputs/results", []), ("other store", ["--store", "other store"]), ("../where", ["--store", "../where"])],
)
def test_the_store_is_named_where_it_is_not_the_usual_one(tmp_path, monkeypatch, root, store):
    monkeypatch.chdir(tmp_path)
    command = plot_command(Store(root).root, "compare", *where_words(["image=a b; rm -rf ~"]))
    assert shlex.split(command) == ["eigexp", "plot", "compare", "--where", "image=a b; rm -rf ~", *store]
    assert Path(root).name in command or not store


@pytest.mark.slow(0.0)
def test_ids_are_cut_where_no_other_begins_alike():
    ids = ["aaaaaaaaaaaa0000", "aaaaaaaaaaab0000", "b000000000000000"]
    assert shortest(ids) == {ids[0]: "aaaaaaaaaaaa", ids[1]: "aaaaaaaaaaab", ids[2]: "b0000000"}
    assert shortest(["ab", "abc"]) == {"ab": "ab", "abc": "abc"}
