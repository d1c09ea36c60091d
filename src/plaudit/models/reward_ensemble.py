"""Several reward models on the one trunk: an adapter and a head each, of which the lower layers are shared.

A policy finds what one reward model overrates. Members that saw other prompts and began elsewhere overrate other
things, so their disagreement says where a score cannot be trusted (Coste et al. 2023, arXiv 2310.02743; Eisenstein et
al. 2023, arXiv 2312.09244, who also show that what all members get wrong stays wrong).

Departures: Coste et al. subtract the variance times λ, here it is the standard deviation, which has the score's unit;
their members are whole models, trained on the same pairs.

Shapes: M members, A answers; B rows, L positions, D hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Literal

import torch
from torch import Tensor

from plaudit.models.backbone import Backbone
from plaudit.models.lora import LoraSettings
from plaudit.models.packing import Packed
from plaudit.models.reward_model import RewardModel, ScalarHead
from plaudit.types import Prompt, Response

Combination = Literal["mean", "minimum", "lower"]


class RewardEnsemble(RewardModel):
    """A reward model of several. Where one network is needed, as for a critic to start from, its first member is it."""

    def __init__(
        self, members: Sequence[RewardModel], combination: Combination = "mean", lower_by: float = 1.0
    ) -> None:
        """`lower_by`: λ, how many standard deviations of the members `lower` stays below their mean."""
        first = members[0]
        super().__init__(first.trunk, first.adapter, first.head, first.settings)
        self._members, self.combination, self.lower_by = tuple(members), combination, lower_by
        self.disagreement_A: Tensor | None = None  # of the answers that `score` saw last

    @property
    def members(self) -> Sequence[RewardModel]:
        return self._members

    def combine(self, scores_MA: Tensor) -> Tensor:
        """(A,): by the members' mean, their minimum, or their mean less λ standard deviations."""
        if self.combination == "minimum":
            return scores_MA.amin(0)
        mean_A = scores_MA.mean(0)
        return mean_A if self.combination == "mean" else mean_A - self.lower_by * disagreement(scores_MA)

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Response], lower_BLD: Tensor, packed: Packed
    ) -> Tensor:
        """See `Scorer`. How far the members disagree is then in `disagreement_A`."""
        scores_MA = self.normalised(lower_BLD, packed)
        self.disagreement_A = disagreement(scores_MA)
        return self.combine(scores_MA)

    def save(self, folder: Path, base_model: str) -> None:
        """The first member as a single reward model is saved, the others below it."""
        for member, place in zip(self.members, _places(folder, len(self.members)), strict=True):
            RewardModel.save(member, place, base_model)


def disagreement(scores_MA: Tensor) -> Tensor:
    """(A,): standard deviation over the members, in units of the score."""
    return scores_MA.std(0, correction=0)


def load_reward(
    trunk: Backbone,
    folder: Path,
    adapter: str = "reward",
    combination: Combination = "mean",
    lower_by: float = 1.0,
) -> RewardModel:
    """A saved reward model, of one member or of several. UsageError as `RewardModel.load`."""
    count = 1 + len(list(folder.glob("member-*")))
    members = [
        RewardModel.load(trunk, place, adapter_of(adapter, number))
        for number, place in enumerate(_places(folder, count), 1)
    ]
    return members[0] if count == 1 else RewardEnsemble(members, combination, lower_by)


def mean_of(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Response id -> mean of the members' scores."""
    return {id_: fmean(of_member[id_] for of_member in scores) for id_ in scores[0]}


def spread_of(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Response id -> standard deviation of the members' scores."""
    return {id_: pstdev(of_member[id_] for of_member in scores) for id_ in scores[0]}


def adapter_of(adapter: str, member: int) -> str:
    """The name of a member's adapter; of the first, counted from 1, it is that of a single reward model."""
    return adapter if member == 1 else f"{adapter} {member}"


def _places(folder: Path, count: int) -> list[Path]:
    return [folder, *(folder / f"member-{number}" for number in range(2, count + 1))]


@torch.no_grad()
def average(ensemble: RewardModel, adapter: str) -> RewardModel:
    """One reward model of the members' mean weights, in place of them (WARM, Ramé et al. 2024, arXiv 2401.12187).

    The mean of updates B_m A_m is itself an update: of the A_m one below the other and the B_m / M side by side, at M
    times the rank. The mean of A_m and that of B_m would be another.
    """
    trunk, members = ensemble.trunk, ensemble.members
    lora, names, depth = trunk.adapters[ensemble.adapter], [m.adapter for m in members], ensemble.settings.depth
    parts = [trunk.adapter_parameters(name) for name in names]
    stacked = {
        path: torch.cat([p[path] for p in parts], 0)
        if path.endswith("lora_A")
        else torch.cat([p[path] / len(parts) for p in parts], 1)
        for path in parts[0]
    }
    head = ScalarHead(trunk.hidden_size, seed=0).to(trunk.device)
    head.weight.copy_(torch.stack([m.head.weight for m in members]).mean(0))
    head.bias.copy_(torch.stack([m.head.bias for m in members]).mean(0))
    for name in names:
        trunk.drop_adapter(name)
    wide = LoraSettings(len(members) * lora.rank, len(members) * lora.alpha)
    trunk.add_adapter(adapter, wide, seed=0, depth=depth)
    for path, parameter in trunk.adapter_parameters(adapter).items():
        parameter.copy_(stacked[path])
    return RewardModel(trunk, adapter, head, ensemble.settings)
