"""Every pairwise choice in a store, a column each: what the quality figures are computed from.

A million judgements as objects would take minutes and gigabytes; as columns they are a few arrays, read straight
from the tables, as text, a batch at a time. A ranking of K answers is K(K−1)/2 choices; a *unit* is one pair of answers
of one task, of which every annotator of the task makes one choice: 0 the first answer of the pair is better, 1 a tie,
2 the second. Which answer of a pair is the first is an accident, and no figure depends on it.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, combinations
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, Text, cast, func, select

from plaudit.feedback.aggregate import question_asked
from plaudit.feedback.events.schema import judgements, prompts, responses, tasks
from plaudit.feedback.labelling.settings import MOST_NAMES, settings_in
from plaudit.feedback.store import FeedbackStore
from plaudit.stats.intervals import Floats
from plaudit.stats.ratings import Bools, Ints, Ratings
from plaudit.types import TaskPurpose

CHOICE_SCALE = np.arange(3.0)
OF_JUDGEMENTS = ("annotator", "task", "answers", "seconds", "version", "characters")
OF_CHOICES = ("unit", "choice", "shown", "longer")
BATCH = 20_000  # judgements read at once
RATING_SCALE = np.arange(1.0, 8.0)
MOST_GROUPS = 30  # a tag with more values than that names prompts, not groups of them


@dataclass(frozen=True, eq=False)
class Tasks:
    """T tasks: their purpose, and where among all units theirs begin. Units of a task lie side by side."""

    ids: dict[str, int]
    purpose: Sequence[TaskPurpose]
    prompt: Ints  # (T,)
    first_unit: Ints  # (T,)
    task_of_unit: Ints  # (U,)
    expected: Ints  # (U,) what the gold answer chooses; −1 where there is none

    def with_purpose(self, *purposes: TaskPurpose) -> Bools:
        """(T,)"""
        return np.array([purpose in purposes for purpose in self.purpose], dtype=bool)


@dataclass(frozen=True, eq=False)
class Choices:
    """J judgements in the order in which they came, and the N choices they consist of."""

    annotators: tuple[str, ...]
    tasks: Tasks
    tags: Mapping[str, tuple[tuple[str, ...], Ints]]  # tag -> its values, and which each prompt has, −1 for none
    annotator: Ints  # (J,)
    task: Ints  # (J,)
    answers: Ints  # (J,) K
    seconds: Floats  # (J,) NaN where not taken
    version: Ints  # (J,) of the guidelines, −1 where none had been read
    characters: Floats  # (J,) of all answers together
    judgement: Ints  # (N,)
    unit: Ints  # (N,)
    choice: Ints  # (N,) 0, 1 or 2
    shown: Ints  # (N,) 1 where the first of the pair was shown before the second, −1 where after, 0 where not known
    sides: tuple[Ints, Ints]  # (N,) each: the answers of the pair
    longer: Floats  # (N,) log of the length of the pair's first over the second's
    rated: Mapping[str, Ratings]  # attribute -> units are answers

    @property
    def rater(self) -> Ints:
        return self.annotator[self.judgement]

    @property
    def turned(self) -> Bools:
        """(N,) where the first of the pair was the second to be shown.

        Where the order is not known, half of the units, whichever: which answer a store got first is often the better
        one (a data set's `chosen`), and whoever is right would seem to choose by the place.
        """
        return np.where(self.shown == 0, _coin(self.unit), self.shown < 0)

    def among(self, kept: Bools) -> Choices:
        """Only the choices of some judgements. kept: (J,)."""
        place = np.cumsum(kept) - 1
        of_choice = kept[self.judgement]
        return replace(
            self,
            **{name: getattr(self, name)[kept] for name in OF_JUDGEMENTS},
            **{name: getattr(self, name)[of_choice] for name in OF_CHOICES},
            judgement=place[self.judgement[of_choice]],
            sides=(self.sides[0][of_choice], self.sides[1][of_choice]),
        )

    def ratings(self, kept: Bools | None = None) -> Ratings:
        """The choices as ratings, told alike from both sides of a pair; the pairs of one task are drawn together."""
        made = Ratings(self.unit, self.rater, self.choice, CHOICE_SCALE, self.tasks.task_of_unit, mirrored=True)
        return made if kept is None else made.where(kept)


def _coin(number: Ints) -> Bools:
    """Heads or tails for each number, always the same. number: (N,)."""
    mixed = number.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hashing
    return np.asarray(mixed >> np.uint64(63) == 1)


def read_choices(store: FeedbackStore, question: str | None = None) -> Choices:
    """All current judgements that answer a question (None: the project's), without what was withdrawn.

    UsageError as `question_asked`, PlauditError when the store cannot be read.
    """
    question = question_asked(store, question)
    with _no_garbage_collection(), store.reading() as connection:
        prompt_at, tags = _prompts(connection)
        answer_at, length = _answers(connection)
        listed = _tasks(connection, prompt_at, answer_at)
        return _Reader(listed, answer_at, length).read(connection, tags, question)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Half of the time would go into looking for cycles among millions of short lists, which JSON cannot have."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _prompts(connection: Connection) -> tuple[dict[str, int], dict[str, tuple[tuple[str, ...], Ints]]]:
    query = select(prompts.c.id, prompts.c.source, cast(prompts.c.tags, Text)).order_by(prompts.c.seq)
    ids, sources, texts = _columns(connection, query, 3)
    tagged = [{**tags, "source": source} for source, tags in zip(sources, _parse_texts(texts), strict=True)]
    tags = {}
    for name in sorted(set().union(*tagged)):
        values = [prompt_tags.get(name) for prompt_tags in tagged]
        known = tuple(sorted({str(value) for value in values if value is not None}))
        if 1 < len(known) <= MOST_GROUPS:
            place = {value: i for i, value in enumerate(known)}
            tags[name] = (known, np.array([-1 if value is None else place[str(value)] for value in values]))
    return {prompt_tags: i for i, prompt_tags in enumerate(ids)}, tags


def _columns(connection: Connection, query: Select[Any], count: int) -> list[tuple[Any, ...]]:
    return list(zip(*connection.execute(query).all(), strict=True)) or [()] * count


def _parse_texts(texts: Iterable[str]) -> list[Any]:
    """JSON texts, parsed in one go, which is several times as quick as one by one."""
    parsed: list[Any] = json.loads(f"[{','.join(texts)}]")
    return parsed


def _answers(connection: Connection) -> tuple[dict[str, int], Floats]:
    query = select(responses.c.id, func.length(responses.c.text)).order_by(responses.c.seq)
    rows = connection.execute(query).all()
    return {row[0]: i for i, row in enumerate(rows)}, np.array([row[1] for row in rows], dtype=float)


def _tasks(connection: Connection, prompt_at: Mapping[str, int], answer_at: Mapping[str, int]) -> Tasks:
    columns = (tasks.c.id, tasks.c.prompt_id, cast(tasks.c.response_ids, Text), tasks.c.gold, tasks.c.purpose)
    ids, prompt_ids, texts, golds, purposes = _columns(connection, select(*columns).order_by(tasks.c.seq), 5)
    answers = _parse_texts(texts)
    pairs = np.array([len(shown) * (len(shown) - 1) // 2 for shown in answers], dtype=np.int64)
    first = np.cumsum(pairs) - pairs
    expected = np.full(int(pairs.sum()), -1, dtype=np.int8)
    for shown, gold, begin, size in zip(answers, golds, first, pairs, strict=True):
        if gold:
            expected[begin : begin + size] = _expected_levels(gold, sorted(shown, key=answer_at.__getitem__))
    prompt = np.array([prompt_at[prompt_id] for prompt_id in prompt_ids], dtype=np.int64)
    of_unit = np.repeat(np.arange(len(ids)), pairs)
    kinds = [TaskPurpose(purpose) for purpose in purposes]
    return Tasks({task_id: i for i, task_id in enumerate(ids)}, kinds, prompt, first, of_unit, expected)


def _expected_levels(gold: Sequence[Sequence[str]], answers: Sequence[str]) -> list[int]:
    tier = {answer: level for level, answers in enumerate(gold) for answer in answers}
    return [
        -1 if a not in tier or b not in tier else int(np.sign(tier[a] - tier[b])) + 1
        for a, b in combinations(answers, 2)
    ]


class _Reader:
    """Collects judgements of the same number of answers together, so that whole batches become arrays at once."""

    def __init__(self, listed: Tasks, answer_at: Mapping[str, int], length: Floats) -> None:
        self._tasks, self._answer_at, self._length = listed, answer_at, length
        self._annotator_at: dict[str, int] = {}
        self._judged: list[tuple[Ints, ...]] = []  # seq, annotator, task, answers, version
        self._floats: list[tuple[Floats, ...]] = []  # seconds, characters
        self._chosen: list[tuple[Ints, ...]] = []  # judgement, unit, said, shown, answer, answer
        self._attributes: dict[str, None] = {}  # that are looked at: the project's, then others as they come
        self._rated: dict[str, list[tuple[Ints, ...]]] = {}  # attribute -> answer, annotator, value − 1
        self._count = 0

    def read(self, connection: Connection, tags: Mapping[str, tuple[tuple[str, ...], Ints]], question: str) -> Choices:
        self._attributes = dict.fromkeys(settings_in(connection).attributes)
        table = judgements.c
        columns = [table.seq, table.annotator_id, table.task_id, table.seconds, table.guidelines_version]
        texts = [cast(column, Text) for column in (table.ranking, table.shown_order, table.ratings)]
        query = select(*columns, *texts).join_from(judgements, tasks).where(tasks.c.question == question)
        query = query.where(table.superseded_by.is_(None), ~table.withdrawn)
        for rows in connection.execute(query, execution_options={"yield_per": BATCH}).partitions():
            self._take(*zip(*rows, strict=True))
        return self._choices(tags)

    def _take(self, *columns: tuple[Any, ...]) -> None:
        """One batch, its columns in the order of the query."""
        seq, who, task_ids, seconds, version, ranking, shown, ratings = columns
        tiers, orders = _parse_texts(ranking), _parse_texts(shown)
        annotator = np.array([self._annotator_at.setdefault(name, len(self._annotator_at)) for name in who])
        task = self._places(self._tasks.ids, task_ids)
        ranked = [[answer for tier in ranks for answer in tier] for ranks in tiers]
        answers = np.array([len(row) for row in ranked])
        characters = np.zeros(len(seq))
        for K in np.unique(answers):
            rows = np.nonzero(answers == K)[0]
            characters[rows] = self._take_same_size(int(K), rows, task[rows], tiers, ranked, orders)
        unread = [-1 if number is None else number for number in version]
        self._judged.append((np.array(seq), annotator, task, answers, np.array(unread)))
        self._floats.append((np.array(seconds, dtype=float), characters))
        self._take_ratings(ratings, annotator)
        self._count += len(seq)

    def _take_same_size(
        self, K: int, rows: Ints, task: Ints, tiers: list[Any], ranked: list[list[str]], orders: list[list[str]]
    ) -> Floats:
        """The choices of the judgements in `rows`, which ranked K answers each; how many characters those have."""
        at = self._places(self._answer_at, chain.from_iterable(ranked[i] for i in rows)).reshape(-1, K)
        level = np.array([n for i in rows for n, tier in enumerate(tiers[i]) for _ in tier]).reshape(-1, K)
        by_answer = np.argsort(at, axis=1)
        at, level = np.take_along_axis(at, by_answer, 1), np.take_along_axis(level, by_answer, 1)
        known = np.array([len(orders[i]) == K for i in rows])
        order = self._places(
            self._answer_at, chain.from_iterable(orders[i] if len(orders[i]) == K else ranked[i] for i in rows)
        ).reshape(-1, K)
        place = np.argsort(order, axis=1)
        for pair, (i, j) in enumerate(combinations(range(K), 2)):
            choice = np.sign(level[:, i] - level[:, j]) + 1
            shown = np.where(known, np.sign(place[:, j] - place[:, i]), 0)
            unit = self._tasks.first_unit[task] + pair
            self._chosen.append(
                (self._count + rows, unit, choice.astype(np.int8), shown.astype(np.int8), at[:, i], at[:, j])
            )
        return np.asarray(self._length[at].sum(1))

    def _take_ratings(self, texts: Sequence[str], annotator: Ints) -> None:
        rows = [row for row, text in enumerate(texts) if len(text) > 2]  # more than {}
        rated = _parse_texts(texts[row] for row in rows)
        flat = [
            (row, answer, given) for row, ratings in zip(rows, rated, strict=True) for answer, given in ratings.items()
        ]
        if not flat:
            return
        of_row, answers, given = zip(*flat, strict=True)
        answer, who = self._places(self._answer_at, answers), annotator[list(of_row)].astype(np.int32)
        found = set().union(*given)
        others = sorted(found - self._attributes.keys())
        self._attributes |= dict.fromkeys(others[: max(0, MOST_NAMES - len(self._attributes))])
        for attribute in found & self._attributes.keys():
            value = np.array([values.get(attribute, 0) for values in given], dtype=np.int8)
            kept = value > 0
            self._rated.setdefault(attribute, []).append((answer[kept], who[kept], value[kept] - 1))

    def _places(self, at: Mapping[str, int], names: Iterable[str]) -> Ints:
        return np.fromiter(map(at.__getitem__, names), dtype=np.int32)

    def _choices(self, tags: Mapping[str, tuple[tuple[str, ...], Ints]]) -> Choices:
        seq, annotator, task, answers, version = _join(self._judged, 5)
        seconds, characters = _join(self._floats, 2)
        judgement, unit, choice, shown, first, second = _join(self._chosen, 6)
        order = np.argsort(seq, kind="stable")
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        length = np.log1p(self._length)
        return Choices(
            annotators=tuple(self._annotator_at),
            tasks=self._tasks,
            tags=tags,
            annotator=annotator[order],
            task=task[order],
            answers=answers[order],
            seconds=seconds[order].astype(float),
            version=version[order],
            characters=characters[order].astype(float),
            judgement=place[judgement],
            unit=unit,
            choice=choice,
            shown=shown,
            sides=(first, second),
            longer=length[first] - length[second] if len(first) else np.zeros(0),
            rated={name: _ratings(rows) for name, rows in sorted(self._rated.items())},
        )


def _join(batches: list[tuple[Any, ...]], columns: int) -> Iterator[Any]:
    if not batches:
        return iter([np.zeros(0, dtype=np.int64)] * columns)
    return (np.concatenate(column) for column in zip(*batches, strict=True))


def _ratings(batches: list[tuple[Ints, ...]]) -> Ratings:
    answer, annotator, value = _join(batches, 3)
    return Ratings(answer, annotator, value, RATING_SCALE)
