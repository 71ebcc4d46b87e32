"""The required contents of a store's files. Every reader checks a file against these types, and relies on them afterwards."""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, AllowInfNan, ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo, with_config
from typing_extensions import TypedDict

from eigexp.errors import is_printable

FORMAT = 2
_MAX_EXACT_INTEGER = 2**53  # of a float64
_NAME = re.compile(r"[\w][\w .+-]{0,199}", re.ASCII)
_MAX_SHOWN = 120  # characters of a message

RECORD = "record.json"


def is_bare_name(name: str) -> bool:
    """Return whether a text can be the name of a result's file: no folder, no hidden file, and not the record itself."""
    return bool(_NAME.fullmatch(name)) and name != RECORD


def _line(text: str) -> str:
    if not is_printable(text):
        raise ValueError("contains control characters")
    return text


def _bare(name: str) -> str:
    if not is_bare_name(name):
        raise ValueError("is not the name of a file without a folder")
    return name


def _printable(value: Any, info: ValidationInfo) -> Any:
    """Check every text within a value, unless all of the file was checked."""
    if not info.context:
        _check_texts(value)
    return value


def _check_texts(value: Any) -> None:
    for text in value if isinstance(value, dict | list) else ():
        _check_texts(text)
    for inner in value.values() if isinstance(value, dict) else ():
        _check_texts(inner)
    if isinstance(value, str):
        _line(value)


def _date(text: str) -> str:
    datetime.fromisoformat(text)
    return text


Line = Annotated[str, AfterValidator(_line), Field(max_length=20_000)]
Id = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{2,64}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
JobName = Annotated[str, Field(pattern=r"^\w[\w-]{0,63}:[^/\x00-\x1f\x7f]{1,200}$")]  # such as slurm:12_0; names files, so without a slash
FileName = Annotated[str, AfterValidator(_bare)]
Count = Annotated[int, Field(ge=0, le=_MAX_EXACT_INTEGER)]
Number = Annotated[float, AllowInfNan(False)]
Amount = Annotated[float, AllowInfNan(False), Field(ge=0)]
Plain = Annotated[dict[str, Any], AfterValidator(_printable)]
Evidence = Literal["proven", "krylov", "converged", "unconfirmed", "budget"] | None  # those of eigexp.pairs, whose import takes torch
_OPEN = with_config(ConfigDict(strict=True, extra="allow"))


@_OPEN
class ImageFacts(TypedDict):
    """The image of a record."""

    name: Line
    shape: NotRequired[Annotated[list[Annotated[int, Field(ge=1, le=2**31)]], Field(max_length=8)]]
    sha256: NotRequired[Line]
    source: NotRequired[Line]


@_OPEN
class Sides(TypedDict):
    """The evidence of a record."""

    top: Evidence
    bottom: Evidence


@_OPEN
class Zero(TypedDict):
    """Eigenvalues that are zero to rounding."""

    count: Count
    below: Amount | None


@_OPEN
class Null(TypedDict):
    """The null space of a record."""

    dimension_at_least: Count
    dimension_estimate: Amount | None
    numerically_zero: NotRequired[Zero | None]


@_OPEN
class PrincipalFacts(TypedDict):
    """What a record says of the principal distortions of several models."""

    models: Annotated[list[Line], Field(min_length=2)]
    log_sensitivities: list[Annotated[list[Number], Field(min_length=2, max_length=2)]]
    value: Amount
    bound: Amount
    gradient: Amount
    curvature: Number
    restarts: list[Amount]
    evaluations: Count
    products: Count


@_OPEN
class Record(TypedDict):
    """record.json. Keys that are not listed may hold anything; readers do not use them."""

    id: Id
    format: Literal[1, 2]
    digest: NotRequired[Digest]
    status: Literal["converged", "unconfirmed", "budget"]
    evidence: Sides
    verified: bool
    method: Line
    model: Line
    layer: Line | list[Line] | None
    image: ImageFacts
    n: Annotated[int, Field(ge=1, le=_MAX_EXACT_INTEGER)]
    m: Count
    eigenindex: list[Count]
    eigenvalues: list[Number | None]
    residuals: list[Amount | None]
    intervals: list[Annotated[list[Number | None], Field(min_length=2, max_length=2)]]
    clusters: list[list[Count]]
    null_space: Null
    tolerances: dict[str, dict[str, Number | bool | None]]
    fisher_vector_products: Amount
    steps: Count
    seconds: Amount
    seed: int
    notes: list[Line]
    versions: NotRequired[dict[str, Line]]
    git: NotRequired[dict[str, Line | bool] | None]
    host: NotRequired[Line]
    device: Line
    created: Annotated[Line, AfterValidator(_date)]
    identity: Plain
    settings: NotRequired[Plain]
    files: dict[FileName, Digest]
    principal: NotRequired[PrincipalFacts]


