"""The view of results: from the records of a selection to rows that can be distinguished. Tables, figures, pages and loggers use it.

Every setting that differs within the selection is a column, and part of each result's label. Results that differ in nothing else
have the first digits of their ids in their labels, so that each label is unique.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from eigexp.store.conditions import condition, value_of
from eigexp.store.index import cached_rows
from eigexp.store.labels import natural
from eigexp.store.rows import COLUMNS, DETAILS, SETTINGS, Row, packed, row_of, unpacked
from eigexp.store.store import Store

_OF_THE_IMAGE = ("size", "images.")  # settings that belong to an image's name and not to a model's
_COLUMN_OF: dict[str, str] = {key: column for column, key in SETTINGS.items()}
_DIGITS = 6
_FRONT_ENDS = ("ln", "lg", "lgg", "onoff")  # in order of their complexity, before all others


@dataclass(frozen=True)
class Label:
    """The name of a result within its selection.

    Attributes:
        model: its name; with "(random)" where its weights are.
        layer: its name, empty for the model's output.
        settings: those that differ within the selection and are not the usual ones of it, such as "k=3, noise=poisson".
        image: its name, with what differs between images of this name.
    """

    model: str
    layer: str
    settings: str
    image: str

    @property
    def row(self) -> str:
        """What was computed, without the image."""
        return ", ".join(part for part in (self.model, self.layer, self.settings) if part)

    def __str__(self) -> str:
        return ", ".join(part for part in (self.model, self.layer, self.image, self.settings) if part)


@dataclass(frozen=True)
class Selection:
    """A selection of results.

    Attributes:
        rows: one a result, with `COLUMNS` and `DETAILS`, in order of model, layer and image.
        beside: names of the images of all results of the store, so that an image has the same mark in every figure of it.
    """

    rows: tuple[Row, ...]
    beside: tuple[str, ...] = ()

    @classmethod
    def of_store(cls, store: Store, where: Sequence[str] = (), *, ids: Sequence[str] | None = None, index: bool = True) -> "Selection":
        """Return the complete results of a store.

        Args:
            store: the store.
            where: conditions, all of which must hold: "model=onoff", "image=cam*", "n>=4096", "noise.variance=2", "status!=converged".
            ids: of the results; all by default.
            index: keep and use an index in the store, if pyarrow is installed. It may be deleted at any time.

        Raises:
            ConfigurationError: if a condition is invalid.
            StoreError: if the store cannot be read.
        """
        found = [unpacked(row) for row in cached_rows(store, lambda record: packed(row_of(record)), (*COLUMNS, *DETAILS), keep=index)]
        settings = {key for row in found for key in row["settings"]}
        conditions = [condition(text, settings) for text in where]
        kept = cls.of_rows(row for row in found if (ids is None or row["id"] in ids) and all(holds(row) for holds in conditions))
        return cls(kept.rows, tuple({str(row["image"]) for row in found}))

    @classmethod
    def of_records(cls, records: Iterable[Mapping[str, Any]]) -> "Selection":
        """Return the results of these records."""
        return cls.of_rows(row_of(record) for record in records)

    @classmethod
    def of_rows(cls, rows: Iterable[Row]) -> "Selection":
        """Return the rows in order."""
        rows = list(rows)
        shared = {id(row["settings"]): row["settings"] for row in rows}  # of thousands of rows only few differ in them
        texts = {key: natural(json.dumps(settings, sort_keys=True)) for key, settings in shared.items()}
        return cls(tuple(sorted(rows, key=lambda row: _order(row, texts[id(row["settings"])]))))

    @cached_property
    def differing(self) -> tuple[str, ...]:
        """The settings that differ within the selection, under the keys of the command line, or "k" and "tol" for the solver's."""
        keys: dict[str, None] = dict.fromkeys(str(key) for row in self.rows for key in row["settings"] if key not in ("model", "layer"))
        return tuple(_COLUMN_OF.get(key, key) for key in keys if self._differs(key))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns of a table: `COLUMNS`, and the settings that differ."""
        return (*COLUMNS, *(key for key in self.differing if key not in COLUMNS))

    @cached_property
    def labels(self) -> dict[str, Label]:
        """How each result is called, by its id; no two alike."""
        images = _image_names(self.rows, [key for key in self.differing if key.startswith(_OF_THE_IMAGE)])
        usual = {key: self.usual(key) for key in self.differing if not key.startswith(_OF_THE_IMAGE)}
        labels = {row["id"]: _label(row, usual, images) for row in self.rows}
        return _apart(self.rows, lambda row: labels[row["id"]], lambda label, row: _with_digits(label, row["id"]))

    @cached_property
    def images(self) -> list[str]:
        """The images' labels in natural order, those of the store that no result here has among them."""
        known = {self.labels[row["id"]].image for row in self.rows}
        return sorted(known | (set(self.beside) - {str(row["image"]) for row in self.rows}), key=natural)

    def usual(self, name: str) -> Any:
        """Return the value that most results have of a setting, which labels leave out."""
        values = [_none(value_of(row, name)) for row in self.rows if _has(row, name)]
        texts = [json.dumps(value, sort_keys=True) for value in values]
        return values[texts.index(max(texts, key=texts.count))] if values else None

    @cached_property
    def settings_in_common(self) -> str:
        """What labels leave out, for a title: "64x64, noise=gaussian, k=1 unless noted"."""
        first = self.rows[0] if self.rows else {}
        common = [(name, first.get(name)) for name in ("size", "k", "noise", "subspace") if name not in self.differing and first.get(name)]
        usual = [(name, self.usual(name)) for name in self.differing if not name.startswith(_OF_THE_IMAGE)]
        words = [setting_text(name, value) for name, value in [*common, *usual] if _none(value) is not None]
        return ", ".join(words) + (" unless noted" if usual else "")

    def table(self) -> list[Row]:
        """Return the rows with the columns of a table."""
        return [{name: _plain(value_of(row, name)) for name in self.columns} for row in self.rows]

    def pairs(self) -> list[Row]:
        """Return a row for each pair of each result: its model and image, the settings that differ, and what is known about the pair."""
        return [
            {name: _plain(value_of(row, name)) for name in ("id", "model", "layer", "image", *self.differing)} | pair
            for row in self.rows
            for pair in row["pairs"]
        ]

    def _differs(self, key: str) -> bool:
        """Tell whether a setting differs among those results that could have it in common.

        A setting of a part (solver.k, noise.variance) is compared among results whose part has the same name, or among all that have it;
        one of the images among results whose image has the same name and size, which say the rest; any other among all results.
        """
        part, dot, _ = key.partition(".")
        having = [row for row in self.rows if key in row["settings"]]
        same = not dot or (len(having) == len(self.rows) and part not in ("model", "images"))
        values: dict[Any, set[str]] = defaultdict(set)
        for row in (row for row in self.rows if _has(row, key)):
            settings = row["settings"]
            of = None if same else (row["image"], settings.get("size")) if part == "images" else settings.get(part)
            value = _none(settings.get(key))
            values[of].add(json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else repr(value))
        return any(len(found) > 1 for found in values.values())


