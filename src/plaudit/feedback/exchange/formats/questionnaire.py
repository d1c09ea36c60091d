"""Labelling tools let people name the fields and questions: here is how we guess what they mean.

- The answers are text fields that differ in a number or letter at the end: `response_1`, `Answer B`, `completion2`.
- The prompt is a field called so (`prompt`, `instruction`, `question`, …); a `context` beside it stands before it.
- A ranking or a label names answers, by the field's name or by its number or letter; `tie`, `equal`, `both bad`, … is
  a tie.
- A rating's question names its answer in the same way; what is left of its name is the attribute.
- A text is a better answer where its question says so (`corrected`, `better`, …), else the reason.

Where someone gave no order but rated every answer, the mean ratings are the order ("rate first, then rank",
InstructGPT).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from plaudit.feedback.exchange.formats import fields
from plaudit.feedback.exchange.formats.comparison import MalformedError, Messages, Tiers, Vote
from plaudit.types import Message, Role

_PROMPTS = (
    "prompt",
    "instruction",
    "question",
    "query",
    "input",
    "conversation",
    "dialogue",
    "messages",
    "chat",
    "text",
)
_ANSWERS = ("response", "answer", "completion", "reply", "generation", "output", "candidate", "text")
_NUMBERED = re.compile(
    r"(?P<stem>.*?)[\s_.-]*(?P<number>\d+)|(?P<words>.*?)(?:[\s_.-]+|(?<=[a-z])(?=[A-I]$)|^)(?P<letter>[A-Ia-i])"
)
_TIE = re.compile(r"(?i)\b(tie|tied|draw|equal|equally|same|both|neither|none)\b")
_BAD = re.compile(r"(?i)bad\b|neither|none")
_BETTER = re.compile(r"(?i)better|best|correct|improv|rewrit|revis|ideal|demonstrat")
_MOST_WORDS_OF_A_LABEL = 4


def answers_in(record: Mapping[str, Any]) -> dict[str, str]:
    """Name -> text of the fields that hold the answers, in the order of their numbers or letters."""
    groups: dict[str, dict[str, tuple[str, str]]] = {}
    for name, value in record.items():
        stem, place = _split(name)
        if place and isinstance(value, str):
            groups.setdefault(stem, {})[place.rjust(6, "0")] = (name, value)
    several = [stem for stem in groups if len(groups[stem]) > 1]
    likely = sorted(several, key=lambda stem: (any(word in stem for word in _ANSWERS), len(groups[stem])), reverse=True)
    return dict(groups[likely[0]][place] for place in sorted(groups[likely[0]])) if likely else {}


def prompt_in(record: Mapping[str, Any], answers: Mapping[str, str]) -> Messages:
    """The conversation that the answers are to. MalformedError where no field can be it."""
    others = {name: value for name, value in record.items() if name not in answers and isinstance(value, (str, list))}
    by_word = [name for word in _PROMPTS for name in others if name.lower() == word]
    by_part = [name for word in _PROMPTS for name in others if word in name.lower()]
    named = [*by_word, *by_part, *(name for name in others if len(others) == 1)]
    if not named:
        raise MalformedError(f"no field that could be the prompt, only {fields.names(dict(record))}")
    messages = fields.prompt(dict(others), named[0])
    context = others.get("context")
    if isinstance(context, str) and context.strip() and named[0] != "context" and messages[-1].role is Role.USER:
        messages = (*messages[:-1], Message(Role.USER, f"{context}\n\n{messages[-1].content}"))
    return messages


@dataclass
class Sheet:
    """What one annotator filled in about the answers that the tool calls `names`."""

    names: Sequence[str]
    order: Tiers = ()
    choice: Tiers = ()
    ratings: dict[int, dict[str, int]] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    better_answer: str = ""
    all_bad: bool = False

    def rank(self, ranked: Sequence[Any]) -> bool:
        """Take an order of all the answers: names best first, or `{"value", "rank"}` with ties; False: it is none."""
        rank_by_place: dict[int, int] = {}  # place -> rank
        for position, item in enumerate(ranked):
            name, rank = (item.get("value"), item.get("rank")) if isinstance(item, dict) else (item, position)
            place = self._place(name)
            if place is None or not isinstance(rank, int):
                return False
            rank_by_place[place] = rank
        if len(self.names) < 2 or not len(rank_by_place) == len(ranked) == len(self.names):
            return False
        ranks = sorted(set(rank_by_place.values()))
        self.order = tuple(
            tuple(place for place in sorted(rank_by_place) if rank_by_place[place] == rank) for rank in ranks
        )
        return True

    def choose(self, label: str) -> bool:
        """Take a label that names the best answer, or says that they are alike; False: it says neither."""
        if len(self.names) < 2 or len(label.split()) > _MOST_WORDS_OF_A_LABEL:
            return False
        best = self._place(label)
        if best is not None:
            self.prefer(best)
        elif _TIE.search(label.replace("_", " ").replace("-", " ")):
            self.choice, self.all_bad = (tuple(range(len(self.names))),), bool(_BAD.search(label))
        return bool(self.choice)

    def prefer(self, best: int) -> None:
        self.choice = ((best,), tuple(place for place in range(len(self.names)) if place != best))

    def rate(self, question: str, value: int) -> None:
        """Take a rating of the answer that the question names; of none of them, it is about all and is left out."""
        stem, number = _split(question)
        named = [i for i, name in enumerate(self.names) if _pattern(name).search(question)]
        numbered = [i for i, name in enumerate(self.names) if number and _split(name)[1] == number]
        about = named if len(named) == 1 else numbered
        if len(about) == 1:
            name = self.names[about[0]]
            attribute = _pattern(name).sub("", question) if named else _pattern(_split(name)[0]).sub("", stem)
            self.ratings.setdefault(about[0], {})[attribute.strip(" _-.") or "rating"] = value

    def write(self, question: str, answer: str) -> None:
        if _BETTER.search(question) or (not self.names and any(word in question.lower() for word in _ANSWERS)):
            self.better_answer = answer
        elif answer.strip():
            self.reasons.append(answer)

    def vote(self, annotator: str, seconds: float | None = None) -> Vote | None:
        """What all that says together; None where it says nothing about the answers."""
        tiers = self.order or self.choice or self._by_rating()
        if not tiers and (self.names or not self.better_answer.strip()):
            return None
        reason = "\n".join(self.reasons)
        return Vote(tiers, annotator, False, self.ratings, self.all_bad, reason, self.better_answer, seconds)

    def _by_rating(self) -> Tiers:
        if len(self.names) < 2 or len(self.ratings) < len(self.names):
            return ()
        scores = {place: Fraction(sum(rated.values()), len(rated)) for place, rated in self.ratings.items()}
        return tuple(
            tuple(p for p in sorted(scores) if scores[p] == s) for s in sorted(set(scores.values()), reverse=True)
        )

    def _place(self, option: Any) -> int | None:
        """Which answer an option of a question names."""
        if not isinstance(option, str):
            return None
        stem, number = _split(option)
        exact = [i for i, name in enumerate(self.names) if _squeeze(name) == _squeeze(option)]
        known = not stem or any(word in stem for word in _ANSWERS)
        numbered = [i for i, name in enumerate(self.names) if number and known and _split(name)[1] == number]
        return next(iter([*exact, *numbered]), None)


def _split(name: str) -> tuple[str, str]:
    """`Response B` -> `("response", "b")`, `summary` -> `("summary", "")`"""
    match = _NUMBERED.fullmatch(name.strip())
    if not match:
        return name.strip().lower(), ""
    return (match["stem"] or match["words"] or "").strip().lower(), (match["number"] or match["letter"]).lower()


def _pattern(name: str) -> re.Pattern[str]:
    """Finds a name however its words are joined; no name is found nowhere."""
    words = re.findall(r"[^\W_]+", name)
    return re.compile(r"[\W_]*".join(words) + r"(?!\d)" if words else r"(?!)", re.IGNORECASE)


def _squeeze(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())
