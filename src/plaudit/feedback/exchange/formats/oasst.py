"""OpenAssistant's message trees (arXiv 2304.07327): every ranked set of replies is a ranking of up to nine answers.

A tree is `{"message_tree_id", "prompt": {"text", "role", "lang", "rank", "replies": [...]}}`; the same messages also
come one a row, each naming its parent (so the data set on the Hub does), and are put together here. Rank 0 is the
best reply. The ranks are a consensus of several people whom the data does not name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from plaudit.feedback.exchange.formats import fields
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, Messages, UnusableError, Vote
from plaudit.types import Message, Role

Node = dict[str, Any]
LONGEST_THREAD = 500  # messages


def is_tree(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("prompt"), dict) and "replies" in record["prompt"]


def is_message(record: Any) -> bool:
    return isinstance(record, dict) and {"message_id", "parent_id", "role", "text"} <= record.keys()


def trees(placed: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The records as trees, each with its place (of its first message): what comes a message a row is put together.

    A message whose parent is not there belongs to no tree, and is left out.
    """
    roots: list[tuple[str, Node]] = []
    nodes: dict[str, Node] = {}
    for where, record in placed:
        if not is_message(record):
            yield where, record
            continue
        node = nodes[str(record["message_id"])] = {**record, "replies": []}
        if not record["parent_id"]:
            roots.append((where, node))
    for node in nodes.values():
        if str(node["parent_id"]) in nodes:
            nodes[str(node["parent_id"])]["replies"].append(node)
    for where, root in roots:
        yield where, {"message_tree_id": root.get("message_tree_id"), "prompt": root}


def rankings(record: Any) -> list[Comparison | UnusableError]:
    """What people ranked in a tree, and why the rest of it teaches nothing. MalformedError."""
    if not is_tree(record):
        raise MalformedError('no "prompt" with "replies" where a message tree should be')
    ranked = list(_ranked_in(record["prompt"]))
    return ranked or [UnusableError("no replies in the tree are ranked")]


def best_reply(node: Node) -> str:
    """The best of the replies to a message; nothing where none is ranked."""
    ranked = _ranked_replies(node)
    return ranked[0]["text"] if ranked else ""


def _ranked_in(root: Node) -> Iterator[Comparison | UnusableError]:
    """In a loop, for a thread may be as long as its author likes."""
    waiting: list[tuple[Messages, Node]] = [((), root)]
    while waiting:
        before, node = waiting.pop()
        messages = (*before, _message(node))
        if len(messages) > LONGEST_THREAD:
            yield UnusableError(f"a thread has more than {LONGEST_THREAD} messages", votes=0)
            continue
        ranked = _ranked_replies(node) if messages[-1].role is Role.USER else []
        if len(ranked) > 1:
            try:
                yield _ranking(messages, node, ranked).check()
            except UnusableError as reason:
                yield reason
        waiting += [(messages, reply) for reply in reversed(_replies(node))]


def _ranking(messages: Messages, node: Node, ranked: list[Node]) -> Comparison:
    ranks = sorted({reply["rank"] for reply in ranked})
    tiers = tuple(tuple(i for i, reply in enumerate(ranked) if reply["rank"] == rank) for rank in ranks)
    tags = {"language": node["lang"]} if isinstance(node.get("lang"), str) else {}
    return Comparison(messages, tuple(reply["text"] for reply in ranked), (Vote(tiers),), tags)


def _ranked_replies(node: Node) -> list[Node]:
    """The ranked replies by the assistant, best first."""
    replies = [r for r in _replies(node) if _message(r).role is Role.ASSISTANT and _is_rank(r.get("rank"))]
    return sorted(replies, key=lambda reply: reply["rank"])  # as they are: an integer may be too long for a float


def _is_rank(rank: Any) -> bool:
    return isinstance(rank, int) or (isinstance(rank, float) and math.isfinite(rank))  # a table says NaN for none


def _replies(node: Node) -> list[Node]:
    replies = node.get("replies") or []
    if not isinstance(replies, list) or not all(isinstance(reply, dict) for reply in replies):
        raise MalformedError('"replies" is not a list of messages')
    return [reply for reply in replies if not reply.get("deleted")]


def _message(node: Node) -> Message:
    role = fields.text(node, "role")
    if role not in fields.ROLES:
        raise MalformedError(f'a message by "{role}", not by prompter or assistant')
    return Message(fields.ROLES[role], fields.text(node, "text"))