def setting_text(name: str, value: Any) -> str:
    """Return a setting for a label: k=3; a size is its own name; a digest has its first digits."""
    text = "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    if len(text) == 64 and all(digit in "0123456789abcdef" for digit in text):
        text = text[:_DIGITS]
    return text if name == "size" else f"{name.removeprefix('images.')}={text}"


def _has(row: Row, name: str) -> bool:
    """Tell whether a setting means something for a row: one of a part (noise.variance) only where that part has it."""
    return "." not in name or name in row["settings"]


def _none(value: Any) -> Any:
    """Return None for the word with which a part says that it is not used."""
    return None if value == "none" else value


def model_order(name: str) -> tuple[int, Any]:
    """Return a key that sorts models: the front ends by their complexity, then all others by name."""
    return (_FRONT_ENDS.index(name), ()) if name in _FRONT_ENDS else (len(_FRONT_ENDS), natural(name))


def _plain(value: Any) -> Any:
    """Return a value that a cell of any table can hold: a list or a dict becomes JSON."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def _order(row: Row, settings: Any) -> tuple[Any, ...]:
    return model_order(str(row["model"])), natural(row["layer"] or ""), natural(str(row["image"])), settings, row["id"]


def _label(row: Row, usual: Mapping[str, Any], images: Mapping[tuple[str, str], str]) -> Label:
    random = " (random)" if any("random weights" in note for note in row["notes"]) else ""
    known = [(name, _none(value_of(row, name))) for name in usual if _has(row, name)]
    settings = ", ".join(setting_text(name, value) for name, value in known if value != usual[name])
    return Label(f"{row['model']}{random}", row["layer"] or "", settings, images[row["image"], row["image_sha256"]])


def _image_names(rows: Sequence[Row], keys: Sequence[str]) -> dict[tuple[str, str], str]:
    """Return a name for each image, by its name and digest: with what differs where two images have the same name."""
    first = {(row["image"], row["image_sha256"]): row for row in reversed(rows)}
    digests: dict[str, set[str]] = defaultdict(set)
    for name, digest in first:
        digests[name].add(digest)
    kept = [row for (name, _), row in first.items() if len(digests[name]) > 1]
    names = {key: str(row["image"]) for key, row in first.items()}
    for row in kept:
        words = [setting_text(name, value_of(row, name)) for name in keys if value_of(row, name) is not None]
        names[row["image"], row["image_sha256"]] = " ".join([str(row["image"]), *words])
    shared = _apart(list(first.values()), lambda row: names[row["image"], row["image_sha256"]],
                    lambda name, row: f"{name} {row['image_sha256'][:_DIGITS]}")  # fmt: skip
    return {key: shared[row["id"]] for key, row in first.items()}


def _apart(rows: Sequence[Row], of: Callable[[Row], Any], further: Callable[[Any, Row], Any]) -> dict[str, Any]:
    """Return {id: label}, with `further` parts where two rows have the same label."""
    count: dict[Any, int] = defaultdict(int)
    for row in rows:
        count[of(row)] += 1
    return {row["id"]: further(of(row), row) if count[of(row)] > 1 else of(row) for row in rows}


def _with_digits(label: Label, id: str) -> Label:
    return Label(label.model, label.layer, ", ".join(part for part in (label.settings, f"id {id[:8]}") if part), label.image)
