"""What a record from elsewhere says: a conversation, answers to it, and who said what about them.

Every format is read into these three, so that there is one way from a file to the store. Answers are known by their
places (0 is the first), annotators by what the file calls them.

Two ways to be wrong are kept apart. `MalformedError`: the record is not of the format; the whole import stops.
`UnusableError`: it is, but teaches nothing; it is counted and left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain

from plaudit.feedback.labelling.settings import LONGEST_NAME, MOST_NAMES
from plaudit.types import DEFAULT_QUESTION, Message, Role

Messages = tuple[Message, ...]
Tiers = tuple[tuple[int, ...], ...]  # places of the answers, best first; who is in one tier is as good as the other

MOST_ANSWERS = 9  # that a task may show
MOST_CHARACTERS = 1_000_000  # of a text: more than anybody reads, and sent to everybody who is asked about it
MOST_MESSAGES = 10_000  # of a conversation
LONGEST_QUESTION = 2_000  # characters: it stands above every task that asks it


class MalformedError(Exception):
    """Not of the format at all."""


class UnusableError(Exception):
    """Of the format, but nothing can be learned from it: `votes` of people are left out by that."""

    def __init__(self, reason: str, votes: int = 1) -> None:
        super().__init__(reason)
        self.votes = votes


@dataclass(frozen=True)
class Vote:
    """What one annotator said: an order of the answers, or that they could not say (a skip, without tiers)."""

    tiers: Tiers = ()
    annotator: str = ""  # as the file names them; nothing: it does not
    simulated: bool = False  # our own export says so of what no person chose
    shown: tuple[int, ...] = ()  # places of the answers in the order shown, first or left to last; (): not known
    strength: int | None = None  # 1 (barely) to 4 (far better), pairs only
    ratings: Mapping[int, Mapping[str, int]] = field(default_factory=dict)  # place -> attribute -> rating
    flags: Mapping[int, tuple[str, ...]] = field(default_factory=dict)  # place -> safety flags
    all_bad: bool = False
    reason: str = ""
    better_answer: str = ""
    seconds: float | None = None
    at: datetime | None = None  # when it was said

    def about(self, kept: Sequence[int]) -> Vote:
        """What it says about some of the answers, which are then the only ones, in this order."""
        new = {place: number for number, place in enumerate(kept)}
        tiers = (tuple(new[place] for place in tier if place in new) for tier in self.tiers)
        said = tuple(tier for tier in tiers if tier)
        return replace(
            self,
            tiers=said,
            shown=tuple(new[place] for place in self.shown if place in new),
            strength=self.strength if len(said) == len(self.tiers) else None,
            ratings={new[place]: rated for place, rated in self.ratings.items() if place in new},
            flags={new[place]: flags for place, flags in self.flags.items() if place in new},
        )

    def says_the_same_of(self, one: int, other: int) -> bool:
        together = not self.tiers or any(one in tier and other in tier for tier in self.tiers)
        rated = self.ratings.get(one) == self.ratings.get(other)
        return together and rated and self.flags.get(one) == self.flags.get(other)


@dataclass(frozen=True)
class Comparison:
    """Up to nine answers to one conversation, and the votes on them; no answers: people wrote some themselves.

    One answer is judged by itself: good enough, or (`Vote.all_bad`) not.
    """

    messages: Messages
    answers: tuple[str, ...]
    votes: tuple[Vote, ...]
    tags: Mapping[str, str] = field(default_factory=dict)
    question: str = DEFAULT_QUESTION
    lost: tuple[str, ...] = ()  # a reason for each vote that the record has and `votes` does not
    without: tuple[str, ...] = ()  # a reason for each answer that the record has and `answers` does not

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
        """Itself, without answers that are empty or repeated where enough others are left.

        UnusableError when there is nothing in it to learn from.
        """
        said = len(self.votes) + len(self.lost)
        try:
            check_prompt(self.messages)
        except UnusableError as error:
            raise UnusableError(str(error), said) from None
        number, different = len(self.answers), len({answer.strip() for answer in self.answers})
        if number > 1 and said and (different < number or not all(answer.strip() for answer in self.answers)):
            kept = self._with(self._fit())
            if len(kept.answers) > 1 or (len(kept.answers) == 1 and any(vote.ratings for vote in kept.votes)):
                return kept.check()
        problems = {
            "an answer is empty": not all(answer.strip() for answer in self.answers),
            "both answers are the same": number == 2 and different < 2,
            "two of the answers are the same": number > 2 and different < number,
            f"there are more than {MOST_ANSWERS} answers": number > MOST_ANSWERS,
            "nobody has judged it": not said,
        }
        for problem, is_so in problems.items():
            if is_so:
                raise UnusableError(problem, said)
        if excess := self._excess():
            raise UnusableError(excess, said)
        return self

    def up_to_nine(self) -> Comparison:
        """Without the answers behind the best nine, which are more than a task may show."""
        if len(self.answers) <= MOST_ANSWERS or not self.votes or not self.votes[0].tiers:
            return self
        best = [place for tier in self.votes[0].tiers for place in tier][:MOST_ANSWERS]
        return self._with({place: "" if place in best else "a task shows nine" for place in range(len(self.answers))})

    def _fit(self) -> dict[int, str]:
        """Why an answer is left out, by its place; "" for those that stay."""
        why: dict[int, str] = {}
        places: defaultdict[str, list[int]] = defaultdict(list)
        for place, answer in enumerate(self.answers):
            why[place] = "" if answer.strip() else "it is empty"
            places[answer.strip()].append(place)
        for text, same in places.items():
            if text and len(same) > 1:
                agree = all(vote.says_the_same_of(same[0], place) for vote in self.votes for place in same[1:])
                told = "it repeats another" if agree else "it is there twice, and judged otherwise each time"
                why |= dict.fromkeys(same[1:] if agree else same, told)
        return why

    def _with(self, why: Mapping[int, str]) -> Comparison:
        """The answers that there is no reason against, and what the votes say of them."""
        kept = [place for place, reason in why.items() if not reason]
        reasons = (reason for reason in why.values() if reason)
        return replace(
            self,
            answers=tuple(self.answers[place] for place in kept),
            votes=tuple(vote.about(kept) for vote in self.votes),
            without=(*self.without, *reasons),
        )

    def _excess(self) -> str | None:
        """What it has more of than anybody reads, or can be asked for."""
        votes = self.votes
        texts = (*self.answers, self.question, *self.tags.values(), *(v.reason for v in votes))
        named = (self.tags, *chain.from_iterable((*v.ratings.values(), *v.flags.values()) for v in votes))
        names = (*(v.annotator for v in votes), *chain.from_iterable(named))
        if max(map(len, (*texts, *(v.better_answer for v in votes)))) > MOST_CHARACTERS:
            return f"a text has more than {MOST_CHARACTERS:,} characters"
        if len(self.question) > LONGEST_QUESTION:
            return f"the question has more than {LONGEST_QUESTION:,} characters"
        if max(map(len, names), default=0) > LONGEST_NAME:
            return f"a name has more than {LONGEST_NAME} characters"
        if max(map(len, named)) > MOST_NAMES:
            return f"there are more than {MOST_NAMES} ratings, flags or tags in one place"
        return None


@dataclass(frozen=True)
class Asked:
    """A conversation up to the model's turn, perhaps with a good answer that somebody wrote."""

    messages: Messages
    reference: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def check_prompt(messages: Messages) -> None:
    """UnusableError unless the conversation ends with a question, or with what a tool answered."""
    if not messages or messages[-1].role not in (Role.USER, Role.TOOL):
        raise UnusableError("the conversation has no question before the answer")
    if not messages[-1].content.strip():
        raise UnusableError("the prompt is empty")
    if len(messages) > MOST_MESSAGES:
        raise UnusableError(f"the conversation has more than {MOST_MESSAGES:,} messages")
    if sum(len(message.content) for message in messages) > MOST_CHARACTERS:
        raise UnusableError(f"the prompt has more than {MOST_CHARACTERS:,} characters")
