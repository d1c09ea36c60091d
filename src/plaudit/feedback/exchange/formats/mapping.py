"""A format that is declared: which columns hold what. `plaudit import --map` takes the same words as `simple.toml`.

A mapping says where in a record (`paths`) the conversation and its answers stand and how they were judged: by `chosen`
and `rejected` (with equal `score`s, a tie); by `answers` with a `rank` (1 is the best) or a `score` (higher is better)
each; by a `choice` of the best; by a number that is `signed` (below zero: the first); or, of a single answer, by
whether it is `good`. Several paths for one thing are given as a list; texts of a prompt in several columns are joined
by blank lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from plaudit.feedback.exchange.formats import beside
from plaudit.feedback.exchange.formats import fields as reading
from plaudit.feedback.exchange.formats.comparison import (
    Comparison,
    MalformedError,
    Messages,
    UnusableError,
    Vote,
)
from plaudit.feedback.exchange.formats.conversations import by_turn, join_conversation, up_to
from plaudit.feedback.exchange.formats.options import (
    Choice,
    are_numbered,
    best_of,
    by_mean_rating,
    choice,
    is_number,
    strength_of,
)
from plaudit.feedback.exchange.formats.paths import as_list, find, first
from plaudit.types import DEFAULT_QUESTION, Message, Role

_ROWS = re.compile(r"^rows\.(\*|\d+)\.")
TIE, BOTH_BAD, SKIP = "tie", "both bad", "skip"  # what a value in `choices` may mean, beside the place of an answer
GOOD, BAD = "good", "bad"  # and what it may mean of a single answer
STRONGEST = 4
NO_STRENGTH = 0  # a number that is none from 1 to 4
_DECIMAL = re.compile(r"[+-]?\d+\.0+")  # a whole number of a table that has empty cells beside it


@dataclass(frozen=True)
class ColumnMap:
    """Paths of the columns. One that is a tuple takes several; what is not said is not there."""

    description: str = "records by --map"
    keeps: str = ""  # for the docs
    needs: tuple[str, ...] = ()  # what a record must have to be recognised
    only: Mapping[str, Any] = field(default_factory=dict)  # column -> value: a record with another one is left out
    together: str = ""  # records that follow each other with the same value here are one, with `rows`
    prompt: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()  # each a path to one answer, or one with `*` to all of them
    chosen: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    votes: tuple[str, ...] = ()  # a list with a record for each annotator, where the paths below then start; or lists
    # that stand side by side, each with a value for each annotator
    rank: tuple[str, ...] = ()  # one number for each answer, 1 for the best
    score: tuple[str, ...] = ()  # one number for each answer, the highest for the best
    choice: str = ""  # the value that names the best answer, or a tie
    choices: Mapping[str, Any] = field(
        default_factory=dict
    )  # value -> place, "tie", "both bad", "skip", "good" or "bad"
    signed: str = ""  # a number: below zero for the first answer, its size the strength
    good: str = ""  # whether the one answer is good enough
    strength: str = ""  # 1 (barely) to 4 (far better)
    middle: float | None = None  # of the scale of `signed`, or of `strength`, which is then the distance from it
    annotator: tuple[str, ...] = ()
    reason: tuple[str, ...] = ()
    better_answer: str = ""
    seconds: str = ""
    at: tuple[str, ...] = ()  # the first that is there
    turn: str = ""  # a number: the conversations are judged up to that answer, and cut behind it
    shown: bool = False  # the answers' order is that in which they were shown
    by_model: bool = False  # a model judged, no person
    models: tuple[str, ...] = ()  # what those annotators are called that are models, among people
    ratings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # attribute -> one number for each answer
    scale: tuple[float, float] | None = None  # of the ratings, lowest and highest
    flags: tuple[str, ...] = ()  # for each answer a list of flags, or a record of true and false
    tags: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    question: str = DEFAULT_QUESTION
    ask: tuple[Mapping[str, Any], ...] = ()  # further questions about the same answers, as what differs
    known: bool = False  # a form of ours: what may stand beside a question and a choice in any is read, too (`beside`)

    def __post_init__(self) -> None:
        ways = [name for name in ("rank", "score", "choice", "signed", "good") if getattr(self, name)]
        if bool(self.chosen) != bool(self.rejected):
            raise ValueError("chosen and rejected come together")
        if self.chosen and (self.answers or ways not in ([], ["score"])):
            raise ValueError("chosen and rejected say it all: leave answers, rank, choice, signed and good out")
        if not self.prompt and not self.chosen and not self.answers:
            raise ValueError("say at least where the prompt and the answers are")
        if self.answers and (len(ways) > 1 or not (ways or self.ratings)):
            raise ValueError("answers need one of rank, score, choice, signed or good, or ratings")
        if self.scale is not None and not self.scale[0] < self.scale[1]:
            raise ValueError("scale is the lowest and the highest rating")
        object.__setattr__(self, "choices", {_key(value): meaning for value, meaning in self.choices.items()})

    @cached_property
    def asked(self) -> tuple[ColumnMap, ...]:
        """One mapping for each question."""
        return (replace(self, ask=()), *(replace(self, ask=(), **differs) for differs in self.ask))

    @cached_property
    def columns(self) -> frozenset[str]:
        """The columns that are read, by the names that they have in a record (of `votes`, in a vote's)."""
        values = [getattr(self, each.name) for each in fields(self) if each.name not in ("needs", "only", "ask")]
        paths = [path for value in values for path in (value if isinstance(value, tuple) else [value])]
        paths += [path for of_each in self.ratings.values() for path in of_each]
        paths += [path for differs in self.ask for path in differs.values() if isinstance(path, str)]
        texts = (path for path in paths if isinstance(path, str))
        return frozenset(_ROWS.sub("", path).partition(".")[0] for path in texts)

    def recognises(self, record: Any) -> bool:
        return isinstance(record, dict) and all(
            any(value is not None for value in find(record, path)) for path in self.needs
        )

    def read(self, record: dict[str, Any]) -> list[Comparison | UnusableError]:
        """What the record says, one entry for each question. MalformedError where a column is not what it should be."""
        found: list[Comparison | UnusableError] = []
        for mapping in self.asked:
            try:
                found.append(mapping.comparison(record).up_to_nine().check())
            except UnusableError as reason:
                reason.votes = max(reason.votes, self._votes_in(record))
                found.append(reason)
        return found

    def comparison(self, record: dict[str, Any]) -> Comparison:
        """What it says about the mapping's own question, not yet checked."""
        for path, wanted in self.only.items():
            if (found := _key(first(record, path))) != _key(wanted):
                raise UnusableError(f"{path} is {found}, not {wanted}")
        paths = (*self.chosen, *self.rejected) or self.answers
        values = self._each(record, paths, "answers")
        if not values:
            raise UnusableError("it has no answers")
        if self.turn:
            values = [up_to(value, reading.number(first(record, self.turn))) for value in values]
        turns = by_turn(first(record, self.prompt[0]) if self.prompt else None, values)
        prompt = () if turns else self._prompt(record)
        messages, answers = join_conversation(prompt, turns or values)
        messages = self._with_lead(record, messages)
        about = first(record, "rows.0") if self.together and "rows" in record else record
        if self.known:
            messages = beside.add_around(about, messages, self.columns)
        votes, lost = [], []
        for said in self._said(record):
            try:
                votes.append(self._vote(said, record, len(self._each(record, self.chosen, "")), len(answers)))
            except UnusableError as reason:
                lost.append(str(reason))
        tags = {name: value for name, path in self.tags.items() if (value := _words(first(record, path)))}
        if self.known:
            tags = reading.tags(about) | tags
        if self.split and "split" not in tags:
            tags = reading.with_split(tags, first(record, self.split))
        return Comparison(messages, answers, tuple(votes), tags, self.question, tuple(lost))

    def _each(self, record: Any, paths: tuple[str, ...], what: str) -> list[Any]:
        """The values of columns that must be there."""
        values: list[Any] = []
        for path in paths:
            found = find(record, path)
            if not found and what and not _is_empty_list(record, path):
                raise MalformedError(f'no "{path}", only {reading.names(record)}')
            values += found
        return values

    def _with_lead(self, record: dict[str, Any], messages: Messages) -> Messages:
        """The conversation behind the system message that is mapped, unless it begins with one."""
        texts = [value for path in self.system if isinstance(value := first(record, path), str) and value.strip()]
        if not texts or (messages and messages[0].role is Role.SYSTEM):
            return messages
        return (Message(Role.SYSTEM, "\n\n".join(texts)), *messages)

    def _prompt(self, record: dict[str, Any]) -> Messages:
        values = [value for path in self.prompt if (value := _text_or_value(record, path)) is not None]
        if len(self.prompt) == 1:
            return reading.asked(values[0], self.prompt[0]) if values else ()
        texts: list[str] = []  # that follow each other, and so are one
        turns: list[Message] = []
        for value in (*values, None):
            before = beside.turns_in(value) if isinstance(value, (list, dict)) else None
            if isinstance(value, str) and (inside := reading.opened(value)) is value:
                texts += [value.strip()] if value.strip() else []
                continue
            turns += reading.spoken("\n\n".join(texts)) if texts else ()
            texts = []
            if value is not None:
                turns += before or reading.asked(inside if isinstance(value, str) else value, self.prompt[0])
        return tuple(turns)

    def _said(self, record: dict[str, Any]) -> Iterator[Any]:
        """The records that votes are read from."""
        if not self.votes:
            yield record
            return
        lists = [as_list(first(record, path)) or [] for path in self.votes]
        if len(set(map(len, lists))) > 1:
            raise UnusableError("its lists of votes are not of one length", max(map(len, lists)))
        for entries in zip(*lists, strict=True):
            entry = dict(zip(self.votes, entries, strict=True)) if len(lists) > 1 else entries[0]
            if not isinstance(entry, dict):
                raise MalformedError(f'"{self.votes[0]}" is not a list of records')
            yield entry

    def _votes_in(self, record: dict[str, Any]) -> int:
        try:
            return len(list(self._said(record)))
        except UnusableError as reason:
            return reason.votes

    def _vote(self, said: dict[str, Any], record: dict[str, Any], chosen: int, answers: int) -> Vote:
        ratings = self._ratings(said, answers)
        chose = self._choice(said, record, chosen, answers, ratings)
        annotator = " ".join(words for path in self.annotator if (words := _words(first(said, path))))
        reason = "\n\n".join(dict.fromkeys(words for path in self.reason for words in _texts(find(said, path))))
        about = first(said, "rows.0") if self.together and said is record and "rows" in record else said
        if self.known and not self.annotator:
            annotator = self._named_beside(about)
        if self.known and not self.reason:
            reason = beside.reason_in(about, self.columns)
        by_model = self.by_model or annotator in self.models or (self.known and beside.is_model(annotator))
        keeps = answers == 2 and chose.tiers and len(chose.tiers) == 2
        return Vote(
            chose.tiers,
            annotator=annotator,
            simulated=by_model or record.get("simulated") in (True, "true", "True"),
            shown=tuple(range(answers)) if self.shown and not by_model else (),  # a model is asked in both orders
            strength=self._strength(said, chose) if keeps else None,
            ratings=ratings,
            flags=self._flags(said, answers),
            all_bad=chose.all_bad,
            reason=reason,
            better_answer=_words(first(said, self.better_answer)) if self.better_answer else "",
            seconds=reading.seconds(first(said, self.seconds)) if self.seconds else None,
            at=next((when for path in self.at if (when := reading.moment(first(said, path)))), None),
        )

    def _named_beside(self, said: dict[str, Any]) -> str:
        annotator = beside.annotator_in(said, self.columns)
        if annotator and self.by_model:
            raise MalformedError(
                f"it names who judged ({_quoted(annotator)}), but a model judges {self.description}: say by --map "
                "which column is which"
            )
        return annotator

    def _strength(self, said: dict[str, Any], chose: Choice) -> int | None:
        """How much better the better one is. Whoever reads the whole file decides about numbers that are not ours."""
        path = self.strength or (beside.STRENGTH if self.known and beside.STRENGTH not in self.columns else "")
        value = first(said, path) if path else None
        if value is None:
            return chose.strength
        number = reading.number(value)
        if number is None:
            return strength_of(value) if isinstance(value, str) else None
        if self.strength and self.middle is not None:
            return round(abs(number - self.middle)) or None
        return int(number) if number.is_integer() else NO_STRENGTH

    def _choice(
        self, said: dict[str, Any], record: dict[str, Any], chosen: int, answers: int, ratings: Mapping[int, Any]
    ) -> Choice:
        if self.chosen:
            return self._pair(said, chosen, answers)
        if self.good:
            return _goodness(first(said, self.good), self.good, self.choices)
        if self.signed:
            return self._by_sign(first(said, self.signed), answers)
        if self.choice:
            return self._chosen_value(self._whole_as_text(first(said, self.choice), record), record, answers)
        paths = self.rank or self.score
        if not paths:
            order = by_mean_rating(ratings, answers)
            if not order and answers == 1:
                raise UnusableError("its answer is not rated")
            if not order:
                raise UnusableError("its answers are not all rated for what makes one better, and not compared")
            return Choice(order)
        return self._by_numbers(said, paths, answers)

    def _whole_as_text(self, value: Any, record: dict[str, Any]) -> Any:
        """A table's "1.0" as "1", unless an answer reads so."""
        is_decimal = isinstance(value, str) and _DECIMAL.fullmatch(value.strip())
        return _key(value) if is_decimal and value not in self._each(record, self.answers, "") else value

    def _pair(self, said: dict[str, Any], chosen: int, answers: int) -> Choice:
        scores = [reading.number(value) for value in self._each(said, self.score, "")]
        if len(scores) == answers and None not in scores and len(set(scores)) == 1:
            return Choice((tuple(range(answers)),))  # one of them had to be called "chosen"
        return Choice((tuple(range(chosen)), tuple(range(chosen, answers))))

    def _by_numbers(self, said: dict[str, Any], paths: tuple[str, ...], answers: int) -> Choice:
        numbers = [reading.number(value) for value in self._each(said, paths, "numbers")]
        if not numbers:
            raise UnusableError(f'nothing is said in "{paths[0]}"')
        if len(numbers) != answers:
            is_one = len(paths) == 1 and "*" not in paths[0]
            told = f"; a column that names the best answer is choice={paths[0]}" if is_one else ""
            raise MalformedError(f'{len(numbers)} of {answers} numbers in "{paths[0]}", one for each answer{told}')
        if None in numbers:
            raise UnusableError(f'an answer has no number in "{paths[0]}"')
        levels = sorted({n for n in numbers if n is not None}, reverse=bool(self.score))
        return Choice(tuple(tuple(i for i, n in enumerate(numbers) if n == level) for level in levels))

    def _by_sign(self, value: Any, answers: int) -> Choice:
        if self.choices.get(_key(value)) in (TIE, BOTH_BAD, SKIP):
            return _meant(self.choices[_key(value)], answers)
        if value is None or (isinstance(value, str) and not value.strip()):
            raise UnusableError(f'nothing is said in "{self.signed}"')
        number = reading.number(value)
        if number is None:
            raise UnusableError(f'{_quoted(value)} in "{self.signed}" is no number')
        if answers != 2:
            raise MalformedError(f'"{self.signed}" chooses between two answers, not {answers}')
        distance = number - (self.middle or 0)
        strength = None if self.middle is not None else round(abs(distance)) or 1
        return Choice(((0, 1),)) if distance == 0 else Choice(best_of(int(distance > 0), 2), False, strength)

    def _chosen_value(self, value: Any, record: dict[str, Any], answers: int) -> Choice:
        if value is None or value == "":
            raise UnusableError(f'nothing is chosen in "{self.choice}"')
        meaning = self.choices.get(_key(value))
        if meaning in (TIE, BOTH_BAD, SKIP):
            return _meant(meaning, answers)
        if meaning is not None:
            return Choice(best_of(int(meaning), answers))
        names = [path.split(".")[-1] for path in self.answers] if len(self.answers) == answers else []
        if len(set(names)) < len(names):
            names = list(self.answers)
        same_text = [i for i, text in enumerate(self._each(record, self.answers, "answers")) if text == value]
        is_said = bool(self.choices) or len(same_text) == 1 or not is_number(value)
        if not is_said and (not are_numbered(names) or (choice(value, names) is None and not self.needs)):
            raise MalformedError(
                f'"{self.choice}" counts the answers or is a scale, here {_quoted(value)}: say what it means, as '
                f"choices.1=0,choices.2=1, or signed={self.choice} with middle=… for a scale"
            )
        if not self.choices and len(same_text) == 1:
            return Choice(best_of(same_text[0], answers))
        chose = None if self.choices else choice(value, names or [str(place + 1) for place in range(answers)])
        if chose is None:
            raise UnusableError(f"{_quoted(value)} names no answer")
        return chose

    def _ratings(self, said: dict[str, Any], answers: int) -> dict[int, dict[str, int]]:
        rated: dict[int, dict[str, int]] = {}
        for attribute, paths in self.ratings.items():
            for place, value in enumerate(self._by_place(said, paths, answers)):
                number = reading.number(value)
                if number is not None and (whole := scaled(number, self.scale)) is not None:
                    rated.setdefault(place, {})[attribute] = whole
        return rated

    def _flags(self, said: dict[str, Any], answers: int) -> dict[int, tuple[str, ...]]:
        flagged: dict[int, tuple[str, ...]] = {}
        for place, value in enumerate(self._by_place(said, self.flags, answers)):
            told = reading.parsed(value) if isinstance(value, str) else value
            if isinstance(told, dict):
                told = [name for name, on in told.items() if _key(on) in ("true", "1")]
            if isinstance(told, list) and told:
                flagged[place] = tuple(str(name) for name in told)
        return flagged

    def _by_place(self, said: dict[str, Any], paths: tuple[str, ...], answers: int) -> list[Any]:
        """A value for each answer, None where its own column lacks one; nothing where it is not told whose they are."""
        if len(paths) == answers and not any("*" in path for path in paths):
            return [first(said, path) for path in paths]
        values = self._each(said, paths, "")
        return values if len(values) == answers else []


def _is_empty_list(record: Any, path: str) -> bool:
    """Whether the list that a path with `*` goes through is there, and holds nothing."""
    owner, star, _ = path.partition(".*")
    column = owner.partition(".")[0]
    return bool(star) and isinstance(record, dict) and column in record and not find(record, owner + star)


def scaled(number: float, scale: tuple[float, float] | None) -> int | None:
    """A rating on our scale of 1 to 7; None for one that is on neither.

    A scale of at most seven steps is moved (0 to 4 becomes 1 to 5), which keeps its steps; a longer one is shrunk.
    Without a scale a whole number stays what it is, and whoever reads the whole file decides about it.
    """
    if scale is None:
        return int(number) if number.is_integer() else None
    low, high = scale
    if not low <= number <= high:
        return None
    if low == 1 and high <= 7 and number.is_integer():
        return int(number)
    steps = number - low if high - low <= 6 else 6 * (number - low) / (high - low)
    return 1 + int(steps + 0.5)


def _text_or_value(record: dict[str, Any], path: str) -> Any:
    """What stands there; of a path that begins with "=", the text behind that."""
    return path[1:] if path.startswith("=") else first(record, path)


def _meant(meaning: str, answers: int) -> Choice:
    return Choice() if meaning == SKIP else Choice((tuple(range(answers)),), meaning == BOTH_BAD)


_GOOD = ("true", "1", "+1", "yes", "y", "good", "up", "👍", "thumbs up", "thumb up", "thumbsup", "upvote", "upvoted",
         "like", "liked", "positive", "desirable", "acceptable", "accept", "accepted", "chosen")  # fmt: skip
_BAD = ("false", "0", "-1", "no", "n", "bad", "down", "👎", "thumbs down", "thumb down", "thumbsdown", "downvote",
        "downvoted", "dislike", "disliked", "negative", "undesirable", "unacceptable", "reject", "rejected",
        )  # fmt: skip
_MEANINGS = {**dict.fromkeys(_GOOD, GOOD), **dict.fromkeys(_BAD, BAD)}


def _goodness(value: Any, path: str, meanings: Mapping[str, Any]) -> Choice:
    said = _key(value)
    meaning = meanings.get(said) if meanings else _MEANINGS.get(" ".join(re.split(r"[\s_]+|(?<=\w)-", said.lower())))
    if meaning not in (GOOD, BAD, SKIP):
        raise UnusableError(f'{_quoted(value)} in "{path}" is neither good nor bad')
    return Choice() if meaning == SKIP else Choice(((0,),), meaning == BAD)


def _key(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    if text in ("True", "False"):
        return text.lower()
    return text.partition(".")[0] if _DECIMAL.fullmatch(text) else text


def _quoted(value: Any) -> str:
    return f"“{' '.join(str(value).split())[:40]}”"


def _words(value: Any) -> str:
    return "" if value is None or isinstance(value, (dict, list)) else str(value).strip()


def _texts(values: list[Any]) -> list[str]:
    return [words for value in values if (words := _words(value))]
