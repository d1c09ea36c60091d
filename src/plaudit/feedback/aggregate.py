"""From judgements to preferences: what everybody who saw two responses says about them together.

The estimate is the vote share: of the annotators who ranked both, how many put `a` above `b`, a tie being half a vote
for each. It is what a Bradley-Terry reward model needs as a soft label (cross-entropy is linear in the label, so the
mean over single votes is that of their share), it keeps disagreement, and it drops nobody: dropping annotators or
unsure labels hurt the reward model where it was tried (Stiennon et al. 2020), so doubt about a person is a weight.

A vote answers the question of its task. Votes on two questions ("better", "safer") are never added up: whoever reads
names one, or means the project's (docs/decisions/0009-one-question-at-a-time.md).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from plaudit.errors import PlauditError, UsageError, did_you_mean
from plaudit.feedback.store import FeedbackStore
from plaudit.printable import counted, make_printable
from plaudit.types import Judgement, Preference, Prompt, Ranked, Split, Task, TaskPurpose

SHOWN_QUESTIONS = 5  # in a sentence


@dataclass(frozen=True)
class Selection:
    """Which feedback is meant. What is not named does not matter; but one question is meant always: the project's."""

    split: Split | None = None  # of the prompt
    source: str | None = None  # that brought what was said; of what was said here, the one that brought the prompt
    question: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)  # of the prompt
    annotator: str | None = None

    def prompts(self, store: FeedbackStore) -> list[Prompt]:
        found = store.prompts(self.split, self.source)
        return [prompt for prompt in found if all(prompt.tags.get(name) == tag for name, tag in self.tags.items())]

    def has(self, judgement: Judgement, prompt: Prompt) -> bool:
        """Whether the judgement is meant, where its prompt and its question are."""
        by_source = self.source is None or source_of(judgement, prompt) == self.source
        return by_source and self.annotator in (None, judgement.annotator_id)

    def __str__(self) -> str:
        """As the end of a sentence about what is selected, with a space before it; "" for everything."""
        parts = (
            f" on the {self.split} side" if self.split else "",
            f" from {self.source}" if self.source else "",
            f" for the question “{self.question}”" if self.question else "",
            *(f" with the tag {name}={tag}" for name, tag in self.tags.items()),
            f" by {self.annotator}" if self.annotator else "",
        )
        return make_printable("".join(parts))


EVERYTHING = Selection()


def source_of(judgement: Judgement, prompt: Prompt) -> str:
    """Where a judgement came from: the data set that brought it, or that of its prompt where it was said here."""
    return prompt.source if judgement.source is None else judgement.source


@dataclass(slots=True)
class Votes:
    """Weights of the votes on one pair of responses."""

    total: float = 0.0
    for_a: float = 0.0
    tied: float = 0.0
    stated: float = 0.0  # of `total`, with a winner and a strength
    strength_sum: float = 0.0  # of those, each times its weight
    by_pairs: dict[int, float] = field(default_factory=dict)  # of `total`, from rankings of so many pairs

    def add(self, weight: float, share: float, strength: int | None, pairs: int) -> None:
        """A vote of a ranking of so many pairs. A tie has no strength: its difference is none, however sure of it."""
        self.total += weight
        self.by_pairs[pairs] = self.by_pairs.get(pairs, 0.0) + weight
        self.for_a += weight * share
        if share == 0.5:
            self.tied += weight
        elif strength is not None:
            self.stated += weight
            self.strength_sum += weight * strength

    @property
    def strength(self) -> float | None:
        """1 to 4: the mean of those who said one and named a winner, whichever it is."""
        return self.strength_sum / self.stated if self.stated else None

    @property
    def ties(self) -> float:
        return min(1.0, self.tied / self.total)

    @property
    def share(self) -> float:
        return min(1.0, max(0.0, self.for_a / self.total))  # rounding must not leave 0 to 1

    @property
    def share_of_judgement(self) -> float:
        """What a vote is of the judgement that it is from, the mean: 1 over the pairs of the ranking."""
        judgements = sum(weight / pairs for pairs, weight in sorted(self.by_pairs.items()))
        return min(1.0, judgements / self.total)


