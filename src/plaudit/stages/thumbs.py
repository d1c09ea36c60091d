"""Answers that were judged one by one, as what a policy learns from: thumbs up and thumbs down."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from plaudit.errors import UsageError
from plaudit.stages.reward import Feedback, RewardStageConfig, feedback_of, groups_of, selected
from plaudit.types import Ranked, Split
from plaudit.workspace import Workspace

if TYPE_CHECKING:
    from plaudit.feedback.store import FeedbackStore
    from plaudit.train.reward import Group


def gather_thumbs(workspace: Workspace, store: FeedbackStore, config: RewardStageConfig) -> Feedback:
    """The thumbs by prompt and side of the split. UsageError where the train side lacks those up, or those down."""
    from plaudit.feedback.aggregate import is_thumb, select_judgements, thumbs

    selection, weights = selected(store, config)
    train = groups_of(store, [], thumbs(store, replace(selection, split=Split.TRAIN), weights))
    heldout = groups_of(store, [], thumbs(store, replace(selection, split=Split.HELDOUT)))  # judged alike
    _require_both(train, workspace, config)
    judgements = [judgement for judgement in select_judgements(store, selection).judgements if is_thumb(judgement)]
    return feedback_of(store, selection, train, heldout, judgements, weights)


def _require_both(train: list[Group], workspace: Workspace, config: RewardStageConfig) -> None:
    found = {thumb.acceptable for thumb in thumbs_in(train)}
    if len(found) == 2:
        return
    where = f"{workspace.path}{f' from {config.source}' if config.source else ''}"
    lacking = f"no answer judged {'bad' if True in found else 'good'}" if found else "no answer judged by itself"
    raise UsageError(
        f"There is {lacking} to learn from in {where}, and thumbs up and down on single answers are needed: bring some "
        f"in by `plaudit import FILE -w {workspace.path}` (docs/howto-exchange.md has the KTO format)."
    )


def thumbs_in(groups: list[Group]) -> list[Ranked]:
    return [thumb for group in groups for thumb in group.rankings]


def count_thumbs(feedback: Feedback) -> dict[str, Any]:
    """How many there are, and on the held-out side how often somebody is right who always says the same."""
    learned, held = (
        [bool(thumb.acceptable) for thumb in thumbs_in(side)] for side in (feedback.train, feedback.heldout)
    )
    unread = max(sum(held), len(held) - sum(held)) / len(held) if held else None
    return {"thumbs": len(learned), "thumbs_up": sum(learned), "heldout_accuracy_unread": unread}
