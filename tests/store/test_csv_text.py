"""Tables that a spreadsheet opens hold no formulas, and names do not steer a terminal."""

import pytest

from eigexp.errors import is_printable, printable
from eigexp.store.csv_text import csv_text


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\tx", "\r1", "=HYPERLINK(1)"])
def test_text_that_would_be_computed_is_quoted(text):
    written = csv_text([{"a": text, "b": -1.5, "c": None, "d": "-1.5", "e": "1-1"}], list("abcde"))
    assert written.splitlines(keepends=True)[0] == "a,b,c,d,e\n" and f"'{text}" in written and written.endswith(",-1.5,,-1.5,1-1\n")


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\rb", "a\x9bb", "a\u202eb", "a\u2028b", "a\0b", "caf\udce9"])
def test_control_characters_become_escapes(text):
    shown = printable(text)
    assert not is_printable(text) and is_printable(shown) and shown.startswith(("\\x", "a\\", "caf\\")) and shown.encode()


def test_other_letters_stay():
    assert printable("画像 é ü\n\tx", lines=True) == "画像 é ü\n\tx" and printable("a\nb") == "a\\x0ab"
