"""What a record from elsewhere says: a conversation, answers to it, and who said what about them.

Every format is read into these three, so that there is one way from a file to the store. Answers are known by their
places (0 is the first), annotators by what the file calls them.

Two ways to be wrong are kept apart. `MalformedError`: the record is not of the format; the whole import stops.
`UnusableError`: it is, but teaches nothing; it is counted and left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from plaudit.types import Message, Role

Messages = tuple[Message, ...]
Tiers = tuple[tuple[int, ...], ...]  # places of the answers, best first; who is in one tier is as good as the other

MOST_ANSWERS = 9  # that a task may show


class MalformedError(Exception):
    """Not of the format at all."""


class UnusableError(Exception):
    """Of the format, but nothing can be learned from it."""


@dataclass(frozen=True)
class Vote:
    """What one annotator said: an order of the answers, or that they could not say (a skip, without tiers)."""

    tiers: Tiers = ()
    annotator: str = ""  # as the file names them; nothing: it does not
    simulated: bool = False  # our own export says so of what no person chose
    ratings: Mapping[int, Mapping[str, int]] = field(default_factory=dict)  # place -> attribute -> rating
    all_bad: bool = False
    reason: str = ""
    better_answer: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Two to nine answers to one conversation, and the votes on them; no answers: people wrote some themselves."""

    messages: Messages
    answers: tuple[str, ...]
    votes: tuple[Vote, ...]
    tags: Mapping[str, str] = field(default_factory=dict)
    question: str = "Which answer is better?"

    @classmethod
    def pair(
        cls,
        messages: Messages,
        chosen: str,
        rejected: str,
        tags: Mapping[str, str] | None = None,
        simulated: bool = False,
    ) -> Comparison:
        """Two answers, the first preferred by whoever made the data set."""
        return cls(messages, (chosen, rejected), (Vote(((0,), (1,)), simulated=simulated),), tags or {})

    def check(self) -> Comparison:
        """Itself. UnusableError when there is nothing in it to learn from."""
        check_prompt(self.messages)
        number, different = len(self.answers), len({answer.strip() for answer in self.answers})
        problems = {
            "an answer is empty": not all(answer.strip() for answer in self.answers),
            "both answers are the same": number == 2 and different < 2,
            "two of the answers are the same": number > 2 and different < number,
            "there is only one answer": number == 1,
            f"there are more than {MOST_ANSWERS} answers": number > MOST_ANSWERS,
            "nobody has judged it": not self.votes,
        }
        for problem, is_so in problems.items():
            if is_so:
                raise UnusableError(problem)
        return self


@dataclass(frozen=True)
class Asked:
    """A conversation up to the model's turn, perhaps with a good answer that somebody wrote."""

    messages: Messages
    reference: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def check_prompt(messages: Messages) -> None:
    """UnusableError unless the conversation ends with a question."""
    if not messages or messages[-1].role is not Role.USER:
        raise UnusableError("the conversation has no question before the answer")
    if not messages[-1].content.strip():
        raise UnusableError("the prompt is empty")
