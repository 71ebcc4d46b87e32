"""The types of a configuration's top level, checked in one place. What a group's own keys may be, the class that it names says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, AllowInfNan, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from eigexp.errors import ConfigurationError, printable

_STRICT = with_config(ConfigDict(strict=True, extra="allow"))
_WANTED = {
    "seed": "a whole number from 0 to 2^63 - 1",
    "dtype": "float32 or float64",
    "certify": "float64 or solver",
    "linearise": "auto, program, double_backward, forward or dense",
    "cuda_graph": "true or false",
    "floor": "a positive number",
    "store": "the path of a folder",
    "tags": "a list of words",
    "ckpt_path": "the path of a checkpoint, or null",
    "optimized_metric": "the name of a metric, or null",
    "paths": "a group of settings",
    "paths.output_dir": "the path of a folder",
    "extras": "a group of settings",
    "extras.print_config": "true or false",
    "figure": "null or a group of settings",
    "figure.draw": "true or false",
    "figure.scale": "a positive number, or null",
}


def _path(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("is not a path")
    Path(text).expanduser()
    return text


Node = dict[str, Any]


@_STRICT
class Figure(TypedDict, total=False):
    """The settings of figures."""

    draw: bool
    scale: Annotated[float, Field(gt=0), AllowInfNan(False)] | None


@_STRICT
class Paths(TypedDict, total=False):
    """Folders from which others are made."""

    output_dir: Annotated[str, AfterValidator(_path)]


@_STRICT
class Extras(TypedDict):
    """What a run does besides computing."""

    print_config: bool


@_STRICT
class TopLevel(TypedDict):
    """config.yaml and its groups."""

    model: Node
    images: Node
    noise: Node | None
    subspace: Node | None
    solver: Node
    callbacks: dict[str, Node | None] | None
    logger: dict[str, Node | None] | None
    trainer: Node
    launcher: Node
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    dtype: Literal["float32", "float64"]
    certify: Literal["float64", "solver"]
    linearise: Literal["auto", "program", "double_backward", "forward", "dense"]
    cuda_graph: NotRequired[bool]  # stored configurations of earlier versions have none
    against: Node | None
    floor: Annotated[float, Field(gt=0), AllowInfNan(False)]
    store: Annotated[str, AfterValidator(_path)]
    figure: Figure | None
    tags: list[str]
    ckpt_path: str | None
    optimized_metric: str | None
    paths: Paths
    extras: Extras


_ADAPTER: TypeAdapter[Any] = TypeAdapter(TopLevel)


def check_types(config: Mapping[str, Any]) -> None:
    """Check the top level of a composed configuration of plain values.

    Raises:
        ConfigurationError: naming the key, its value, and what to give.
    """
    try:
        _ADAPTER.validate_python(dict(config))
    except ValidationError as error:
        raise ConfigurationError(_message(error.errors(include_url=False, include_context=False)[0])) from None


def _message(problem: Any) -> str:
    # The location of a problem in one of several types ends with the name of that type, which is not a key.
    keys = [str(part) for part in problem["loc"] if str(part).isidentifier()]
    top, key = keys[0], ".".join(keys[:2])
    if problem["type"] == "missing":
        return f"{top} is missing. Remove ~{top}, or set {top}=<option>."
    key = key if key in _WANTED or top in ("callbacks", "logger") else top
    wanted = _WANTED.get(key, f"a group of settings, such as an option by its name, or +{key}._target_=<class>")
    return f"{key}={printable(repr(problem['input'])[:100])} is invalid. Give {wanted}."
