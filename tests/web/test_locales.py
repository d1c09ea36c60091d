"""The pages' texts: every language has the same keys and holes, every key is used, and every key used is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import plaudit.web

WEB = Path(plaudit.web.__file__).parent
TEXTS = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in (WEB / "locales").glob("*.json")}
SOURCES = {path: path.read_text(encoding="utf-8") for path in WEB.rglob("*") if path.suffix in (".html", ".js", ".py")}
CLIENT = SOURCES[WEB / "templates" / "client_texts.html"]
SCRIPTS = "\n".join(text for path, text in SOURCES.items() if path.suffix == ".js")
PAGES = "\n".join(text for path, text in SOURCES.items() if path.suffix == ".html" and path.name != "client_texts.html")
HOLE = re.compile(r"\{\w+\}")


def keys_of(source: str) -> set[str]:
    """Keys written out in full as the argument of `t`, also either side of a condition."""
    calls = re.findall(r"""\bt\(([^()]*)""", source)
    return {key for call in calls for key in re.findall(r"""["']([a-z][a-z0-9_-]+)["'](?!\s*[-~+:=])""", call)} - {""}


def families_of(source: str) -> set[str]:
    """What stands before a key's part that is decided only when the page is made: `t("role-name-" ~ role)`."""
    in_pages = re.findall(r'"([a-z-]+-)" ~', source)
    in_scripts = re.findall(r"`([a-z-]+-)\$\{", source) + [f"{f}-" for f in re.findall(r'word\("([\w-]+)"', source)]
    return {*in_pages, *in_scripts}


@pytest.mark.parametrize("language", sorted(set(TEXTS) - {"en"}))
def test_languages_have_the_same_keys_and_holes(language: str) -> None:
    assert list(TEXTS[language]) == list(TEXTS["en"])
    for key, text in TEXTS["en"].items():
        assert sorted(HOLE.findall(text)) == sorted(HOLE.findall(TEXTS[language][key])), key


def test_every_key_is_used() -> None:
    everything = "\n".join(text for path, text in SOURCES.items() if path.name != "client_texts.html")
    families = families_of(everything)
    unused = [key for key in TEXTS["en"] if not _is_used(key, everything, families)]
    assert unused == []


def _is_used(key: str, source: str, families: set[str]) -> bool:
    return f'"{key}"' in source or f"'{key}'" in source or any(key.startswith(family) for family in families)


def test_every_key_that_pages_and_scripts_name_is_there() -> None:
    named = keys_of(PAGES) | keys_of(SCRIPTS)
    assert len(named) > 100
    assert named - set(TEXTS["en"]) == set()


def test_scripts_are_given_every_text_that_they_name() -> None:
    given = set(re.findall(r'"([a-z0-9-]+)"', CLIENT)) - {"texts"}
    assert given <= set(TEXTS["en"])
    assert keys_of(SCRIPTS) <= given
    for family in families_of(SCRIPTS):
        assert {key for key in TEXTS["en"] if key.startswith(family) and not key.startswith("role-name-")} <= given, (
            family
        )


def test_no_page_has_inline_scripts_or_styles() -> None:
    for path, text in SOURCES.items():
        if path.suffix == ".html":
            assert not re.search(r"\sstyle=|\son[a-z]+=|<style|javascript:", text), path.name
            assert not re.search(r"<script(?![^>]*(src=|application/json))", text), path.name
