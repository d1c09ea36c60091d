"""What a file says in the name of people who have an account here. Nobody but they themselves may say it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from plaudit.feedback.exchange.records import Labelled, Skip
from plaudit.printable import as_read
from plaudit.types import Demonstration, Judgement, Task, TaskPurpose

CLAIMED = "its annotator has an account here and did not say it here (--trust-names believes the file)"


def without_claims(brought: Sequence[Labelled], people: Mapping[str, Collection[str]], most: int) -> Iterator[Labelled]:
    """Without what would speak for the people of this store, or check them.

    `people`: as `FeedbackStore.people` gives them. A task that checks people comes in as work, also where
    nobody is yet: its answer is the file's, not the project's. A name that reads as somebody's here is theirs.
    Beside those who answered a task in the file, at most `most` people here are asked it.
    """
    read_as = {as_read(name) for name in people}
    answered = Counter(judgement.task_id for labelled in brought for judgement in labelled.judgements)

    def is_claim(said: Judgement | Demonstration | Skip) -> bool:
        name = said.annotator_id or ""
        if name not in people:
            return as_read(name) in read_as
        return (said.task_id if isinstance(said, Skip) else said.id) not in people[name]

    for labelled in brought:
        said: list[Judgement | Demonstration | Skip]
        said = [*labelled.judgements, *labelled.demonstrations, *labelled.skips]
        yield replace(
            labelled,
            task=labelled.task and _as_work(labelled.task, answered[labelled.task.id] + most),
            judgements=tuple(it for it in labelled.judgements if not is_claim(it)),
            demonstrations=tuple(it for it in labelled.demonstrations if not is_claim(it)),
            skips=tuple(it for it in labelled.skips if not is_claim(it)),
            lost=(*labelled.lost, *(CLAIMED for it in said if is_claim(it))),
        )


def _as_work(task: Task, most: int) -> Task:
    return replace(task, gold=None, purpose=TaskPurpose.WORK, overlap=min(task.overlap, most))
