"""The words of the pages in the user's language: `locales/LANGUAGE.json`, a flat table from key to text."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from plaudit.web.sentences import DEFAULT_LANGUAGE, LANGUAGES

LOCALES = Path(__file__).parent / "locales"

Translate = Callable[..., str]


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


def accepted_language(header: str | None) -> str:
    """What a browser asks for (`Accept-Language`, in its order of preference), as far as it is there."""
    for wanted in (header or "").split(","):
        language = wanted.split(";")[0].strip().split("-")[0].lower()
        if language in LANGUAGES:
            return language
    return DEFAULT_LANGUAGE
