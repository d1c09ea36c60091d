"""Other people's and models' text on a terminal: harmless, and visibly not the program's own.

It is hostile: it may hold codes that clear the screen, hide text, reorder it or pretend to be the next answer.
"""

from __future__ import annotations

import unicodedata

_STEERING = {"Cc", "Cs", "Zl", "Zp"}  # controls, halves of characters, separators of lines and paragraphs
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    """`text` with whatever would steer a terminal or reorder the line written as escapes; newlines and tabs stay."""
    return "".join(_escape(c) if _steers(c) else c for c in text.replace("\r\n", "\n"))


def quoted(text: str) -> str:
    """`text` made printable, each line of it behind a bar, so that no line can pass for the program's."""
    return "\n".join(f"  │ {line}" for line in printable(text).split("\n"))


def _steers(character: str) -> bool:
    return character not in "\n\t" and (unicodedata.category(character) in _STEERING or character in _REORDERING)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