def count_votes(
    judgements: Iterable[Judgement], weights: Mapping[str, float] | None = None
) -> dict[tuple[str, str], Votes]:
    """Unordered pair, as (smaller id, larger id) -> its votes. A judgement that another one supersedes has none.

    `weights`: annotator id -> weight of that annotator's votes; 1 for who is not in it, 0 for no say.
    """
    votes: dict[tuple[str, str], Votes] = {}
    for judgement, weight in _heard(judgements, weights):
        pairs = list(judgement.ranking.pairs())
        for a, b, share in pairs:
            votes.setdefault((a, b), Votes()).add(weight, share, judgement.strength, len(pairs))
    return votes


def _heard(judgements: Iterable[Judgement], weights: Mapping[str, float] | None) -> Iterator[tuple[Judgement, float]]:
    """The judgements that no other one supersedes and that have a say, each with its weight."""
    judgements = list(judgements)
    superseded = {judgement.supersedes for judgement in judgements}
    for judgement in judgements:
        weight = 1.0 if weights is None else weights.get(judgement.annotator_id, 1.0)
        if weight < 0:
            raise PlauditError(f"The weight of {judgement.annotator_id} is {weight}; it must be zero or more.")
        if weight > 0 and judgement.id not in superseded:
            yield judgement, weight


def aggregate(
    judgements: Iterable[Judgement],
    tasks: Iterable[Task],
    *,
    sources: Mapping[str, str] | None = None,
    weights: Mapping[str, float] | None = None,
) -> list[Preference]:
    """One preference per pair of responses that anybody judged, `a` being the smaller id; sorted by prompt and pair.

    `sources`: prompt id -> where the prompt came from. A preference's source is that of its first vote: the data set
    that brought it, else the prompt's. `votes` is the sum of the voters' weights. PlauditError when a judgement's task
    is not among `tasks`.
    """
    judgements = list(judgements)
    prompt_of_task = {task.id: task.prompt_id for task in tasks}
    sources = sources or {}
    prompt_of: dict[str, str] = {}
    source_of_pair: dict[tuple[str, str], str] = {}
    for judgement in judgements:
        if judgement.task_id not in prompt_of_task:
            raise PlauditError(f"Judgement {judgement.id} is about task {judgement.task_id}, which is not given.")
        for response_id in judgement.ranking.response_ids:
            prompt_of[response_id] = prompt_of_task[judgement.task_id]
        said = judgement.source or sources.get(prompt_of_task[judgement.task_id], "unknown")
        for a, b, _ in judgement.ranking.pairs():
            source_of_pair.setdefault((a, b), said)
    preferences_found = [
        Preference(
            prompt_of[a],
            a,
            b,
            votes.share,
            votes.total,
            source_of_pair[a, b],
            votes.share_of_judgement,
            votes.strength,
            votes.ties,
        )
        for (a, b), votes in count_votes(judgements, weights).items()
    ]
    return sorted(preferences_found, key=lambda preference: (preference.prompt_id, preference.a, preference.b))


def rank(
    judgements: Iterable[Judgement],
    tasks: Mapping[str, Task],
    *,
    sources: Mapping[str, str] | None = None,
    weights: Mapping[str, float] | None = None,
) -> list[Ranked]:
    """The rankings as they were given, sorted by prompt, for what their pairs alone do not say; `tasks` by id.

    Whether any answer was acceptable is None in data in which nobody ever said that none was: there it was not asked,
    and silence is no praise. `sources` and `weights` as in `aggregate`.
    """
    heard, sources = list(_heard(judgements, weights)), sources or {}

    def source(judgement: Judgement) -> str:
        return judgement.source or sources.get(tasks[judgement.task_id].prompt_id, "unknown")

    asked = {source(judgement) for judgement, _ in heard if judgement.all_bad}
    found = [
        Ranked(
            tasks[judgement.task_id].prompt_id,
            judgement.ranking,
            weight,
            judgement.strength,
            not judgement.all_bad if source(judgement) in asked else None,
        )
        for judgement, weight in sorted(heard, key=lambda item: item[0].id)
    ]
    return sorted(found, key=lambda ranked: ranked.prompt_id)


def question_asked(store: FeedbackStore, question: str | None = None) -> str:
    """The question that is meant: `question`, or the project's.

    UsageError, with the questions that were answered, where nobody has answered this one but others.
    """
    meant = store.settings().question if question is None else question
    answered = store.questions()
    if not answered or meant in answered:
        return meant
    raise UsageError(
        f"Nobody has answered “{make_printable(meant)}” here, but {questions_in_words(answered)}. "
        "Name one by `--question TEXT`."
    )


