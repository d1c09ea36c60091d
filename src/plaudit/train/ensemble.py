"""Train a reward model of one member or of several, on preferences, and say in odds what its scores mean.

Members share all that the frozen trunk makes of the answers. They differ by seed and by a bootstrap of the prompts:
each draws as many as there are, with replacement, and a prompt counts as often as it was drawn (Breiman 1996; of reward
models Coste et al. 2023, arXiv 2310.02743, differ by seed alone, but a head that is fitted to its minimum has none).

Where it is asked for, a share of the training prompts is set aside by hash. They choose the best weights
(`fine_tuning`) and a temperature (Guo et al. 2017): what is held out has no part in it. It is off by default: a head
whose ridge is cross-validated says true odds already, and a tenth fewer prompts cost it more than that.

The length residual takes off each score what it owes to the answer's length: the regression, through the origin, of the
margins of the training pairs on the differences in length. ODIN (Chen et al. 2024, arXiv 2402.07319) trains a second
head that is to take up the length, with a penalty on correlations in the batch. The regression needs no coefficient,
leaves training as it is, and what is left is uncorrelated with length exactly, if only on those pairs and linearly.

Shapes: M members, A answers, N pairs.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from plaudit.errors import require_finite
from plaudit.models.catalog import LanguageModel
from plaudit.models.reward_ensemble import RewardEnsemble, adapter_of, average
from plaudit.models.reward_model import RewardModel
from plaudit.models.runtime import release
from plaudit.progress import say
from plaudit.stats.calibration import fit_temperature
from plaudit.train.configs import RewardConfig
from plaudit.train.fine_tuning import LogMetrics, Row, fine_tune, margins, steps_of
from plaudit.train.reward import Batch, Group, read_answers, settle_said, start_head, untrained_reward
from plaudit.train.steps import LOWER
from plaudit.types import Split, seed_for

FEWEST_VALIDATION = 30  # prompts with a winner: fewer say too little to give them away
VALIDATION_SALT = 1  # of the split; the held-out side is split off by another
TEMPERATURE_SPREAD = 0.25  # of log T before any pair is seen


def set_aside(groups: Sequence[Group], share: float) -> tuple[list[Group], list[Group]]:
    """(to train on, to validate by), by the hash of a conversation's opening. Too few to validate by are none."""
    aside = [g for g in groups if g.prompt.split(share, salt=VALIDATION_SALT) is Split.HELDOUT]
    if sum(any(not p.is_tie for p in group.preferences) for group in aside) < FEWEST_VALIDATION:
        return list(groups), []
    chosen = {group.prompt.id for group in aside}
    return [group for group in groups if group.prompt.id not in chosen], aside


def train_reward(
    model: LanguageModel,
    batches: Sequence[Batch],
    config: RewardConfig,
    seed: int,
    adapter: str = "reward",
    validation: Sequence[Batch] = (),
    log: LogMetrics = lambda _: None,
    checkpoint: Path | None = None,
) -> tuple[RewardModel, list[Row]]:
    """Fit a reward model to the preferences in `batches`; returns it, normalised over their answers, and the curve.

    `validation`: batches of other prompts. Training goes on where the folder `checkpoint` has got to, as long as the
    preferences are those of then.
    """
    seeds = [seed if config.members == 1 else seed_for(seed, f"member {n}") for n in range(1, config.members + 1)]
    members = [untrained_reward(model, config, s, adapter_of(adapter, n)) for n, s in enumerate(seeds, 1)]
    read_answers(members[0], [*batches, *validation], config)
    drawn = [batches if config.members == 1 else bootstrap(batches, s) for s in seeds]
    for member, its in zip(members, drawn, strict=True):
        start_head(member, its, config)
    for batch in (*batches, *validation, *(batch for its in drawn for batch in its)):
        batch.features_AF = None
    release()
    place = _place_of(checkpoint, [*batches, *validation]) if checkpoint else None
    rows, curve = 1 + len(steps_of(batches, config, seed)), list[Row]()
    for number, (member, its) in enumerate(zip(members, drawn, strict=True), 1):
        for batch in validation:
            batch.objective = its[0].objective
        its_log = log if config.members == 1 else _numbered(log, number, rows * (number - 1))
        its_place = place / f"member-{number}" if place else None
        curve += fine_tune(member, its, config, seeds[number - 1], validation, its_log, its_place)
    reward = members[0] if config.members == 1 else RewardEnsemble(members)
    if config.average:
        reward = average(reward, adapter)
    for batch in batches:
        batch.objective = drawn[0][0].objective
    settle(reward, batches, validation, length_residual=config.length_residual)
    return reward, curve


