"""Two sets of answers to the same prompts, compared by every measure: the figures of the proof, and samples to read."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

from plaudit.evaluate.text import describe, overlap
from plaudit.feedback.simulated.utility import Utility, utility
from plaudit.stats.intervals import cluster_bootstrap
from plaudit.stats.scored_pairs import win_rate
from plaudit.types import Prompt, Response, Role, StopReason

SAMPLES = 12
BY_UTILITY = (
    "The answers were compared by the simulated panel's hidden utility, which neither the reward model nor the policy "
    "was shown. It proves that the loop finds a preference that is known, not what people would prefer."
)
BY_REWARD_ONLY = (
    "No judge compared the answers but the reward model, which is what the policy was optimised for: its win rate says "
    "that optimisation worked, not that the answers are better. Let people compare the samples."
)

BY_OTHER_REWARD = (
    "No judge compared the answers but a reward model, by which the policy was not optimised. It knows what was said "
    "of other answers, not what people would say of these. Let people compare the samples."
)
UNJUDGED = (
    "Nothing judged the answers: there is neither a simulated panel nor a reward model. Let people compare the samples."
)


@dataclass(frozen=True)
class Answered:
    """An answer, and what was measured of it."""

    response: Response
    reward: float | None  # the reward model's normalised score, where there is one
    kl_nats: float  # of the whole answer, policy against base; 0 for the base's own


@dataclass(frozen=True)
class Side:
    """One model's answers: to prompt i, those of `answered[i]`."""

    prompts: list[Prompt]
    answered: list[list[Answered]]

    @cached_property
    def flat(self) -> list[Answered]:
        return [answer for group in self.answered for answer in group]

    @cached_property
    def rewards(self) -> dict[str, list[float]]:
        """Prompt id -> the scores of its answers; nothing where no reward model scored them."""
        scores = {p.id: [a.reward for a in group] for p, group in zip(self.prompts, self.answered, strict=True)}
        return {p: [s for s in given if s is not None] for p, given in scores.items() if None not in given}

    @cached_property
    def clusters(self) -> list[str]:
        """Prompt id of each of `flat`: what a bootstrap draws."""
        return [answer.response.prompt_id for answer in self.flat]

    @cached_property
    def utilities(self) -> list[list[Utility]]:
        return [
            [utility(prompt, answer.response) for answer in group]
            for prompt, group in zip(self.prompts, self.answered, strict=True)
        ]

    @property
    def responses(self) -> list[Response]:
        return [answer.response for answer in self.flat]

    def total_utilities(self) -> dict[str, list[float]]:
        return {p.id: [u.total for u in group] for p, group in zip(self.prompts, self.utilities, strict=True)}


def compare(
    base: Side,
    aligned: Side,
    references: Mapping[str, Sequence[str]],
    *,
    hidden_utility: bool,
    seed: int,
    proof: str = BY_REWARD_ONLY,
) -> dict[str, Any]:
    """Every figure of the summary that is about the answers. `win_rate` is None without a judge to trust.

    `proof` says what the comparison proves where there is none.
    """
    figures = _won(base, aligned, hidden_utility, proof, seed)
    figures |= cluster_bootstrap([a.kl_nats for a in aligned.flat], aligned.clusters, seed=seed).flat("kl_nats")
    figures |= _rewards(base, aligned, seed)
    figures["text"] = {}
    for when, side in (("before", base), ("after", aligned)):
        text = asdict(describe(side.responses))
        figures["text"][when] = {name: value for name, value in text.items() if value is not None}
        figures[f"finished_{when}"], figures[f"length_{when}"] = text["finished_share"], text["mean_tokens"]
    figures["overlap"] = _overlap(base, aligned, references, seed)
    if hidden_utility:
        figures["utility"] = {"before": _mean_parts(base), "after": _mean_parts(aligned)}
    return figures


