"""Sentences about figures that know their own pattern, so that a page can say them in its reader's language."""

from __future__ import annotations

from collections.abc import Mapping


class Sentence(str):
    """An English sentence: `pattern` with its `{holes}` filled by `values`, which are texts or sentences themselves."""

    pattern: str
    values: Mapping[str, str]


def sentence(pattern: str, /, **values: str) -> Sentence:
    said = Sentence(pattern.format(**values))
    said.pattern, said.values = pattern, values
    return said
