"""The pages' texts: every language has the same keys and holes, every key is used, and every key used is there."""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

import plaudit.web
from plaudit.feedback.quality import annotators, report
from plaudit.feedback.quality.annotators import FlagKind, sentence
from plaudit.stats.ratings import Undefined
from plaudit.web.site import COMPUTING
from plaudit.web.texts import patterns, teller

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


@pytest.mark.parametrize("language", sorted(set(TEXTS) - {"en"}))
def test_every_sentence_about_figures_is_there_with_its_holes(language: str) -> None:
    known = patterns(language)
    written = patterns_in(report) | patterns_in(annotators)
    whole = {"Nobody has compared any answers yet: there is no quality to report.", COMPUTING}
    assert set(known) == written | set(FlagKind) | set(Undefined) | whole
    for pattern, text in known.items():
        assert sorted(HOLE.findall(text)) == sorted(HOLE.findall(pattern)), pattern


def patterns_in(module: ModuleType) -> set[str]:
    """The first argument of every `sentence(...)`, where it is written out; both where it depends."""
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Call)]
    firsts = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "sentence"]
    written = [[first.body, first.orelse] if isinstance(first, ast.IfExp) else [first] for first in firsts]
    return {part.value for parts in written for part in parts if isinstance(part, ast.Constant)}


def test_a_sentence_is_told_with_the_sentences_in_it_and_names_as_they_are() -> None:
    reason = sentence("chose what was shown {place} {share} of the time", place=sentence("first"), share="90%")
    pattern = "Look at the work of {who} ({kind}: {reason}). Weighted, a vote of theirs counts {weight}."
    said = sentence(pattern, who="first {who}", kind=sentence("too fast"), reason=reason, weight="0.10")
    assert teller("en")(said) == said
    told = teller("ja")(said)
    assert told.startswith("first {who} さん")
    assert "最初に表示された回答を 90%" in told


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
