"""The author of an answer, a prompt or guidelines: who hides something in it, or makes it expensive to show."""

from __future__ import annotations

import time
from typing import Any

import pytest

from plaudit.printable import MARK, make_visible
from plaudit.types import Prompt, Response, Task
from plaudit.web.rendering import LONGEST, LONGEST_GUIDELINES, MOST_CELLS, guidelines_to_html, to_html
from plaudit.web.site import Site

HIDDEN = {
    "turned by U+202E": "a \u202eetirw\u202c b",
    "isolated": "a \u2066b\u2069",
    "escape": "a\x1b[31mb",
    "zero width space": "a\u200bb",
    "zero width joiner": "a\u200db",
    "byte order mark": "a\ufeffb",
    "tags": "a\U000e0041\U000e0042b",
    "bytes as variants": "a\ufe00\ufe01\ufe02b",
    "right-to-left mark, in English": "a\u200f!",
    "Hangul filler": "a\u3164b",
    "nothing before it": "\u200db",
}
NEEDED = {
    "Persian": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "Hindi": "\u0915\u094d\u200d\u0937",
    "Thai, where a line may break": "\u0e02\u0e2d\u200b\u0e1a\u0e04\u0e38\u0e13",
    "a family": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "a heart on fire": "\u2764\ufe0f\u200d\U0001f525",
    "somebody at work": "\U0001f469\U0001f3fd\u200d\U0001f4bb",
    "a head that shakes": "\U0001f642\u200d\u2194\ufe0f",
    "Scotland": "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "a key": "1\ufe0f\u20e3",
    "one of a character's variants": "\u845b\U000e0100",
    "Hebrew": "\u05e9\u05dc\u05d5\u05dd\u200f!",
    "a soft hyphen": "so\xadft",
    "a tab": "a\tb\nc",
}
COSTLY = {
    "a table of many columns": "a|" * (LONGEST // 6) + "\n" + "-|" * (LONGEST // 6) + "\n" + "a\n" * (LONGEST // 6),
    "a table of many rows": "|" + "a|" * 500 + "\n|" + "-|" * 500 + "\n" + "a\n" * (LONGEST // 2 - 1_010),
    "many tables": ("|a|a|\n|-|-|\n" + "a\n" * 100) * (LONGEST // 220),
    "quotations": ">" * (LONGEST // 3) + "\n" + "a\n" * (LONGEST // 3),
    "images in images": "![" * (LONGEST // 2),
    "brackets": "[" * LONGEST,
    "emphasis": "*a **b " * (LONGEST // 7),
    "marks of direction": "\u200e" * LONGEST,
}


@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN)
def test_what_nobody_sees_is_marked(text: str) -> None:
    """Also where Markdown, which can name a character by its number, is what brings it in."""
    by_number = "".join(c if c.isalnum() else f"&#{ord(c)};" for c in text)
    for shown in (make_visible(text), to_html(text, "ann"), to_html(by_number, "ann"), guidelines_to_html(text)):
        assert MARK in shown
        assert not {c for c in text if ord(c) > 126 or ord(c) == 27} & {*shown} - {"\ufe00"}


@pytest.mark.parametrize("text", NEEDED.values(), ids=NEEDED)
def test_what_writing_needs_stays(text: str) -> None:
    assert make_visible(text) == text
    assert MARK not in to_html(text, "ann")


def test_an_annotator_sees_the_marks_everywhere(site: Site, join: Any) -> None:
    hidden = "a\u202eb"
    prompt = Prompt.from_text(f"{hidden}?", "made")
    answers = [Response(prompt.id, f"{hidden} {n}") for n in range(2)]
    site.store.add_prompts([prompt])
    site.store.add_responses(answers)
    site.store.add_tasks([Task(prompt.id, tuple(a.id for a in answers), question=hidden)])
    ann = join("ann")
    task = ann.task()
    assert ann.judge(task).status_code == 200
    said = str((task, ann.get("/api/history").json()))
    assert "\u202e" not in said
    assert said.count(MARK) == 5


@pytest.mark.parametrize("text", COSTLY.values(), ids=COSTLY)
def test_no_answer_is_expensive_to_show(text: str) -> None:
    assert len(text) <= LONGEST
    began = time.thread_time()
    html = to_html(text, "ann")
    assert html.count("<td>") + html.count("<th>") <= MOST_CELLS
    assert time.thread_time() - began < 2.0  # 0.3 where nobody else is on the machine


def test_guidelines_are_rendered_once_and_long_ones_as_they_are() -> None:
    text = f"# {time.time_ns()}"
    before = guidelines_to_html.cache_info().hits
    assert guidelines_to_html(text) is guidelines_to_html(text)
    assert guidelines_to_html.cache_info().hits == before + 1
    assert guidelines_to_html("*" * (LONGEST_GUIDELINES + 1)).startswith("<pre>*")