def annotator_named(typed: str, known: Collection[str]) -> str:
    """The annotator of that name, in whatever Unicode form it was typed. UsageError, with the nearest, for none."""
    if typed in known:
        return typed
    alike = [name for name in known if unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", typed)]
    if len(alike) == 1:
        return alike[0]
    raise UsageError(
        f"There is no annotator {make_printable(typed)} in the feedback store."
        f"{make_printable(did_you_mean(typed, known))} `plaudit quality` lists those who have judged."
    )


def questions_in_words(answered: Mapping[str, int]) -> str:
    """`“Which is safer?” (12 judgements), “…” (1 judgement)`. answered: question -> judgements."""
    shown = [f"“{make_printable(q)}” ({counted(n, 'judgement')})" for q, n in answered.items()]
    more = len(shown) - SHOWN_QUESTIONS
    return ", ".join(shown[:SHOWN_QUESTIONS]) + (f" and {more:,} more" if more > 0 else "")


@dataclass(frozen=True)
class Selected:
    """The judgements that answer one question, and their tasks."""

    question: str
    judgements: list[Judgement] = field(default_factory=list)
    tasks: dict[str, Task] = field(default_factory=dict)  # by id
    sources: dict[str, str] = field(default_factory=dict)  # prompt id -> where it came from


def select_judgements(store: FeedbackStore, selection: Selection = EVERYTHING) -> Selected:
    """Those behind `preferences`. UsageError as `question_asked`.

    Qualification tasks are none: they are an examination, and who failed it has answered them too.
    """
    question = question_asked(store, selection.question)
    prompts = {prompt.id: prompt for prompt in selection.prompts(store)}
    tasks = {
        task.id: task
        for task in store.tasks()
        if task.question == question and task.prompt_id in prompts and task.purpose is not TaskPurpose.QUALIFICATION
    }
    judgements = [
        judgement
        for judgement in store.judgements(annotator_id=selection.annotator)
        if judgement.task_id in tasks and selection.has(judgement, prompts[tasks[judgement.task_id].prompt_id])
    ]
    return Selected(question, judgements, tasks, {prompt.id: prompt.source for prompt in prompts.values()})


def count_aside(store: FeedbackStore, selection: Selection = EVERYTHING) -> int:
    """How many pairs were judged for other questions than the one that `selection` means, a pair once a question."""
    others = store.questions().keys() - {question_asked(store, selection.question)}
    found = (select_judgements(store, replace(selection, question=other)).judgements for other in others)
    return sum(len(count_votes(judgements)) for judgements in found)


def preferences(
    store: FeedbackStore, selection: Selection = EVERYTHING, weights: Mapping[str, float] | None = None
) -> list[Preference]:
    """The preferences in a store: what the judgements of `selection` say. UsageError as `question_asked`."""
    found = select_judgements(store, selection)
    return aggregate(found.judgements, found.tasks.values(), sources=found.sources, weights=weights)


def rankings(
    store: FeedbackStore, selection: Selection = EVERYTHING, weights: Mapping[str, float] | None = None
) -> list[Ranked]:
    """The rankings behind `preferences`, and the judgements of single answers. UsageError as `question_asked`."""
    found = select_judgements(store, selection)
    return rank(found.judgements, found.tasks, sources=found.sources, weights=weights)


def thumbs(
    store: FeedbackStore, selection: Selection = EVERYTHING, weights: Mapping[str, float] | None = None
) -> list[Ranked]:
    """What was said about answers that were judged one by one, sorted by prompt: `acceptable` is a thumb up.

    An answer that was only rated has none. UsageError as `question_asked`.
    """
    found = select_judgements(store, selection)
    heard = sorted(_heard(found.judgements, weights), key=lambda item: item[0].id)
    given = [
        Ranked(found.tasks[judgement.task_id].prompt_id, judgement.ranking, weight, acceptable=not judgement.all_bad)
        for judgement, weight in heard
        if is_thumb(judgement)
    ]
    return sorted(given, key=lambda thumb: thumb.prompt_id)


def is_thumb(judgement: Judgement) -> bool:
    """Whether it says of a single answer that it is good enough, or is not."""
    return len(judgement.ranking.response_ids) == 1 and (judgement.all_bad or not judgement.ratings)
