"""What README.md, CONTRIBUTING.md, docs/ and the command's help tell people to type."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from eigexp.cli.command import EPILOG

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> Iterator[str]:
    """Yield the blocks of code in a language, page by page."""
    for page in PAGES:
        for found, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
            if found == language:
                yield text


def commands() -> list[str]:
    """Return every command once, on one line and without its comment."""
    texts = [*blocks("bash"), *blocks("sh"), *blocks("console")]
    lines = [line for text in texts for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines()]
    lines += [line for line in EPILOG.splitlines() if line.startswith("  eigexp ")]
    return list(dict.fromkeys(command for line in lines if (command := without_comment(line))))


def patches() -> list[list[str]]:
    """Return for each patch the command that applies it, and those that try what it adds."""
    return [lines for text in blocks("bash") if (lines := text.splitlines()) and lines[0].startswith("git apply ")]


def patch_commands() -> list[str]:
    """Return all commands of `patches`."""
    return [command for lines in patches() for command in lines]


def without_comment(line: str) -> str:
    """Return the command of a line; in the help, three spaces end a command."""
    return re.sub(r"(^|\s)#.*|\s{3,}.*", "", line.strip()).strip()


def arguments(command: str) -> list[str]:
    """Return the arguments of a command, as a shell would split them."""
    return shlex.split(command)


def replaced(command: list[str], others: list[str]) -> list[str]:
    """Return the arguments of a command, with others in place of those that set the same key, and the rest of them at the end."""
    keys = {argument.partition("=")[0]: argument for argument in others if "=" in argument}
    kept = [keys.pop(argument.partition("=")[0], argument) if "=" in argument else argument for argument in command]
    return [*kept, *(argument for argument in others if "=" not in argument or argument.partition("=")[0] in keys)]
