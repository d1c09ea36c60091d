"""Message trees become rankings, whether they come whole or a message a row."""

from __future__ import annotations

from typing import Any

import pytest

from plaudit.feedback.exchange.formats import FORMATS, recognise
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError
from plaudit.feedback.exchange.formats.oasst import trees
from plaudit.feedback.exchange.formats.prompts import read_prompt

Node = dict[str, Any]


def node(text: str, *replies: Node, rank: int | None = None, **more: Any) -> Node:
    return {"message_id": text, "text": text, "lang": "de", "rank": rank, "replies": list(replies), **more}


def prompter(text: str, *replies: Node, **more: Any) -> Node:
    return node(text, *replies, role="prompter", **more)


def assistant(text: str, *replies: Node, **more: Any) -> Node:
    return node(text, *replies, role="assistant", **more)


TREE = {
    "message_tree_id": "Why?",
    "tree_state": "ready_for_export",
    "prompt": prompter(
        "Why?",
        assistant("So.", rank=2),
        assistant("Because.", prompter("And?", assistant("Then.", rank=0), assistant("Thus.", rank=0)), rank=0),
        assistant("No.", rank=1),
        assistant("Spam.", rank=3, deleted=True),
        assistant("Late.", rank=None),
    ),
}


def flat(record: Node, parent: str | None = None) -> list[Node]:
    """The tree's messages, a row each, replies before what they answer."""
    row = {name: value for name, value in record.items() if name != "replies"} | {"parent_id": parent}
    return [*(r for reply in record["replies"] for r in flat(reply, record["message_id"])), row]


def usable(record: Any) -> list[Comparison]:
    found = FORMATS["oasst-trees"].said(record)
    return [one for one in found if isinstance(one, Comparison)]


def test_every_ranked_set_of_replies_is_a_ranking() -> None:
    assert recognise(TREE) is FORMATS["oasst-trees"]
    first, second = usable(TREE)
    assert (first.answers, first.votes[0].tiers) == (("Because.", "No.", "So."), ((0,), (1,), (2,)))
    assert [m.content for m in second.messages] == ["Why?", "Because.", "And?"]
    assert (second.answers, second.votes[0].tiers) == (("Then.", "Thus."), ((0, 1),))
    assert first.tags == {"language": "de"}


def test_messages_a_row_make_the_same_trees() -> None:
    rows = flat(TREE["prompt"])
    orphan = {**rows[0], "message_id": "x", "parent_id": "elsewhere"}
    assert recognise(rows[0]) is FORMATS["oasst-trees"]
    placed = [(f"line {i}", row) for i, row in enumerate([orphan, *rows], 1)]
    [(where, tree)] = trees(placed)
    assert where == f"line {len(placed)}"
    assert usable(tree) == usable(TREE)


def test_a_tree_is_also_a_prompt_with_a_good_answer() -> None:
    found = read_prompt(TREE)
    assert (found.messages[0].content, found.reference) == ("Why?", "Because.")


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        (prompter("Why?"), "no replies in the tree are ranked"),
        (prompter("Why?", assistant("A", rank=0)), "no replies in the tree are ranked"),
        (prompter("Why?", assistant("A", rank=0), assistant("A", rank=1)), "both answers are the same"),
        (prompter("Why?", *(assistant(str(i), rank=i) for i in range(10))), "more than 9 answers"),
    ],
)
def test_what_teaches_nothing_says_why(root: Node, reason: str) -> None:
    [found] = FORMATS["oasst-trees"].said({"prompt": root})
    assert isinstance(found, UnusableError)
    assert reason in str(found)


@pytest.mark.parametrize(
    ("root", "sentence"),
    [
        ({"text": "A", "role": "prompter", "replies": "B"}, '"replies" is not a list'),
        ({"text": 3, "role": "prompter", "replies": []}, '"text" is a number'),
        ({"text": "A", "role": "robot", "replies": []}, 'a message by "robot"'),
        ({"text": "A", "role": "prompter"}, "where a message tree should be"),
    ],
)
def test_what_is_no_tree_says_why(root: Any, sentence: str) -> None:
    with pytest.raises(MalformedError, match=sentence):
        FORMATS["oasst-trees"].said({"prompt": root})


def test_a_rank_too_long_for_a_float_is_a_rank() -> None:
    tree = {"prompt": prompter("Why?", assistant("Late.", rank=10**400), assistant("So.", rank=1))}
    [found] = FORMATS["oasst-trees"].said(tree)
    assert isinstance(found, Comparison)
    assert found.answers == ("So.", "Late.")
