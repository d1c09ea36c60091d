"""Labelling tools let people name the fields and questions: here is how we tell what they mean.

- The answers are text fields that differ in a number or letter at the end: `response_1`, `Answer B`, `completion2`.
- The prompt is a field called so (`prompt`, `instruction`, `question`, …); a `context` beside it stands before it.
  Names of ids, sources and passages are neither.
- A ranking orders all answers. A label chooses one, by the field's name, number, letter or side, or says that they are
  alike (`options`). A question is the preference question if all its values over the file do so: an order before a
  choice of two sides before a label. Where two questions remain, whoever imports says which.
- Such a question that by its name asks for something else ("more harmful", "safer") stays a question of its own.
- A rating's question names its answer; what is left of its name is the attribute.
- A text is a better answer where its question says so about an answer (`corrected response`), else the reason.

Where nobody gives an order but somebody rates every answer, the mean ratings are the order ("rate first, then rank",
InstructGPT).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any

from plaudit.feedback.exchange.formats import fields
from plaudit.feedback.exchange.formats.comparison import MalformedError, Messages, Tiers, UnusableError, Vote
from plaudit.feedback.exchange.formats.options import (
    ANSWERS,
    Choice,
    best_of,
    by_mean_rating,
    choice,
    place_of,
    split_name,
)
from plaudit.types import DEFAULT_QUESTION, Message, Role

_PROMPTS = ("prompt", "instruction", "question", "query", "input", "user_message", "message", "conversation",
            "dialogue", "messages", "chat", "request", "task", "user", "post", "context", "text")  # fmt: skip
_CONTEXT = ("context", "passage", "document", "background")
_NO_TEXT = re.compile(
    r"(?i)(^|[\W_])(ids?|uuid|key|index|idx|url|link|sources?|model|models|score|author|meta|metadata)$"
)
_NO_ANSWER = re.compile(
    r"(?i)prompt|instruction|question|query|context|passage|document|evidence|source|chunk|retriev|snippet|citation|"
    r"reference|background|system|turn|message|meta|model|score|title|url|tag|label|keyword|fact|history|example"
)
_ASKS_WHICH = re.compile(
    r"(?i)prefer|better|best|which|winner|wins|chosen|choose|choice|compar|overall|rank|order|pick"
)
_ASKS_OTHER = re.compile(  # who is chosen there is not the better one
    r"(?i)harm|toxic|safe|danger|worse|worst|least|offens|bias|risk|wrong|halluc|incorrect|error|problem|issue|bad|"
    r"refus|longer|shorter|verbos"
)
_BETTER = re.compile(r"(?i)better|best|correct|improv|rewrit|revis|ideal|demonstrat|edit|gold")
_ASKS_WHY = re.compile(r"(?i)\b(why|reason|rationale|comment|explain|explanation|justif\w*|notes?|feedback|because)\b")
_OF_PROMPT = re.compile(r"(?i)prompt|instruction|question|query")
_MOST_WORDS_OF_A_LABEL = 8
ENOUGH = 8  # rankings that do not all end as they began
_MOST_LABELS = 9  # of a question that people answer by choosing


def answers_in(record: Mapping[str, Any]) -> dict[str, str]:
    """Name -> text of the fields that hold the answers, in the order of their numbers or letters."""
    groups: dict[str, dict[str, tuple[str, str]]] = {}
    for name, value in record.items():
        stem, place = split_name(name)
        if place and isinstance(value, str) and not _NO_TEXT.search(name):
            groups.setdefault(stem, {})[place.rjust(9, "0")] = (name, value)
    several = {stem: group for stem, group in groups.items() if len(group) > 1}
    named = [stem for stem in several if _is_answers(stem)]
    others = [stem for stem in several if not _NO_ANSWER.search(stem)]
    likely = sorted(named or others, key=lambda stem: len(several[stem]), reverse=True)
    return dict(several[likely[0]][place] for place in sorted(several[likely[0]])) if likely else {}


def _is_answers(stem: str) -> bool:
    return any(
        word in re.split(r"[\W_]+", stem) or stem.endswith(word) for word in ANSWERS if word != "model"
    ) and not (any(word in stem for word in _CONTEXT))


def prompt_in(record: Mapping[str, Any], answers: Mapping[str, str], votes: int = 1) -> Messages:
    """The conversation that the answers are to. MalformedError where no field can be it.

    UnusableError, which leaves out so many `votes`, where a turn of it is nothing that we know.
    """
    named = prompt_name(record, answers)
    if named is None:
        raise MalformedError(f"no field that could be the prompt, only {fields.names(dict(record))}")
    others = {name: value for name, value in record.items() if name not in answers and isinstance(value, (str, list))}
    try:
        messages = fields.prompt(dict(others), named)
    except UnusableError as error:
        raise UnusableError(str(error), votes) from None
    context = others.get("context")
    if isinstance(context, str) and context.strip() and named != "context" and messages[-1].role is Role.USER:
        messages = (*messages[:-1], Message(Role.USER, f"{context}\n\n{messages[-1].content}"))
    system = next((others[n] for n in ("system", "system_prompt") if isinstance(others.get(n), str)), "")
    if isinstance(system, str) and system.strip() and messages[0].role is not Role.SYSTEM:
        messages = (Message(Role.SYSTEM, system), *messages)
    return messages


def prompt_name(record: Mapping[str, Any], answers: Mapping[str, str]) -> str | None:
    """The field that the conversation is in; None where there is none that could be it."""
    others = [
        name
        for name, value in record.items()
        if name not in answers and isinstance(value, (str, list)) and value and not _NO_TEXT.search(name)
    ]
    by_word = [name for word in _PROMPTS for name in others if name.lower() == word]
    by_part = [name for word in _PROMPTS for name in others if word in name.lower() and not _is_passage(name)]
    return next(iter([*by_word, *by_part, *(others if len(others) == 1 else [])]), None)


def _is_passage(name: str) -> bool:
    return bool(split_name(name)[1]) and any(word in name.lower() for word in _CONTEXT)


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
    _chosen: tuple[Way, str] | None = None
    _backing: str | None = None  # a label question beside a choice of sides

    @property
    def question(self) -> str:
        """What the chosen question asks: which answer is better, or by its name something that is not that."""
        name = self._chosen[1] if self._chosen else ""
        return name if _ASKS_OTHER.search(name) else DEFAULT_QUESTION

    @property
    def why_silent(self) -> str:
        """Why what somebody filled in says nothing."""
        if self._chosen is None:
            return "no question orders the answers for certain (--question says which does)"
        return f'nothing is said under "{self._chosen[1]}"'

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
            chose = _chosen(question, label, names)
            said = (chose is not None, chose is not None and len(chose.tiers) > 1, True)
            if len(self._words[question]) <= _MOST_LABELS:
                self._words[question].add(str(label))
        self._values[way, question][said] += 1

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
                raise UnusableError(f'nobody answered a question "{self.asked}", only {fields.names(questions)}')
            self._chosen = found[0]
            return
        for way in Way:
            likely = [key for key in self._values if key[0] is way and self._orders(key)]
            if way is Way.ORDER and len(likely) > 1:
                likely = [key for key in likely if _ASKS_WHICH.search(key[1])]
            if len(likely) > 1:
                asked = fields.names({key[1]: 0 for key in likely})
                raise UnusableError(
                    f"{len(likely)} questions order the answers, {asked}: say which is the preference, as "
                    f'--question "{likely[0][1]}"'
                )
            if likely:
                self._chosen = likely[0]
                self._refuse_untouched(way)
                beside = [key[1] for key in self._values if key[0] is Way.LABEL and self._orders(key)]
                self._backing = beside[0] if way is Way.SIDE and len(beside) == 1 else None
                return
        self._chosen = self._nearest()

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
            return speaks and (bool(_ASKS_WHICH.search(key[1])) or any(reordered for *_, reordered in values))
        return speaks and (any(names for _, names, _ in values) or bool(_ASKS_WHICH.search(key[1])))

    def _nearest(self) -> tuple[Way, str] | None:
        """The one label question that asks which is better: what of its labels names no answer is counted so."""
        asks = [key for key in self._values if key[0] is Way.LABEL and _ASKS_WHICH.search(key[1])]
        likely = [key for key in asks if self._are_labels(key[1])]
        return likely[0] if len(likely) == 1 else None

    def _are_labels(self, question: str) -> bool:
        """Whether the question is answered by a few words that come again, and asks for no text."""
        few = len(self._words[question]) <= _MOST_LABELS and all(len(w.split()) <= 8 for w in self._words[question])
        return few and not _ASKS_WHY.search(_in_words(question)) and not _is_rewrite(question)

    def backs(self, question: str) -> bool:
        """Whether a label question says the same as a choice of sides: how strongly, or that there is no difference."""
        return self._chosen is not None and self._chosen[0] is Way.SIDE and question == self._backing

    def hears(self, way: Way, question: str) -> bool:
        return (way, question) == self._chosen


def _in_words(question: str) -> str:
    return " ".join(re.split(r"[\W_]+", question.lower()))


def asks_for_text(question: str) -> bool:
    """Whether a question asks for a comment, or for a better answer."""
    return bool(_ASKS_WHY.search(_in_words(question))) or _is_rewrite(question)


def points_at(question: str, value: Any, names: Sequence[str]) -> bool:
    """Whether what stands under `best_answer` or the like is no answer but says which of them is meant."""
    return _is_rewrite(question) and _chosen(question, value, names) is not None


def _is_rewrite(question: str) -> bool:
    """Whether a question asks for an answer, better than those that are shown."""
    words = _in_words(question)
    named = any(word in words for word in ANSWERS) or "demonstration" in words
    return bool(_BETTER.search(words)) and named and not _OF_PROMPT.search(words) and not _ASKS_WHY.search(words)


def _in_places(order: Tiers) -> range | list[int]:
    places = [place for tier in order for place in tier]
    return range(len(places)) if places == list(range(len(places))) and len(order) == len(places) else places


def _chosen(question: str, label: Any, names: Sequence[str]) -> Choice | None:
    if len(str(label).split()) > _MOST_WORDS_OF_A_LABEL:
        return None
    return choice(label, names, bare=bool(_ASKS_WHICH.search(question)))


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
    shown: tuple[int, ...] = ()
    ratings: dict[int, dict[str, int]] = field(default_factory=dict)
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
        else:
            self.reasons.append(f"{question}: {'tie' if best is None else self.names[best]}")

    def label(self, question: str, label: Any, quietly: bool = False) -> None:
        """Take a label, or several. UnusableError when it answers the preference question and chooses nothing.

        What answers no question that we understand is part of the reason, but `quietly` not: it may be no answer.
        """
        labels = [str(each) for each in (label if isinstance(label, list) else [label])]
        chose = _chosen(question, labels[0], self.names) if len(labels) == 1 else None
        if not self.ballot.hears(Way.LABEL, question):
            if chose is not None and self.ballot.backs(question):
                self.backing = chose
            elif not quietly:
                self.reasons += [f"{question}: {each}" for each in labels if each.strip()]
            return
        if chose is None:
            raise UnusableError(f"“{', '.join(labels)[:60]}” names no answer")
        self.chose = chose

    def rate(self, question: str, value: int, about: Iterable[str] = ()) -> None:
        """Take a rating of the answer that the question names; of none of them, it is about all and is left out."""
        _, number = split_name(question)
        targets = [self.names.index(name) for name in about if name in self.names]
        named = [i for i, name in enumerate(self.names) if _pattern(name).search(question)]
        numbered = [i for i, name in enumerate(self.names) if number and split_name(name)[1] == number]
        places = next((found for found in (targets, named, numbered) if len(found) == 1), [])
        if len(self.names) == 1 and not places:
            places = [0]
        if not places:
            return
        name = self.names[places[0]]
        attribute = _pattern(name).sub("", question) if named == places else question
        if split_name(name)[1] and split_name(attribute)[1] == split_name(name)[1]:
            attribute = _pattern(split_name(name)[0]).sub("", split_name(attribute)[0])
        self.ratings.setdefault(places[0], {})[attribute.strip(" _-.") or "rating"] = value

    def write(self, question: str, text: str, about: Iterable[str] = ()) -> None:
        """Take a text: a better answer where the question asks for one, else a reason."""
        words = _in_words(question)
        asks_why, of_prompt = bool(_ASKS_WHY.search(words)), bool(_OF_PROMPT.search(words))
        of_answer = any(name in self.names for name in about) and bool(_BETTER.search(words))
        from_scratch = not self.names and not self.better_answer and not asks_why
        if from_scratch or (_is_rewrite(question) or (of_answer and not asks_why and not of_prompt)):
            self.better_answer = text
        elif text.strip():
            self.reasons.append(text)

    def vote(self, annotator: str, seconds: float | None = None, at: datetime | None = None) -> Vote | None:
        """What all that says together; None where it says nothing about the answers."""
        said = self.chose or self.backing
        chose = said or Choice(by_mean_rating(self.ratings, len(self.names)))
        skips = said is not None and not chose.tiers
        backed = self.backing is not None and self.backing.tiers == chose.tiers
        if not chose.tiers and not skips and (self.names or not self.better_answer.strip()):
            return None
        reason = "\n".join(self.reasons)
        return Vote(
            chose.tiers,
            annotator,
            shown=self.shown,
            strength=self.backing.strength if backed and self.backing else chose.strength,
            ratings=self.ratings,
            all_bad=chose.all_bad,
            reason=reason or ("could not say" if skips else ""),
            better_answer=self.better_answer,
            seconds=seconds,
            at=at,
        )


def _pattern(name: str) -> re.Pattern[str]:
    """Finds a name however its words are joined; no name is found nowhere."""
    words = re.findall(r"[^\W_]+", name)
    return re.compile(r"[\W_]*".join(map(re.escape, words)) + r"(?!\d)" if words else r"(?!)", re.IGNORECASE)