@_OPEN
class Job(TypedDict, total=False):
    """job.json: what a task is, and which process has it."""

    ids: Annotated[list[Id], Field(min_length=1)]
    names: list[Line]
    model: Line
    overrides: list[Line]
    tables: list[Id]
    launcher: Line
    job: Line | int
    host: Line
    pid: Annotated[int, Field(ge=2)]  # 0 and -1 would signal whole groups of processes
    jobs: list[JobName]
    cancelled: bool
    batch_size: Annotated[int, Field(ge=1)]
    task_seconds: Annotated[float, AllowInfNan(False), Field(gt=0)]
    task_memory: Annotated[int, Field(ge=1)]


@_OPEN
class Failure(TypedDict, total=False):
    """error.json: how a task failed."""

    type: Line
    message: str
    transient: bool
    traceback: str


@_OPEN
class TableLayer(TypedDict):
    """A layer of a cross table."""

    layer: Line | list[Line] | None
    id: Id
    m: Count
    n: Annotated[int, Field(ge=1, le=_MAX_EXACT_INTEGER)]
    largest: Amount


@_OPEN
class TableVector(TypedDict):
    """An eigendistortion of a cross table."""

    layer: Count
    eigenindex: Count
    eigenvalue: Number | None


@_OPEN
class TableFile(TypedDict):
    """cross/<id>.json: the sensitivity of each layer to the eigendistortions of all layers."""

    id: Id
    format: Literal[1, 2]
    digest: NotRequired[Digest]
    model: Line
    image: ImageFacts
    layers: list[TableLayer]
    vectors: list[TableVector]
    values: list[list[Number]]


def parse(content: bytes, kind: type) -> Any:
    """Return the JSON of a file, checked against its type.

    Raises:
        ValueError: with one line that says where it is wrong.
    """
    try:
        # A file of ASCII without escapes has no other control character than DEL: JSON forbids the rest. Most records are such files.
        plain = content.isascii() and not any(byte in content for byte in (b"\\", b"\x7f"))
        return _adapter(kind).validate_json(content, context=plain or None)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(_known(first["loc"], json.loads(content))) if first["loc"] else ""
        if first["type"] == "missing":
            where = ".".join(filter(None, [where, str(first["loc"][-1])]))
        given = f", not {first['input']!r:.60}" if where and first["type"] != "missing" else ""
        raise ValueError(f"{where + ': ' if where else ''}{first['msg'][:_MAX_SHOWN]}{given}") from None


def _known(steps: Sequence[Any], value: Any) -> Iterator[str]:
    """Yield the keys and positions on the way to an error, without the names of types that pydantic puts between them."""
    for step in steps:
        if step in value if isinstance(value, dict) else isinstance(value, list) and isinstance(step, int):
            value = value[step]
            yield str(step)


def check_record(record: Record) -> None:
    """Check that the keys of a record are consistent with each other.

    Raises:
        ValueError: saying what is inconsistent.
    """
    index, n = record["eigenindex"], record["n"]
    if not len(index) == len(record["eigenvalues"]) == len(record["residuals"]) == len(record["intervals"]):
        raise ValueError("eigenindex, eigenvalues, residuals and intervals have different lengths")
    if any(after < before for before, after in pairwise(index)) or any(i >= n for i in index):
        raise ValueError(f"eigenindex {str(index)[:60]} is not in order within 0 to {n - 1}")
    for low, high in record["intervals"]:
        if low is not None and high is not None and low > high:
            raise ValueError(f"interval [{low}, {high}] is empty")
    facts = record.get("principal")
    if facts and len(facts["models"]) != len(facts["log_sensitivities"]):
        raise ValueError("principal has sensitivities of another number of models")
    if record["format"] >= 2 and "digest" not in record:
        raise ValueError("digest is missing")


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def _adapter(kind: type) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
