"""What plenoptic's Eigendistortion documents, done with plenoptic and with eigexp side by side.

`python -m tests.peers.dropin` prints the table. A behaviour is a function of a library; what it returns, raises or warns of is its outcome.
"""

import builtins
import contextlib
import io
import warnings
from dataclasses import dataclass

from tests.peers.behaviours import BEHAVIOURS
from tests.peers.sides import OURS, THEIRS, Behaviour, Library


@dataclass(frozen=True)
class Row:
    behaviour: Behaviour
    theirs: str
    ours: str

    @property
    def as_expected(self) -> bool:
        return (self.theirs == self.ours) == (not self.behaviour.why)


def outcome(behaviour: Behaviour, library: Library) -> str:
    """What is returned, or the builtin class of what is raised; and the builtin classes of what is warned of."""
    with (
        warnings.catch_warnings(record=True) as caught,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("always")
        try:
            result = str(behaviour.do(library))
        except Exception as error:
            result = f"raises {_builtin(type(error))}"
    told = sorted(
        {_builtin(w.category) for w in caught if issubclass(w.category, UserWarning) and "lightning" not in w.category.__module__}
    )
    return " + ".join([result, *(f"warns {name}" for name in told)])


def _builtin(kind: type) -> str:
    return next(c.__name__ for c in kind.__mro__ if c.__module__ == builtins.__name__)


def compare() -> list[Row]:
    return [Row(b, outcome(b, THEIRS), outcome(b, OURS)) for b in BEHAVIOURS]


def table(rows: list[Row]) -> str:
    """Aligned columns; what is not as expected is marked."""
    cells = [("behaviour", "plenoptic", "eigexp", "")]
    for row in rows:
        verdict = "same" if row.theirs == row.ours else f"differs: {row.behaviour.why or 'NOT EXPECTED'}"
        cells.append((row.behaviour.name, row.theirs, row.ours, verdict if row.as_expected else f"{verdict} (NOT EXPECTED)"))
    widths = [max(min(len(line[i]), 44) for line in cells) for i in range(3)]
    lines = ["  ".join([*(_short(line[i], widths[i]).ljust(widths[i]) for i in range(3)), line[3]]).rstrip() for line in cells]
    return "\n".join([lines[0], "-" * 120, *lines[1:]])


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def main() -> None:
    rows = compare()
    print(table(rows))
    same = sum(row.theirs == row.ours for row in rows)
    print(
        f"\n{len(rows)} behaviours: {same} the same, {len(rows) - same} different; {sum(not r.as_expected for r in rows)} not as expected"
    )


if __name__ == "__main__":
    main()
