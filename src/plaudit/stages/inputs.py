"""The workspace's feedback as an input of runs: opened, and recorded as everything up to an event.

The log only grows, so the position of its last event says exactly what was read, provided that both are of the same
moment (`read_at_one_moment`). More feedback makes no run wrong; withdrawn feedback does (`stale`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from plaudit.errors import UsageError
from plaudit.runs import Run, Source
from plaudit.workspace import Workspace

if TYPE_CHECKING:
    from plaudit.feedback.store import FeedbackStore

ROLE = "feedback"  # among a run's inputs


def open_feedback(workspace: Workspace) -> FeedbackStore:
    """The workspace's feedback. UsageError while there is none."""
    if not workspace.has_feedback():
        raise UsageError(
            f"{workspace.path} holds no feedback yet: bring in prompts or preferences by "
            f"`plaudit import FILE -w {workspace.path}` first."
        )
    from plaudit.feedback.store import FeedbackStore

    return FeedbackStore.open(workspace.database, create=False)


def feedback_source(store: FeedbackStore) -> Source:
    """The store as it is now, as a run's input."""
    seq = store.last_seq()
    return {"id": ROLE, "digest": store.event_digest(seq) or "empty", "seq": str(seq)}


@contextmanager
def read_at_one_moment(run: Run, store: FeedbackStore) -> Iterator[None]:
    """What is read inside is of one moment, and that is the moment which the run records.

    Others may judge or withdraw while a model loads: what a run has learnt from must be known by what it read, not by
    what there was when it began.
    """
    with store.snapshot():
        run.inputs[ROLE] = feedback_source(store)
        yield


def changed_inputs(run: Run, workspace: Workspace) -> list[str]:
    """Roles of the inputs that are gone or that say something else by now, more feedback included."""
    changed = run.changed_inputs(workspace)
    if "seq" in run.inputs.get(ROLE, {}):
        with open_feedback(workspace) as store:
            if feedback_source(store) != run.inputs[ROLE]:
                changed.append(ROLE)
    return changed