def bootstrap(batches: Sequence[Batch], seed: int) -> list[Batch]:
    """The batches, in which a prompt counts as often as it is drawn of all, with replacement; maybe not at all."""
    total = sum(len(batch.packed.tokens.ids_BL) for batch in batches)
    counts = [0] * total
    for row in random.Random(seed_for(seed, "bootstrap of the prompts")).choices(range(total), k=total):
        counts[row] += 1
    drawn, before = [], 0
    for batch in batches:
        rows = len(batch.packed.tokens.ids_BL)
        count_B = torch.tensor(counts[before : before + rows], device=batch.weight_N.device)
        drawn.append(batch.reweighed(count_B))
        before += rows
    return drawn


def _numbered(log: LogMetrics, member: int, before: int) -> LogMetrics:
    """Log the rows as those of a member, behind the rows of the members before it."""
    return lambda row: log({"member": member, **row, "step": before + row["step"]})


def _place_of(checkpoint: Path, batches: Sequence[Batch]) -> Path:
    """Where in the folder the checkpoints for these batches are. What is of other preferences is removed.

    Feedback is read anew when a run is resumed. Weights that were on the way to other preferences are no part of these.
    """
    digest = hashlib.sha256()
    for batch in batches:
        own = [value for name, value in sorted(vars(batch).items()) if name not in ("lower_BLD", "features_AF")]
        said = [value for term in batch.terms for _, value in sorted(vars(term).items())]
        for tensor in (batch.packed.tokens.ids_BL, *(value for value in (*own, *said) if isinstance(value, Tensor))):
            digest.update(tensor.cpu().numpy().tobytes())
    place = checkpoint / digest.hexdigest()[:16]
    if checkpoint.exists() and not place.exists():
        say("There are other preferences to learn from than the checkpoint was made with: training begins again.")
        shutil.rmtree(checkpoint)
    return place


@torch.no_grad()
def settle(
    reward: RewardModel, batches: Sequence[Batch], validation: Sequence[Batch], *, length_residual: bool
) -> None:
    """Set the scale of the scores by all training answers, and by the validation's pairs what they mean in odds."""
    raw_MA = torch.cat([_raw(reward, batch) for batch in batches], 1)
    require_finite(raw_MA.mean(0).tolist(), lambda i: f"The reward model's score of answer {i + 1}", LOWER)
    slope = length_slope(raw_MA.mean(0), batches) if length_residual else 0.0
    raw_MA = raw_MA - slope * torch.cat([batch.packed.lengths_A for batch in batches])
    spread = max(1e-6, float(raw_MA.mean(0).std()))
    members = reward.members
    for member, mean in zip(members, raw_MA.mean(1).tolist(), strict=True):
        member.settings = replace(member.settings, mean=mean, std=spread, length_slope=slope)
    said = settle_said(replace(members[0].settings, mean=float(raw_MA.mean())), raw_MA.mean(0), batches)
    for member in members:
        member.settings = replace(member.settings, tie=said.tie, threshold=said.threshold)
    reward.settings = members[0].settings
    if validation:
        temperature = fitted_temperature(reward, validation)
        for member in (*reward.members, reward):
            member.settings = replace(member.settings, temperature=temperature)


def _raw(reward: RewardModel, batch: Batch) -> Tensor:
    """(M, A) scores before any scale."""
    lower_BLD = batch.hidden(reward.trunk)
    release()
    return torch.stack([member.raw(lower_BLD, batch.packed) for member in reward.members])


def length_slope(raw_A: Tensor, batches: Sequence[Batch]) -> float:
    """What a token of length is worth in the margins of the pairs: least squares through the origin, nats a token."""
    sizes = [len(batch.packed.lengths_A) for batch in batches]
    margin_N, _, weight_N = margins(raw_A.split(sizes), batches)
    length_N, _, _ = margins([batch.packed.lengths_A for batch in batches], batches)
    among = float((weight_N * length_N.square()).sum())
    return float((weight_N * length_N * margin_N).sum()) / among if among > 0 else 0.0


def fitted_temperature(reward: RewardModel, validation: Sequence[Batch]) -> float:
    """By what differences of raw scores are to be divided to be log-odds, as the validation's pairs have it."""
    scores = [reward.combine(reward.normalised(batch.hidden(reward.trunk), batch.packed)) for batch in validation]
    margin_N, probability_N, weight_N = margins(scores, validation)
    nats_N = margin_N * reward.settings.std
    return fit_temperature(nats_N.tolist(), probability_N.tolist(), weight_N.tolist(), TEMPERATURE_SPREAD)
