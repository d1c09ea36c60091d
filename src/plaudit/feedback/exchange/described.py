"""What a record says, in words for a terminal (`plaudit import --show`)."""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_uppercase

from plaudit.feedback.exchange.formats.comparison import Comparison, UnusableError, Vote


def describe(item: Comparison | UnusableError) -> Iterator[str]:
    """A line for each part of it."""
    if isinstance(item, UnusableError):
        yield f"  left out: {item}"
        return
    yield f"  question: {item.question}"
    for message in item.messages:
        yield f"  {message.role}: {_short(message.content)}"
    for place, answer in enumerate(item.answers):
        yield f"  {ascii_uppercase[place]}: {_short(answer)}"
    for vote in item.votes:
        yield f"  {vote.annotator or 'somebody'}: {' '.join(_vote_words(vote))}"
    for reason in item.lost:
        yield f"  left out: {reason}"
    if item.tags:
        yield f"  tags: {', '.join(f'{name} {value}' for name, value in item.tags.items())}"


def _vote_words(vote: Vote) -> Iterator[str]:
    alone = len(vote.tiers) == 1 and len(vote.tiers[0]) == 1
    if not vote.tiers:
        yield "could not say"
    elif not alone:
        yield " > ".join(" = ".join(ascii_uppercase[place] for place in tier) for tier in vote.tiers)
    if vote.all_bad:
        yield "not good enough" if alone else "(none is good enough)"
    elif alone and not vote.ratings:
        yield "good enough"
    if vote.strength is not None:
        yield f"(strength {vote.strength})"
    for place, rated in sorted(vote.ratings.items()):
        yield f"{ascii_uppercase[place]} rated {', '.join(f'{name} {value}' for name, value in rated.items())};"
    for place, flags in sorted(vote.flags.items()):
        yield f"{ascii_uppercase[place]} flagged {', '.join(flags)};"
    if vote.reason.strip():
        yield f"because “{_short(vote.reason)}”"
    if vote.better_answer.strip():
        yield f"better: “{_short(vote.better_answer)}”"


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 100 else f"{flat[:99]}…"
