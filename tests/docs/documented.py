"""What README.md, docs/ and the command's help tell people to type."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from eigexp.cli.command import EPILOG

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> Iterator[str]:
    for page in PAGES:
        for found, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
            if found == language:
                yield text


def commands() -> list[str]:
    """Every command once, without its comment."""
    lines = [line for text in [*blocks("bash"), *blocks("sh"), *blocks("console")] for line in text.replace("\\\n", " ").splitlines()]
    lines += [line for line in EPILOG.splitlines() if line.startswith("  eigexp ")]
    return list(dict.fromkeys(command for line in lines if (command := without_comment(line))))


def patches() -> list[list[str]]:
    """Each patch that is told of: the command that applies it, and those that try what it adds."""
    return [lines for text in blocks("bash") if (lines := text.splitlines()) and lines[0].startswith("git apply ")]


def patch_commands() -> list[str]:
    return [command for lines in patches() for command in lines]


def without_comment(line: str) -> str:
    """The command of a line; the help parts its words from a command by three spaces."""
    return re.sub(r"(^|\s)#.*|\s{3,}.*", "", line.strip()).strip()


def words(command: str) -> list[str]:
    return shlex.split(command)


def instead(command: list[str], others: list[str]) -> list[str]:
    """The command's words, with others in place of those that set the same key, and the rest of them at the end."""
    keys = {word.partition("=")[0]: word for word in others if "=" in word}
    kept = [keys.pop(word.partition("=")[0], word) if "=" in word else word for word in command]
    return [*kept, *(word for word in others if "=" not in word or word.partition("=")[0] in keys)]
