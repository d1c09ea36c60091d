"""Labelling tools let people name the fields and questions: here is how we tell what they mean.

- Which fields are the answers and the prompt is told by `shown`.
- A ranking orders all answers. A label chooses one, by the field's name, number, letter or side, or says that they are
  alike (`options`). A question is the preference question if all its values over the file do so: an order before a
  choice of two sides before a label. Where two questions remain, whoever imports says which.
- Such a question that by its name asks for something else ("more harmful", "safer", "rejected") stays a question of its
  own, beside the preference (`asks`).
- Numbers and letters by themselves may be a scale. Where one of a question's names no answer, whoever imports says what
  they mean.
- A rating's question names its answer; what is left of its name is the attribute.
- A text is a better answer where its question says so about an answer (`corrected response`), else the reason.

Where nobody gives an order but somebody rates every answer, the mean ratings are the order ("rate first, then rank",
InstructGPT).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from typing import Any

from plaudit.feedback.exchange.formats import asks, fields
from plaudit.feedback.exchange.formats.comparison import Tiers, UnusableError, Vote
from plaudit.feedback.exchange.formats.options import (
    Choice,
    are_numbered,
    best_of,
    by_mean_rating,
    choice,
    is_bare,
    is_point,
    place_of,
    split_name,
    strength_of,
    why_uncertain,
    written,
)
from plaudit.types import DEFAULT_QUESTION

_MOST_WORDS_OF_A_LABEL = 8
ENOUGH = 8  # rankings that do not all end as they began
_MOST_LABELS = 9  # of a question that people answer by choosing


class Way(IntEnum):
    """How a question can order the answers; the first that a file has is heard."""

    ORDER = 0  # an order of all of them
    SIDE = 1  # one of two sides
    LABEL = 2  # one label


@dataclass
class Ballot:
    """What is asked in a file, by question: which of them orders the answers (`decide`)."""

    asked: str | None = None  # by whoever imports
    _values: dict[tuple[Way, str], Counter[tuple[bool, bool, bool]]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    _words: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # question -> labels, the first few
    _options: defaultdict[tuple[str, ...], set[str]] = field(default_factory=lambda: defaultdict(set))
    _bare: defaultdict[str, dict[str, bool]] = field(default_factory=lambda: defaultdict(dict))  # question -> numbers
    # and letters by themselves, and whether each names an answer
    _scales: set[str] = field(default_factory=set)  # questions with an option such as "1 - A is much better"
    _counted: set[str] = field(default_factory=set)  # questions about answers without numbers
    _chosen: tuple[Way, str] | None = None
    _others: tuple[tuple[Way, str], ...] = ()  # that are kept as questions of their own, beside the chosen one
    _backing: str | None = None  # a label question beside a choice of sides
    is_beside: bool = False  # it hears a question beside the preference, and nothing else

    @property
    def question(self) -> str:
        """What the chosen question asks: which answer is better, or by its name something that is not that."""
        name = self._chosen[1] if self._chosen else ""
        return name if asks.something_else(name) else DEFAULT_QUESTION

    @property
    def beside(self) -> tuple[Ballot, ...]:
        """A ballot for each question that is kept as one of its own, beside the preference."""
        return tuple(replace(self, _chosen=key, _others=(), _backing=None, is_beside=True) for key in self._others)

    @property
    def is_by_ratings(self) -> bool:
        """Whether ranks or ratings of each answer make the order where nobody gives one."""
        return self.asked is None and not self.is_beside and self.question == DEFAULT_QUESTION

    @property
    def why_silent(self) -> str:
        """Why what somebody filled in says nothing."""
        if self._chosen is None:
            return "no question orders the answers for certain (--question says which does)"
        return f'nothing is said under "{self._chosen[1]}"'

    @property
    def is_undecided(self) -> bool:
        return self._chosen is None

    def saw(self, way: Way, question: str, value: Any, names: Sequence[str]) -> None:
        """Take note of a value: whether it speaks about the answers, names one, and is more than a list as shown."""
        if way is Way.SIDE:
            said = (True, True, True)
        elif way is Way.ORDER:
            order = order_of(value, names)
            said = (order is not None, order is not None, order is not None and _in_places(order) != range(len(names)))
        elif isinstance(value, list) and len(value) != 1:
            said = (False, False, False)  # several labels at once choose nothing
        else:
            label = value[0] if isinstance(value, list) else value
            if is_rank_of_one(question, label):
                return
            chose = self.choice(question, label, names)
            self._saw_bare(question, label, chose, names)
            said = (chose is not None, chose is not None and len(chose.tiers) > 1, True)
            if len(self._words[question]) <= _MOST_LABELS:
                self._words[question].add(str(label))
        self._values[way, question][said] += 1

    def _saw_bare(self, question: str, label: Any, chose: Choice | None, names: Sequence[str]) -> None:
        if is_point(label):
            self._scales.add(question)
        if is_bare(label) and (chose is not None or len(self._bare[question]) <= _MOST_LABELS):
            self._bare[question][written(label)] = chose is not None
            if not are_numbered(names):
                self._counted.add(question)

    def choice(self, question: str, label: Any, names: Sequence[str]) -> Choice | None:
        """What a label under a question chooses among the answers called `names`."""
        return _chosen(question, label, names, question == self.asked)

    def saw_options(self, options: tuple[str, ...], prompt: str) -> None:
        """Take note of what an example offers to choose among."""
        self._options[options].add(prompt)

    @property
    def has_labels(self) -> bool:
        """Whether the same options are offered by every example, whatever it asks."""
        return len(self._options) == 1 and any(len(prompts) > 1 for prompts in self._options.values())

    def decide(self) -> None:
        """Find the question that orders the answers. UnusableError with a sentence where two do."""
        questions = dict.fromkeys(question for _, question in self._values)
        if self.asked is not None:
            found = [key for key in sorted(self._values) if key[1] == self.asked]
            if not found:
                known = f"only {fields.names(questions)}" if questions else "nor one that orders them: leave it out"
                raise UnusableError(f'nobody answered a question "{self.asked}", {known}')
            self._chosen = found[0]
            self._refuse_scale(found[0])
            return
        ways = {question: (way, question) for way, question in sorted(filter(self._orders, self._values), reverse=True)}
        orders = [ways[question] for question in questions if question in ways]
        others = [key for key in orders if asks.something_else(key[1]) and not self._why_uncertain(key)]
        for way in Way:
            likely = [key for key in orders if key[0] is way and not asks.something_else(key[1])]
            if way is Way.ORDER and len(likely) > 1:
                likely = [key for key in likely if asks.which_is_better(key[1])]
            if way is Way.LABEL and likely and not asks.which_is_better(likely[0][1]):
                likely += others  # "more_helpful" beside "safer": either may be what is meant
            if len(likely) > 1:
                asked = fields.names({key[1]: 0 for key in likely})
                raise UnusableError(
                    f"{len(likely)} questions order the answers, {asked}: say which is the preference, as "
                    f'--question "{likely[0][1]}"'
                )
            if likely:
                self._choose(likely[0], others)
                labels = [key for key in orders if key[0] is Way.LABEL and not self._why_uncertain(key)]
                beside = [question for _, question in labels if not asks.something_else(question)]
                self._backing = beside[0] if way is Way.SIDE and len(beside) == 1 else None
                return
        nearest = self._nearest(False) or (None if others else self._nearest(True))
        if nearest or others:
            self._choose(nearest or others[0], others)

    def _choose(self, chosen: tuple[Way, str], others: Sequence[tuple[Way, str]]) -> None:
        self._chosen, self._others = chosen, tuple(key for key in others if key != chosen)
        self._refuse_scale(chosen)
        self._refuse_untouched(chosen[0])

    def _why_uncertain(self, key: tuple[Way, str]) -> str:
        """Why the numbers and letters under a question of labels choose nothing for certain; "" where they do."""
        way, question = key
        bare = self._bare.get(question, {}) if way is Way.LABEL else {}
        return why_uncertain(bare, question in self._counted, question in self._scales)

    def _refuse_scale(self, key: tuple[Way, str]) -> None:
        if why := self._why_uncertain(key):
            column = key[1]
            raise UnusableError(
                f'"{column}" {why}: say what it means by --map, as signed={column},middle=… of a scale, or '
                f"choice={column} with choices.VALUE=… of each value"
            )

    def _refuse_untouched(self, way: Way) -> None:
        """UnusableError where no ranking of many differs from the order in which the options are listed.

        Argilla's page sends the options in their own order with a rank each, and its SDK drops the ranks.
        """
        values = self._values[self._chosen] if self._chosen else Counter()
        if way is Way.ORDER and values.total() >= ENOUGH and not any(reordered for *_, reordered in values):
            raise UnusableError(
                f'all {values.total()} rankings in "{self._chosen[1] if self._chosen else ""}" are in the order in '
                "which the answers are listed, so the ranks were lost where it was exported (Argilla: export by its "
                "API) or nobody moved anything; if they are meant so, say --question"
            )

    def _orders(self, key: tuple[Way, str]) -> bool:
        values = self._values[key]
        speaks = all(about for about, _, _ in values)
        if key[0] is Way.ORDER:
            return speaks and (asks.which_is_better(key[1]) or any(reordered for *_, reordered in values))
        return speaks and (any(names for _, names, _ in values) or asks.which_is_better(key[1]))

    def _nearest(self, something_else: bool) -> tuple[Way, str] | None:
        """The one label question that asks which is better: what of its labels names no answer is counted so."""
        labels = [key for key in self._values if key[0] is Way.LABEL and asks.which_is_better(key[1])]
        likely = [
            key
            for key in labels
            if self._are_labels(key[1])
            and not (asks.for_a_grade(key[1]) and self._bare.get(key[1]))
            and asks.something_else(key[1]) is something_else
        ]
        return likely[0] if len(likely) == 1 else None

    def _are_labels(self, question: str) -> bool:
        """Whether the question is answered by a few words that come again, and asks for no text."""
        few = len(self._words[question]) <= _MOST_LABELS and all(len(w.split()) <= 8 for w in self._words[question])
        return few and not asks.for_text(question)

    def takes_label(self, question: str, text: str) -> bool:
        """Whether a text that may be a label or a comment is a label."""
        heard = self.hears(Way.LABEL, question) or self.keeps(question)
        return heard or is_rank_of_one(question, text)

    def keeps(self, question: str) -> bool:
        """Whether a question is kept as one of its own, beside the one that is heard."""
        return any(question == other for _, other in self._others)

    def backs(self, question: str) -> bool:
        """Whether a label question says the same as a choice of sides: how strongly, or that there is no difference."""
        return self._chosen is not None and self._chosen[0] is Way.SIDE and question == self._backing

    def hears(self, way: Way, question: str) -> bool:
        return (way, question) == self._chosen


def is_rank_of_one(question: str, label: Any) -> bool:
    return written(label).isdecimal() and asks.ranks_one(question)


def points_at(question: str, value: Any, names: Sequence[str]) -> bool:
    """Whether what stands under `best_answer` or the like is no answer but says which of them is meant."""
    return asks.for_a_rewriting(question) and _chosen(question, value, names) is not None


def _in_places(order: Tiers) -> range | list[int]:
    places = [place for tier in order for place in tier]
    return range(len(places)) if places == list(range(len(places))) and len(order) == len(places) else places


def _chosen(question: str, label: Any, names: Sequence[str], asked: bool = False) -> Choice | None:
    """What a label chooses; by itself, a number or letter only where the question asks for no grade, or was `asked`."""
    if len(str(label).split()) > _MOST_WORDS_OF_A_LABEL or (
        is_bare(label) and asks.for_a_grade(question) and not asked
    ):
        return None
    return choice(label, names, bare=asked or asks.which_is_better(question))


def order_of(ranked: Any, names: Sequence[str]) -> Tiers | None:
    """An order of all the answers, of names best first or `{"value", "rank"}` with ties; None: it is none."""
    if not isinstance(ranked, list):
        return None
    rank_by_place: dict[int, int] = {}  # place -> rank
    for position, item in enumerate(ranked):
        name, rank = (item.get("value"), item.get("rank")) if isinstance(item, dict) else (item, position)
        place = place_of(name, names)
        if place is None or not isinstance(rank, int):
            return None
        rank_by_place[place] = rank
    if len(names) < 2 or not len(rank_by_place) == len(ranked) == len(names):
        return None
    ranks = sorted(set(rank_by_place.values()))
    return tuple(tuple(place for place in sorted(rank_by_place) if rank_by_place[place] == rank) for rank in ranks)


@dataclass
class Sheet:
    """What one annotator filled in about the answers that the tool calls `names`."""

    names: Sequence[str]
    ballot: Ballot
    chose: Choice | None = None
    backing: Choice | None = None  # by a label beside the preference question: its strength, or a tie
    strength: int | None = None  # by a question that asks for nothing else
    shown: tuple[int, ...] = ()
    ranks: dict[int, int] = field(default_factory=dict)  # place -> 1 for the best
    ratings: dict[int, dict[str, int]] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)  # attributes of which more may not be better
    reasons: list[str] = field(default_factory=list)
    better_answer: str = ""

    def rank(self, question: str, ranked: Any) -> None:
        order = order_of(ranked, self.names)
        if order is not None and self.ballot.hears(Way.ORDER, question):
            self.chose = Choice(order)
        else:
            self.label(question, ranked)

    def side(self, question: str, best: int | None) -> None:
        """Take which of two answers is better; None: they are alike."""
        if self.ballot.hears(Way.SIDE, question):
            self.chose = Choice(((0, 1),) if best is None else best_of(best, 2))
        elif not self.ballot.keeps(question):
            self.reasons.append(f"{question}: {'tie' if best is None else self.names[best]}")

    def label(self, question: str, label: Any, quietly: bool = False) -> None:
        """Take a label, or several. UnusableError when it answers the preference question and chooses nothing.

        What answers no question that we understand is part of the reason, but `quietly` not: it may be no answer.
        """
        labels = [str(each) for each in (label if isinstance(label, list) else [label])]
        chose = self.ballot.choice(question, labels[0], self.names) if len(labels) == 1 else None
        if not self.ballot.hears(Way.LABEL, question):
            if chose is not None and self.ballot.backs(question):
                self.backing = chose
            elif len(labels) == 1 and is_rank_of_one(question, labels[0]):
                self.rate(question, int(labels[0]))
            elif chose is None and asks.how_sure(question) and strength_of(labels[0]):
                self.strength = strength_of(labels[0])
            elif not quietly and not self.ballot.keeps(question):
                self.reasons += [f"{question}: {each}" for each in labels if each.strip()]
            return
        if chose is None:
            raise UnusableError(f"“{', '.join(labels)[:60]}” names no answer")
        self.chose = chose

    def rate(self, question: str, value: int, about: Iterable[str] = (), quietly: bool = False) -> None:
        """Take a rating of the answer that the question names; of none of them, it is about all and is left out.

        `quietly`: it may as well be measured as judged, and more of it may be worse.
        """
        place = self._place(question, about)
        if place is None:
            return
        attribute = self._attribute(question, place)
        if asks.ranks_one(question):
            self.ranks[place] = value
        elif not (quietly and asks.is_measured(attribute)):
            self.ratings.setdefault(place, {})[attribute] = value
            if quietly and not asks.more_is_better(attribute, for_certain=True):
                self.doubtful.add(attribute)

    def _place(self, question: str, about: Iterable[str]) -> int | None:
        """Which answer a rating is of: by what the tool says, by its name or by its number in the question."""
        ending = _ending(question)
        targets = [self.names.index(name) for name in about if name in self.names]
        named = [i for i, name in enumerate(self.names) if _pattern(name).search(question)]
        numbered = [i for i, name in enumerate(self.names) if ending and split_name(name)[1] == ending]
        by_side = [place_of(ending, self.names)] if ending.isalpha() and not numbered else []
        places = next((found for found in (targets, named, numbered, by_side) if len(found) == 1), [])
        return 0 if len(self.names) == 1 and not places else next(iter(places), None)

    def _attribute(self, question: str, place: int) -> str:
        """What is left of a rating's question without the answer that it is of."""
        name = self.names[place]
        attribute = _pattern(name).sub("", question)
        ending = _ending(attribute)
        if ending and (split_name(name)[1] == ending or place_of(ending, self.names) == place):
            attribute = attribute.strip().lower()[: -len(ending)].rstrip(" _-.")
            attribute = _pattern(split_name(name)[0]).sub("", attribute)
        return attribute.strip(" _-.") or "rating"

    def write(self, question: str, text: str, about: Iterable[str] = ()) -> None:
        """Take a text: a better answer where the question asks for one, else a reason."""
        from_scratch = not self.names and not self.better_answer and not asks.why(question)
        if from_scratch or asks.for_a_rewriting(question, any(name in self.names for name in about)):
            self.better_answer = text
        elif text.strip():
            self.reasons.append(text)

    def _by_each(self) -> Tiers:
        """The order that a rank or ratings of each answer make; () where they make none. UnusableError."""
        number = len(self.names)
        if self.ranks and len(self.ranks) == number > 1:
            if min(self.ranks.values()) != 1 or max(self.ranks.values()) > number:
                raise UnusableError(f"its ranks are not from 1, for the best, to {number}")
            return tuple(
                tuple(place for place in sorted(self.ranks) if self.ranks[place] == rank)
                for rank in sorted(set(self.ranks.values()))
            )
        certain = {
            place: {name: value for name, value in rated.items() if name not in self.doubtful}
            for place, rated in self.ratings.items()
        }
        return by_mean_rating(certain, number)

    def vote(self, annotator: str, seconds: float | None = None, at: datetime | None = None) -> Vote | None:
        """What all that says together; None where it says nothing about the answers."""
        said = self.chose or self.backing
        chose = said or Choice(self._by_each() if self.ballot.is_by_ratings else ())
        skips = said is not None and not chose.tiers
        backed = self.backing is not None and self.backing.tiers == chose.tiers
        if not chose.tiers and not skips and (self.names or not self.better_answer.strip()):
            return None
        if self.ballot.is_beside:
            return Vote(chose.tiers, annotator, shown=self.shown, at=at) if chose.tiers else None
        reason = "\n".join(self.reasons)
        strength = (self.backing.strength if backed and self.backing else chose.strength) or self.strength
        return Vote(
            chose.tiers,
            annotator,
            shown=self.shown,
            strength=strength if len(chose.tiers) == len(self.names) == 2 else None,
            ratings=self.ratings,
            all_bad=chose.all_bad and self.ballot.question == DEFAULT_QUESTION,
            reason=reason or ("could not say" if skips else ""),
            better_answer=self.better_answer,
            seconds=seconds,
            at=at,
        )


def _ending(question: str) -> str:
    """The number, letter or side that a question ends with: `helpful_1`, "Helpful B", `helpful_left`."""
    side = re.search(r"(?i)[\W_](left|right|first|second)$", question.strip())
    return side[1].lower() if side else split_name(question)[1]


def _pattern(name: str) -> re.Pattern[str]:
    """Finds a name however its words are joined; no name is found nowhere."""
    words = re.findall(r"[^\W_]+", name)
    return re.compile(r"[\W_]*".join(map(re.escape, words)) + r"(?!\d)" if words else r"(?!)", re.IGNORECASE)
