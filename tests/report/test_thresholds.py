"""Predicted thresholds: the table, and the figure of it."""

import csv
import io
import math

import pytest
import torch

from eigexp.report.plot import plot
from eigexp.report.thresholds import COLUMNS, thresholds_chart, thresholds_csv, thresholds_table, thresholds_text
from eigexp.store import Store
from tests.store.fakes import fake_image, fake_pairs, fake_record


def write(store, model, image="camera", *, layer=None, values=(10.0, 1e-3), bottom=None, notes=()):
    picture = fake_image(name=image, seed=sum(map(ord, image)))
    values = torch.tensor(values, dtype=torch.float64)
    low, high = bottom or (float(values[1]), float(values[1]))
    intervals = torch.tensor([[float(values[0])] * 2, [low, high]], dtype=torch.float64)
    pairs = fake_pairs(eigenvalues=values, intervals=intervals)
    record = fake_record(pairs, picture, model, layer=layer, notes=list(notes))
    store.write(record, pairs, picture)
    return record["id"]


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    for image in ("coins", "camera"):
        write(store, "vgg16", image, layer="features.16", values=(10.0, 1e-15), bottom=(0.0, 1e-5))
        write(store, "vgg16", image, layer="features.4", notes=["vgg16 has random weights: this says nothing of a trained network"])
        write(store, "onoff", image, bottom=(5e-4, 2e-3))
        write(store, "ln", image, bottom=(0.0, 1e-3))
    return store


def results(store):
    return [store.read(id) for id in store.ids()]


def test_d_and_thresholds_with_what_the_intervals_leave_open(store):
    rows = {(row["model"], row["layer"], row["image"]): row for row in thresholds_table(results(store))}
    known = rows["onoff", "", "camera"]
    assert math.isclose(known["D"], 0.5 * math.log(1e4)) and math.isclose(known["D_low"], 0.5 * math.log(10 / 2e-3))
    assert math.isclose(known["D_high"], 0.5 * math.log(10 / 5e-4)) and math.isclose(known["threshold_least"], 1e-3**-0.5)
    assert math.isclose(known["threshold_most"], 10**-0.5)
    open_above = rows["ln", "", "camera"]
    assert math.isinf(open_above["D_high"]) and math.isclose(open_above["D_low"], 0.5 * math.log(1e4)) and "at least" in open_above["words"]
    null = rows["vgg16", "features.16", "coins"]
    assert null["D"] is None and math.isclose(null["D_low"], 0.5 * math.log(1e6)) and null["words"] == "at least 6.9"
    assert math.isclose(null["threshold_least"], 1e-5**-0.5)


def test_front_ends_come_first_and_layers_by_number(store):
    order = [(row["model"], row["layer"]) for row in thresholds_table(results(store))][::2]
    assert order == [("ln", ""), ("onoff", ""), ("vgg16", "features.4"), ("vgg16", "features.16")]


def test_a_result_of_one_end_has_no_row(tmp_path):
    store = Store(tmp_path)
    picture = fake_image()
    pairs = fake_pairs(eigenindex=torch.tensor([0, 1]))
    store.write(fake_record(pairs, picture), pairs, picture)
    assert thresholds_table(results(store)) == []
    assert thresholds_chart([]).empty == "no result with both ends"


def test_csv_and_text(store):
    rows = thresholds_table(results(store))
    read = list(csv.DictReader(io.StringIO(thresholds_csv(rows))))
    assert list(read[0]) == list(COLUMNS) and len(read) == 8
    assert [float(row["D_low"]) for row in read] == [row["D_low"] for row in rows]
    lines = thresholds_text(rows).splitlines()
    assert len(lines) == 9 and "at least 4.6" in lines[1] and "\u2265" in lines[1]


def test_marks_are_values_or_bounds_and_rows_have_their_mean(store):
    chart = thresholds_chart(thresholds_table(results(store)))
    assert len(chart.marks) == 8 and sum(mark.limit == "at least" for mark in chart.marks) == 4
    assert [text for _, text in chart.y.ticks] == ["ln", "onoff", "vgg16 (random) features.4", "features.16"]
    assert [text for _, text in chart.notes] == ["\u2265 4.60", "4.61", "4.61", "\u2265 6.90"]
    assert chart.dividers == (0.5, 1.5)


@pytest.mark.parametrize("width", [None, 1, 2])
def test_the_command_writes_figure_and_table(store, tmp_path, width):
    from eigexp.report.plot import Settings

    figure, table = plot(store, "thresholds", output=tmp_path / "out" / "t.png", settings=Settings(width=width, dpi=60))
    assert figure.path.read_bytes().startswith(b"\x89PNG") and table.path == tmp_path / "out" / "t.csv"
    assert len(table.path.read_text().splitlines()) == 9 and len(figure.notes) == 9
