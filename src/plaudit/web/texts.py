"""The words of the pages in the user's language: `locales/LANGUAGE.json`, a flat table from key to text.

What the quality report says in words is English; `locales/figures/LANGUAGE.json` has those sentences by their patterns.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from plaudit.feedback.sentence import Sentence
from plaudit.web.sentences import DEFAULT_LANGUAGE, LANGUAGES

LOCALES = Path(__file__).parent / "locales"

Translate = Callable[..., str]
Tell = Callable[[str], str]


@cache
def texts(language: str) -> dict[str, str]:
    """Every text of a language; what it lacks is there in English."""
    file = LOCALES / f"{language}.json"
    own: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return own if language == DEFAULT_LANGUAGE else {**texts(DEFAULT_LANGUAGE), **own}


def translator(language: str) -> Translate:
    """`t(key, **values)`: the text with its `{value}`s filled in; an unknown key is shown as it is."""
    known = texts(language)

    def t(key: str, **values: Any) -> str:
        text = known.get(key, key)
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text

    return t


@cache
def patterns(language: str) -> dict[str, str]:
    """English pattern of a sentence about figures -> its pattern in the language; empty for English."""
    file = LOCALES / "figures" / f"{language}.json"
    return {} if language == DEFAULT_LANGUAGE else json.loads(file.read_text(encoding="utf-8"))


def teller(language: str) -> Tell:
    """`tell(sentence)`: what the quality report says in English, in the language; unknown, it stays as it is."""
    known = patterns(language)

    def tell(said: str) -> str:
        if not isinstance(said, Sentence):
            return known.get(said, said)
        values = {hole: tell(value) if isinstance(value, Sentence) else value for hole, value in said.values.items()}
        return known.get(said.pattern, said.pattern).format(**values)

    return tell


def accepted_language(header: str | None) -> str:
    """What a browser asks for (`Accept-Language`, in its order of preference), as far as it is there."""
    for wanted in (header or "").split(","):
        language = wanted.split(";")[0].strip().split("-")[0].lower()
        if language in LANGUAGES:
            return language
    return DEFAULT_LANGUAGE
