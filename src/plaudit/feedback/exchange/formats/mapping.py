"""A format that is declared: which columns hold what. `plaudit import --map` takes the same words as `simple.toml`.

A mapping says where in a record (`paths`) the conversation and its answers stand and how they were judged: by `chosen`
and `rejected` (with equal `score`s, a tie); by `answers` with a `rank` (1 is the best) or a `score` (higher is better)
each; by a `choice` of the best; by a number that is `signed` (below zero: the first); or, of a single answer, by
whether it is `good`. Several paths for one thing are given as a list; texts of a prompt in several columns are joined
by blank lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from plaudit.feedback.exchange.formats import fields as reading
from plaudit.feedback.exchange.formats.comparison import (
    Comparison,
    MalformedError,
    Messages,
    UnusableError,
    Vote,
)
from plaudit.feedback.exchange.formats.conversations import by_turn, join_conversation, up_to
from plaudit.feedback.exchange.formats.options import Choice, are_numbered, best_of, by_mean_rating, choice, is_number
from plaudit.feedback.exchange.formats.paths import as_list, find, first
from plaudit.types import DEFAULT_QUESTION, Message, Role

TIE, BOTH_BAD, SKIP = "tie", "both bad", "skip"  # what a value in `choices` may mean, beside the place of an answer
GOOD, BAD = "good", "bad"  # and what it may mean of a single answer
STRONGEST = 4


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

    @cached_property
    def asked(self) -> tuple[ColumnMap, ...]:
        """One mapping for each question."""
        return (replace(self, ask=()), *(replace(self, ask=(), **differs) for differs in self.ask))

    def recognises(self, record: Any) -> bool:
        return isinstance(record, dict) and all(
            any(value is not None for value in find(record, path)) for path in self.needs
        )

    def read(self, record: dict[str, Any]) -> list[Comparison | UnusableError]:
        """What the record says, one entry for each question. MalformedError where a column is not what it should be."""
        found: list[Comparison | UnusableError] = []
        for mapping in self.asked:
            try:
                found.append(mapping.comparison(record).check())
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
        messages, answers = join_conversation(self._lead(record), prompt, turns or values)
        votes, lost = [], []
        for said in self._said(record):
            try:
                votes.append(self._vote(said, record, len(self._each(record, self.chosen, "")), len(answers)))
            except UnusableError as reason:
                lost.append(str(reason))
        tags = {name: value for name, path in self.tags.items() if (value := _words(first(record, path)))}
        tags = reading.with_split(tags, str(first(record, self.split)).lower() if self.split else None)
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

    def _lead(self, record: dict[str, Any]) -> Messages:
        texts = [value for path in self.system if isinstance(value := first(record, path), str) and value.strip()]
        return (Message(Role.SYSTEM, "\n\n".join(texts)),) if texts else ()

    def _prompt(self, record: dict[str, Any]) -> Messages:
        values = [value for path in self.prompt if (value := _text_or_value(record, path)) is not None]
        if len(self.prompt) > 1 and all(isinstance(value, str) for value in values):
            text = "\n\n".join(value.strip() for value in values if value.strip())
            return reading.spoken(text) if text else ()
        turns: list[Message] = []
        for value in values:
            if isinstance(value, str) and not value.strip() and len(values) > 1:
                continue
            turns += reading.asked(value, self.prompt[0])
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
        strength = _whole(first(said, self.strength)) if self.strength else chose.strength
        if self.strength and self.middle is not None:
            number = reading.number(first(said, self.strength))
            strength = None if number is None else round(abs(number - self.middle))
        annotator = " ".join(words for path in self.annotator if (words := _words(first(said, path))))
        by_model = self.by_model or annotator in self.models
        keeps = answers == 2 and chose.tiers and len(chose.tiers) == 2 and strength and 1 <= strength <= STRONGEST
        return Vote(
            chose.tiers,
            annotator=annotator,
            simulated=by_model or record.get("simulated") in (True, "true", "True"),
            shown=tuple(range(answers)) if self.shown and not by_model else (),  # a model is asked in both orders
            strength=strength if keeps else None,
            ratings=ratings,
            flags=self._flags(said, answers),
            all_bad=chose.all_bad,
            reason="\n\n".join(words for path in self.reason for words in _texts(find(said, path))),
            better_answer=_words(first(said, self.better_answer)) if self.better_answer else "",
            seconds=reading.seconds(first(said, self.seconds)) if self.seconds else None,
            at=next((when for path in self.at if (when := reading.moment(first(said, path)))), None),
        )

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
            return self._chosen_value(first(said, self.choice), record, answers)
        paths = self.rank or self.score
        if not paths:
            order = by_mean_rating(ratings, answers)
            if not order and answers == 1:
                raise UnusableError("its answer is not rated")
            if not order:
                raise UnusableError("its answers are not all rated for what makes one better, and not compared")
            return Choice(order)
        return self._by_numbers(said, paths, answers)

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
            values = self._each(said, paths, "")
            for place, value in enumerate(values if len(values) == answers else []):
                number = reading.number(value)
                if number is not None and (whole := scaled(number, self.scale)) is not None:
                    rated.setdefault(place, {})[attribute] = whole
        return rated

    def _flags(self, said: dict[str, Any], answers: int) -> dict[int, tuple[str, ...]]:
        values = self._each(said, self.flags, "")
        flagged: dict[int, tuple[str, ...]] = {}
        for place, value in enumerate(values if len(values) == answers else []):
            named = [str(name) for name, on in value.items() if on is True] if isinstance(value, dict) else value
            if isinstance(named, list) and named:
                flagged[place] = tuple(str(name) for name in named)
        return flagged


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


def _goodness(value: Any, path: str, meanings: Mapping[str, Any]) -> Choice:
    words = {"true": GOOD, "1": GOOD, "yes": GOOD, "good": GOOD, "up": GOOD, "👍": GOOD,
             "false": BAD, "0": BAD, "no": BAD, "bad": BAD, "down": BAD, "👎": BAD}  # fmt: skip
    meaning = meanings.get(_key(value)) if meanings else words.get(_key(value).lower())
    if meaning not in (GOOD, BAD, SKIP):
        raise UnusableError(f'{_quoted(value)} in "{path}" is neither good nor bad')
    return Choice() if meaning == SKIP else Choice(((0,),), meaning == BAD)


def _whole(value: Any) -> int | None:
    number = reading.number(value)
    return int(number) if number is not None and number.is_integer() else None


def _key(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _quoted(value: Any) -> str:
    return f"“{' '.join(str(value).split())[:40]}”"


def _words(value: Any) -> str:
    return "" if value is None or isinstance(value, (dict, list)) else str(value).strip()


def _texts(values: list[Any]) -> list[str]:
    return [words for value in values if (words := _words(value))]
