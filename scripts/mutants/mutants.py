"""The list of slips, and how one is applied."""

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("list.toml")


@dataclass(frozen=True)
class Mutant:
    """One careless change.

    Attributes:
        file: relative to the root.
        before: a snippet that the file holds exactly once.
        after: what stands there instead.
        tests: the files that should notice, or single tests (file::name), most likely first.
        reason: why no test can notice, where none can.
    """

    file: str
    before: str
    after: str
    tests: tuple[str, ...]
    reason: str | None = None

    @property
    def package(self) -> str:
        """The part of eigexp that it belongs to: certificates, solvers, ..."""
        return Path(self.file).relative_to("eigexp").parts[0].removesuffix(".py")

    @property
    def words(self) -> str:
        """The change as one line."""
        before, after = (" ".join(text.split()) for text in (self.before, self.after))
        return f"{self.file}: {before}  ->  {after or '(nothing)'}"

    def fault(self, root: Path = ROOT) -> str | None:
        """Return what is wrong with the row: a snippet that is missing or not unique, a change that is none, a test that does not exist."""
        path = root / self.file
        count = path.read_text().count(self.before) if path.is_file() else 0
        if count != 1:
            return f"{self.words}: the snippet is found {count} times, not once"
        if self.before == self.after:
            return f"{self.words}: nothing changes"
        missing = [test for test in self.tests if not (root / test.partition("::")[0]).is_file()]
        return f"{self.words}: there is no {missing[0]}" if missing or not self.tests else None

    def digest(self, root: Path = ROOT) -> str:
        """Return the SHA-256 of the change, the file as it is and the tests' files: a recorded outcome holds while this is the same."""
        files = [self.file, *(test.partition("::")[0] for test in self.tests)]
        parts = [self.before.encode(), self.after.encode(), *map(str.encode, self.tests), *((root / file).read_bytes() for file in files)]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    def apply(self, root: Path) -> None:
        """Write the change into a tree."""
        path = root / self.file
        path.write_text(path.read_text().replace(self.before, self.after))


def read(path: Path = LIST) -> list[Mutant]:
    """Return the rows of a list: tables [[file]] with `path` and `tests`, their `slips` as {before, after, tests, reason}."""
    return [_mutant(group, slip) for group in tomllib.loads(path.read_text())["file"] for slip in group["slips"]]


def _mutant(group: dict[str, Any], slip: dict[str, Any]) -> Mutant:
    return Mutant(group["path"], slip["before"], slip["after"], tuple(slip.get("tests", group["tests"])), slip.get("reason"))
