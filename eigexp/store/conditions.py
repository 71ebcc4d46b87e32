"""Conditions on rows, such as "model=onoff" or "n>=4096", as `--where` takes them."""

import fnmatch
import operator
import re
from collections.abc import Callable, Collection
from typing import Any

from eigexp.errors import ConfigurationError, nearest
from eigexp.store.rows import COLUMNS, Row

Condition = Callable[[Row], bool]
_CONDITION = re.compile(r"\s*(?P<column>[\w.]+)\s*(?P<sign>>=|<=|!=|==|=|>|<)\s*(?P<value>.*?)\s*")
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}


def condition(text: str, settings: Collection[str] = ()) -> Condition:
    """Return a condition as a function of a row. Text is compared ignoring case, with * and ? as wildcards.

    Args:
        text: column, sign and value.
        settings: names such as noise.variance that are known in addition to the columns.

    Raises:
        ConfigurationError: if it has no sign, an unknown column, or compares < or > with text.
    """
    match = _CONDITION.fullmatch(text)
    if not match:
        raise ConfigurationError(f"where={text!r} is not a condition. Write column=value, such as model=onoff or n>=4096.")
    column, sign, value = match["column"], match["sign"], match["value"]
    if column not in COLUMNS and column not in settings:
        raise ConfigurationError(f"where={text!r}: column {column!r} is unknown. {nearest(column, [*COLUMNS, *settings])}")
    if sign in _ORDERS:
        return _ordered(column, _ORDERS[sign], value)
    return lambda row: _equal(value_of(row, column), value) != (sign == "!=")


def value_of(row: Row, column: str) -> Any:
    """Return the value of a column or of a setting; None for a setting that the row does not have."""
    return row[column] if column in row else row["settings"].get(column)


def _ordered(column: str, compare: Callable[[Any, Any], bool], value: str) -> Condition:
    if column == "created":
        return lambda row: compare(row[column] or "", value)
    try:
        limit = float(value)
    except ValueError as error:
        raise ConfigurationError(f"where={column} is compared with {value!r}, which is not a number. Give a number, or use =.") from error
    return lambda row: isinstance(found := value_of(row, column), int | float) and compare(found, limit)


def _equal(found: Any, value: str) -> bool:
    if found is None:
        return value.lower() in ("none", "null", "")
    if isinstance(found, bool):
        return value.lower() == str(found).lower()
    if isinstance(found, int | float):
        try:
            return float(value) == found
        except ValueError:
            return False
    return fnmatch.fnmatchcase(str(found).lower(), value.lower())
