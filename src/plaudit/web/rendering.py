"""What people and models wrote, as HTML: nothing in it runs, loads or leads anywhere, hides, or takes long.

It is hostile input. Two locks, one behind the other: markdown-it makes no HTML but its own and shows links and images
as words, and nh3 (an allow-list) throws away whatever is not plain text structure. The page's content security policy
is the third. Characters that nobody sees are marked in the end, as Markdown can also write them by number.

Markdown may take time that grows faster than its length, so a long text is shown as it is, and a table ends early: one
of many columns is the most expensive, as each short line in it is filled up with empty cells.

What is kept is kept for one reader. A check has often been shown to somebody else before, and most other tasks have
not: an answer that came sooner for that would tell which is which.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import table
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from plaudit.printable import make_visible

TAGS = {
    "p", "br", "hr", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "h3", "h4", "h5", "h6",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
ATTRIBUTES = {"ol": {"start"}}
HEADINGS_START = 3  # the page has headings of levels 1 and 2 of its own
LONGEST = 20_000  # characters of an answer or a message that are read as Markdown
LONGEST_GUIDELINES = 40_000
MOST_CELLS = 5_000  # of all tables of a text together
KEPT = 512  # somebody who looks again, as after a reload, waits less
KEPT_GUIDELINES = 8  # the newest, in each language


def to_html(text: str, reader: str) -> str:
    """A model's or a user's text: links and images become words that show where they would have led.

    `reader`: whoever it is shown to, by any name.
    """
    return _as_it_is(text) if len(text) > LONGEST else _read(text, reader)


@lru_cache(maxsize=KEPT)
def _read(text: str, reader: str) -> str:
    return make_visible(nh3.clean(_reader(links=False).render(text), tags=TAGS, attributes=ATTRIBUTES, link_rel=None))


@lru_cache(maxsize=KEPT_GUIDELINES)
def guidelines_to_html(text: str) -> str:
    """A lead's text: links stay, to the web only and without telling where they were followed from."""
    if len(text) > LONGEST_GUIDELINES:
        return _as_it_is(text)
    html = nh3.clean(
        _reader(links=True).render(text),
        tags={*TAGS, "a"},
        attributes={**ATTRIBUTES, "a": {"href"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer",
    )
    return make_visible(html)


def _as_it_is(text: str) -> str:
    return make_visible(f"<pre>{escape(text)}</pre>")


@lru_cache
def _reader(links: bool) -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False, "breaks": True}, renderer_cls=_Visible)
    reader.enable(["table", "strikethrough"])
    reader.block.ruler.at("table", _small_table, {"alt": ["paragraph", "reference"]})
    reader.core.ruler.push("headings", _lower_headings)
    if not links:
        reader.disable("reference")  # a definition would vanish, and with it what the annotator is to judge
        reader.core.ruler.push("links", _links_to_words)
    return reader


class _Visible(RendererHTML):
    """Shows an image as words."""

    def image(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        return escape(f"[{tokens[at].content}]({tokens[at].attrs.get('src', '')})")


def _small_table(state: Any, start: int, end: int, silent: bool) -> bool:
    """markdown-it's table, but that it ends with the row in which the text has had its MOST_CELLS."""
    columns = state.getLines(start, start + 1, 0, False).count("|") + 1
    left = MOST_CELLS - state.env.get("cells", 0)
    is_table = table(state, start, min(end, start + left // columns), silent)
    if is_table and not silent:
        state.env["cells"] = state.env.get("cells", 0) + columns * (state.line - start)
    return is_table


def _lower_headings(state: Any) -> None:
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + HEADINGS_START - 1)}"


def _links_to_words(state: Any) -> None:
    for block in state.tokens:
        if block.children:
            block.children = _without_links(block.children)


def _without_links(tokens: Sequence[Token]) -> list[Token]:
    """`[words](address)` as the words and the address; an address that was written as it is stays so."""
    kept: list[Token] = []
    address = ""
    for token in tokens:
        if token.type == "link_open":
            address = "" if token.markup == "autolink" else str(token.attrs.get("href", ""))
        elif token.type != "link_close":
            kept.append(token)
        elif address:
            kept.append(Token("text", "", 0, content=f" ({address})"))
    return kept