def _rewards(base: Side, aligned: Side, seed: int) -> dict[str, Any]:
    """The reward before and after, its gain prompt by prompt, and the win rate by it; nothing where nothing scored.

    Two intervals of their own say less than the gain's, and may overlap where it is sure.
    """
    before, after = base.rewards, aligned.rewards
    if not before:
        return {}
    gain = cluster_bootstrap([fmean(after[p]) - fmean(before[p]) for p in before], list(before), seed=seed)
    figures: dict[str, Any] = gain.flat("heldout_reward_gain")
    for when, rewards in (("before", before), ("after", after)):
        flat = [(p, reward) for p, given in rewards.items() for reward in given]
        interval = cluster_bootstrap([reward for _, reward in flat], [p for p, _ in flat], seed=seed)
        figures |= interval.flat(f"heldout_reward_{when}")
    return figures | win_rate(before, after, seed=seed).flat("reward_win_rate")


def _won(base: Side, aligned: Side, hidden_utility: bool, proof: str, seed: int) -> dict[str, Any]:
    if not hidden_utility:
        return {"win_rate": None, "win_rate_low": None, "win_rate_high": None, "proof": proof}
    by_utility = win_rate(base.total_utilities(), aligned.total_utilities(), seed=seed)
    return {**by_utility.flat("win_rate"), "judge": "the panel’s hidden utility", "proof": BY_UTILITY}


def _overlap(base: Side, aligned: Side, references: Mapping[str, Sequence[str]], seed: int) -> dict[str, Any]:
    """Wording shared with the references, for the prompts that have any: of either side, and how it changed."""
    before, after = ([r for r in side.responses if references.get(r.prompt_id)] for side in (base, aligned))
    if not before:
        return {}
    ids = [r.prompt_id for r in before]
    assert ids == [r.prompt_id for r in after], "both sides answered the same prompts as often"
    texts, given = ([r.text for r in before], [r.text for r in after]), [references[i] for i in ids]
    sides = {
        "before": overlap(texts[0], given, ids, seed=seed),
        "after": overlap(texts[1], given, ids, seed=seed),
        "change": overlap(texts[1], given, ids, less=texts[0], seed=seed),
    }
    return {
        name: {key: value for when, figures in sides.items() for key, value in figures[name].flat(when).items()}
        for name in sides["before"]
    }


def _mean_parts(side: Side) -> dict[str, float]:
    """Means over answers of the hidden utility and of its parts."""
    flat = [parts_of_one for group in side.utilities for parts_of_one in group]
    parts = {name: sum(getattr(parts_of_one, name) for parts_of_one in flat) / len(flat) for name in asdict(flat[0])}
    return {"total": sum(parts_of_one.total for parts_of_one in flat) / len(flat), **parts}


def sample_pairs(
    base: Side, aligned: Side, references: Mapping[str, Sequence[str]], *, hidden_utility: bool, seed: int
) -> list[dict[str, Any]]:
    """For prompts that the seed chooses, the first answer of each side: nobody chose what is shown."""
    chosen = sorted(random.Random(seed).sample(range(len(base.prompts)), min(SAMPLES, len(base.prompts))))
    return [_pair(i, base, aligned, references, hidden_utility) for i in chosen]


def _pair(
    i: int, base: Side, aligned: Side, references: Mapping[str, Sequence[str]], hidden_utility: bool
) -> dict[str, Any]:
    pair: dict[str, Any] = {"prompt": shown_prompt(base.prompts[i])}
    for name, side in (("base", base), ("aligned", aligned)):
        response = side.answered[i][0].response
        pair |= {name: response.text, f"{name}_finished": response.stop_reason is StopReason.EOS}
        if hidden_utility:
            pair[f"{name}_utility"] = side.utilities[i][0].total
    written = references.get(base.prompts[i].id)
    return {**pair, "reference": written[0]} if written else pair


def shown_prompt(prompt: Prompt) -> str:
    """A single question as it is, a conversation with its speakers."""
    if len(prompt.messages) == 1 and prompt.messages[0].role is Role.USER:
        return prompt.question
    return "\n\n".join(f"{message.role}: {message.content}" for message in prompt.messages)
