"""How long the answers may be that a policy learns from: as long as those that people preferred.

A limit that is shorter teaches the policy to be terse, because an answer that is cut is fined.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, TypeVar

from plaudit.errors import UsageError
from plaudit.feedback.aggregate import Selection, preferences
from plaudit.files import to_json
from plaudit.progress import say
from plaudit.runs import Run
from plaudit.train.configs import ReinforcementConfig
from plaudit.types import StopReason, chosen_first

if TYPE_CHECKING:
    from plaudit.feedback.store import FeedbackStore
    from plaudit.models.catalog import LanguageModel

SHARE = 0.95  # of the preferred answers, that the limit lets end
WITHOUT_ANY = 256  # tokens, where nobody has preferred an answer
LONGEST = 512  # tokens: a longer limit is a decision about time and memory, to be made by name
STEP = 8  # limits are whole multiples of it
CUT_SHARE = 0.1  # of cut answers, from which on it is said
_Training = TypeVar("_Training", bound=ReinforcementConfig)


def with_length(
    run: Run, training: _Training, store: FeedbackStore, selection: Selection, model: LanguageModel
) -> _Training:
    """The settings with a limit, which is kept in the run; as they are where they have one."""
    if training.rollout.max_tokens is not None:
        return training
    lengths = preferred_lengths(store, selection, model)
    wanted = limit_for(lengths)
    limit = min(wanted, LONGEST)
    because = f"as {SHARE:.0%} of the preferred ones are" if lengths else "for want of preferred ones to go by"
    longer = "" if wanted == limit else f"; {SHARE:.0%} would need {wanted}"
    say(f"Answers may be up to {limit} tokens long, {because}{longer} (training.rollout.max_tokens).")
    training = replace(training, rollout=replace(training.rollout, max_tokens=limit))
    run.config["training"] = json.loads(to_json(asdict(training)))
    run.save()
    return training


def preferred_lengths(store: FeedbackStore, selection: Selection, model: LanguageModel) -> list[int]:
    """Tokens of every answer that was preferred to another, its end among them."""
    from plaudit.models.chat import encode_answer

    try:
        winners = {preference.a for preference in chosen_first(preferences(store, selection))}
    except UsageError:  # a model from elsewhere guides: nobody here was asked that
        return []
    texts = store.response_texts(winners)
    return [len(encode_answer(model.tokenizer, text, StopReason.EOS)) for text in texts.values()]


def usual_limit(store: FeedbackStore, selection: Selection, model: LanguageModel) -> int:
    """The limit where nobody says another."""
    return min(limit_for(preferred_lengths(store, selection, model)), LONGEST)


def limit_for(lengths: Sequence[int]) -> int:
    """The shortest limit, in steps, within which `SHARE` of the answers end."""
    if not lengths:
        return WITHOUT_ANY
    enough = sorted(lengths)[max(0, int(SHARE * len(lengths) + 0.999) - 1)]
    return -(-enough // STEP) * STEP


def say_what_was_cut(finished_share: float | None, limit: int | None) -> None:
    """A sentence where more answers are cut than a tenth."""
    if finished_share is not None and limit is not None and 1 - finished_share > CUT_SHARE:
        say(
            f"{1 - finished_share:.0%} of the last answers were cut at {limit} tokens: read some, and raise "
            "training.rollout.max_tokens if they are worth more words."
        )
