"""Configurations are read and written as PyYAML's own parser does, with libyaml's speed."""

import pytest
import yaml

from eigexp.store.yaml_text import parse_yaml, yaml_text

VALUES = [
    {"a": 1, "b": [1.5, None, True, "x: y", "é", "1", ""], "c": {"z": {}, "a": []}},
    {"name": b"caf\xe9".decode("utf-8", "surrogateescape"), "long": "word " * 60},
    {"tab": "a\tb\n c", "bell": "\x07", "text": "x" * 300, "number": 1e-20},
]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_comes_back_and_its_text_is_that_of_pyyaml(value):
    text = yaml_text(value)
    assert parse_yaml(text) == parse_yaml(text.encode()) == value
    assert yaml.safe_load(text) == value
    assert text == yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)


@pytest.mark.parametrize("text", ["a: b: c", "a: 'x", "!!python/name:os.system x", "a: \x07", "[" * 100_000, "- " * 100_000])
def test_what_is_no_plain_document_is_an_error(text):
    with pytest.raises((yaml.YAMLError, ValueError, RecursionError)):
        parse_yaml(text)


def test_deep_nesting_is_refused_and_aliases_are_followed_once():
    with pytest.raises(ValueError, match="more than 60 levels"):
        parse_yaml("[" * 200 + "]" * 200)
    laughs = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}' if i else 'x'] * 9)}]\n" for i in range(40))
    assert len(parse_yaml(laughs)) == 40
