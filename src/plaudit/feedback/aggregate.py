"""From judgements to preferences: what everybody who saw two responses says about them together.

The estimate is the vote share: of the annotators who ranked both, how many put `a` above `b`, a tie being half a vote
for each. It is what a Bradley-Terry reward model needs as a soft label (cross-entropy is linear in the label, so the
mean over single votes is that of their share), it keeps disagreement, and it drops nobody: dropping annotators or
unsure labels hurt the reward model where it was tried (Stiennon et al. 2020), so doubt about a person is a weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from plaudit.errors import PlauditError
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Judgement, Preference, Split, Task, TaskPurpose


@dataclass(slots=True)
class Votes:
    """Weights of the votes on one pair of responses."""

    total: float = 0.0
    for_a: float = 0.0
    by_pairs: dict[int, float] = field(default_factory=dict)  # of `total`, from rankings of so many pairs

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
    judgements = list(judgements)
    superseded = {judgement.supersedes for judgement in judgements}
    votes: dict[tuple[str, str], Votes] = {}
    for judgement in judgements:
        weight = 1.0 if weights is None else weights.get(judgement.annotator_id, 1.0)
        if weight < 0:
            raise PlauditError(f"The weight of {judgement.annotator_id} is {weight}; it must be zero or more.")
        if weight == 0 or judgement.id in superseded:
            continue
        pairs = list(judgement.ranking.pairs())
        for a, b, share in pairs:
            pair = votes.setdefault((a, b), Votes())
            pair.total += weight
            pair.by_pairs[len(pairs)] = pair.by_pairs.get(len(pairs), 0.0) + weight
            pair.for_a += weight * share
    return votes


def aggregate(
    judgements: Iterable[Judgement],
    tasks: Iterable[Task],
    *,
    sources: Mapping[str, str] | None = None,
    weights: Mapping[str, float] | None = None,
) -> list[Preference]:
    """One preference per pair of responses that anybody judged, `a` being the smaller id; sorted by prompt and pair.

    `sources`: prompt id -> where the prompt came from, carried to its preferences. `votes` is the sum of the voters'
    weights. PlauditError when a judgement's task is not among `tasks`.
    """
    judgements = list(judgements)
    prompt_of_task = {task.id: task.prompt_id for task in tasks}
    prompt_of = {}
    for judgement in judgements:
        if judgement.task_id not in prompt_of_task:
            raise PlauditError(f"Judgement {judgement.id} is about task {judgement.task_id}, which is not given.")
        for response_id in judgement.ranking.response_ids:
            prompt_of[response_id] = prompt_of_task[judgement.task_id]
    sources = sources or {}
    preferences_found = [
        Preference(
            prompt_of[a],
            a,
            b,
            votes.share,
            votes.total,
            sources.get(prompt_of[a], "unknown"),
            votes.share_of_judgement,
        )
        for (a, b), votes in count_votes(judgements, weights).items()
    ]
    return sorted(preferences_found, key=lambda preference: (preference.prompt_id, preference.a, preference.b))


def preferences(
    store: FeedbackStore,
    split: Split | None = None,
    source: str | None = None,
    weights: Mapping[str, float] | None = None,
) -> list[Preference]:
    """The preferences in a store, of the prompts on one side of the split or from one source where that is asked.

    Qualification tasks make none: they are an examination, and who failed it has answered them too.
    """
    sources = {prompt.id: prompt.source for prompt in store.prompts(split, source)}
    tasks = [
        task for task in store.tasks() if task.prompt_id in sources and task.purpose is not TaskPurpose.QUALIFICATION
    ]
    task_ids = {task.id for task in tasks}
    judgements = [judgement for judgement in store.judgements() if judgement.task_id in task_ids]
    return aggregate(judgements, tasks, sources=sources, weights=weights)
