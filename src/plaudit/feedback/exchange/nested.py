"""Lists and records that a table holds as text: in JSON, or as Python writes them, which is what pandas puts in a CSV.

Nothing is evaluated: each word of Python's is made one of JSON's, and JSON is read within the bounds that it has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from plaudit.memory import parse_json

LONGEST_LITERAL = 1 << 20  # characters: more than any text that we keep, and every word of it is an object for a while
_WORDS = {"True": "true", "False": "false", "None": "null", "nan": "null"}
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'[^'\\\n]*(?:\\.[^'\\\n]*)*'|"[^"\\\n]*(?:\\.[^"\\\n]*)*")|
    (?P<word>True|False|None|nan)\b|
    (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])|
    (?P<open>[\[{])|(?P<close>[\]}])|(?P<sign>[,:]))""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:(['\"\\nrtabfv0])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))|\\")
_CHARACTERS = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}


def read_nested(text: str) -> Any:
    """The list or record. ValueError where it is none, or holds half of a character, which can be stored nowhere."""
    value = _parsed(text)
    if "\\u" in text.lower():
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _parsed(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        if len(text) > LONGEST_LITERAL:
            raise
        return parse_json("".join(_as_json(text.strip())))


def _as_json(text: str) -> Iterator[str]:
    """The words of a list or record of Python's, as JSON. NumPy writes no commas between elements: they are added."""
    place, before = 0, ""
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise ValueError("neither JSON nor a list or record of Python's")
        kind, place = str(token.lastgroup), token.end()
        if before in ("text", "word", "number", "close") and kind in ("text", "word", "number", "open"):
            yield ","
        yield _word(kind, token[kind])
        before = kind


def _word(kind: str, word: str) -> str:
    if kind == "text":
        return json.dumps(_ESCAPE.sub(_character, word[1:-1]) if "\\" in word else word[1:-1])
    return _WORDS[word] if kind == "word" else word


def _character(escape: re.Match[str]) -> str:
    if escape[1]:
        return _CHARACTERS.get(escape[1], escape[1])
    code = escape[2] or escape[3] or escape[4]
    if not code:
        raise ValueError("an escape that is not Python's")
    return chr(int(code, 16))
