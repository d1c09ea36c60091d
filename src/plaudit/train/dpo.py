"""Stage three from the preferences themselves: direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290).

A policy says by its log-probabilities what it would be rewarded for: β · log π(answer) / reference(answer), up to a
constant of the prompt (eq. 5). So Bradley–Terry, the reward model's loss, is fitted to the policy itself, and nothing
is drawn. Answers of one prompt share their row, and the reference's log-probabilities are computed once, from the
layers below the adapters, which all share.

The probability that a preference has is its label: 0.5 for a tie, and with one vote in four against, 0.75, which is
what cDPO (Mitchell 2023) has for labels that are wrong so often. IPO (Azar et al. 2023, arXiv 2310.12036) draws the
difference to 1/(2β) instead of without end.

Departures: pairs weigh as they do for the reward model (`train.reward`). IPO's log-ratios are means over an answer's
tokens, as its authors advise and TRL has it: a sum would hold long answers to another margin than short ones.

Shapes: A answers of a micro-batch, N pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from plaudit.models.backbone import REFERENCE
from plaudit.models.catalog import LanguageModel
from plaudit.models.logprobs import whole_answer_logprobs
from plaudit.models.runtime import release
from plaudit.progress import bar
from plaudit.train.configs import DpoConfig
from plaudit.train.fine_tuning import steps_of
from plaudit.train.losses import bradley_terry_loss, identity_preference_loss
from plaudit.train.reward import Batch, Group, make_batches, read_lower
from plaudit.train.steps import finite_loss, new_policy


@dataclass
class Pairs:
    """A micro-batch of preferences, and what the reference makes of its answers."""

    batch: Batch
    reference_A: Tensor  # log-probabilities of whole answers, nats


class Dpo:
    """See `plaudit.train.passes.DirectObjective`."""

    stated: ClassVar[dict[str, float]] = {}

    def __init__(self, model: LanguageModel, config: DpoConfig, seed: int, policy: str = "policy") -> None:
        self.model, self.backbone, self.config, self.policy = model, model.trunk, config, policy
        self.name = config.loss.upper()
        self.tensors = new_policy(self.backbone, policy, config, seed)

    def read(self, groups: Sequence[Group], reference: str | None, most: int | None = None) -> list[Pairs]:
        """See `DirectObjective`."""
        return self.compare(make_batches(self.model, groups, self.config, most=most), reference)

    @torch.no_grad()
    def compare(self, batches: Sequence[Batch], reference: str | None = REFERENCE) -> list[Pairs]:
        """The batches with what does not change while the policy learns: the lower layers' output and the reference."""
        pairs = []
        with bar("Reading the answers", len(batches), "batches") as progress:
            for batch, lower_BLD in read_lower(self.backbone, batches, self.config.keep_mb):
                pairs.append(Pairs(batch, whole_answer_logprobs(self.backbone, reference, lower_BLD, batch.packed)))
                progress.advance()
                release()
        return pairs

    def steps(self, pairs: Sequence[Pairs], seed: int) -> list[list[Pairs]]:
        """See `DirectObjective`."""
        of_batch = {id(it.batch): it for it in pairs}
        steps = steps_of([it.batch for it in pairs], self.config, seed)
        return [[of_batch[id(batch)] for batch in step] for step in steps]

    def ratios(self, pairs: Pairs) -> Tensor:
        """(A,) log-ratios of whole answers, policy less reference, in nats; differentiable."""
        lower_BLD = pairs.batch.hidden(self.backbone)
        return whole_answer_logprobs(self.backbone, self.policy, lower_BLD, pairs.batch.packed) - pairs.reference_A

    def accumulate(self, step: Sequence[Pairs]) -> dict[str, float]:
        """See `Objective`."""
        total = sum(float(pairs.batch.weight_N.sum()) for pairs in step)
        figures = dict.fromkeys(("loss", "accuracy", "margin", "chosen_nats", "rejected_nats"), 0.0)
        for pairs in step:
            share = float(pairs.batch.weight_N.sum()) / total
            ratio_A = self.ratios(pairs)
            part = self.loss(ratio_A, pairs.batch) * share
            finite_loss(part, "the policy")
            part.backward()
            said = {"loss": float(part.detach()) / share, **self.describe(ratio_A.detach(), pairs.batch)}
            figures = {name: figures[name] + share * said[name] for name in figures}
        return figures

    def loss(self, ratio_A: Tensor, batch: Batch) -> Tensor:
        """Of log-ratios (policy less reference) of whole answers: a weighted mean over the pairs."""
        if self.config.loss == "ipo":
            ratio_A = ratio_A / batch.packed.lengths_A
        difference_N = ratio_A[batch.first_N] - ratio_A[batch.second_N]
        if self.config.loss == "ipo":
            return identity_preference_loss(difference_N, batch.probability_N, batch.weight_N, self.config.beta)
        return bradley_terry_loss(self.config.beta * difference_N, batch.probability_N, batch.weight_N)

    def describe(self, ratio_A: Tensor, batch: Batch) -> dict[str, float]:
        """Weighted means over pairs: how often the preferred answer has the larger log-ratio (a tie counts half), by
        how many log-odds, and what became of the log-probabilities of preferred answers and of the others, in nats.
        """
        sign_N = torch.sign(batch.probability_N - 0.5)
        difference_N = ratio_A[batch.first_N] - ratio_A[batch.second_N]
        first_is_chosen_N = sign_N >= 0
        chosen_N = torch.where(first_is_chosen_N, ratio_A[batch.first_N], ratio_A[batch.second_N])
        rejected_N = torch.where(first_is_chosen_N, ratio_A[batch.second_N], ratio_A[batch.first_N])
        right_N = 0.5 + 0.5 * torch.sign(difference_N) * sign_N
        values = {"accuracy": right_N, "margin": self.config.beta * difference_N * sign_N}
        values |= {"chosen_nats": chosen_N, "rejected_nats": rejected_N}
        weight_N = batch.weight_N / batch.weight_N.sum()
        return {name: float((value_N * weight_N).sum()) for name, value_N in values.items()}

    @torch.no_grad()
    def told_right(self, read: Sequence[Pairs]) -> tuple[list[float], list[str]]:
        """See `DirectObjective`: of each decided pair whether the preferred answer has the larger log-ratio."""
        right: list[float] = []
        prompts: list[str] = []
        for number, it in enumerate(read):
            batch, ratio_A = it.batch, self.ratios(it)
            decided_N = batch.probability_N != 0.5
            difference_N = ratio_A[batch.first_N] - ratio_A[batch.second_N]
            right_N = 0.5 + 0.5 * torch.sign(difference_N) * torch.sign(batch.probability_N - 0.5)
            right += right_N[decided_N].tolist()
            prompts += [f"{number}:{row}" for row in batch.row_N[decided_N].tolist()]
        return right, prompts
