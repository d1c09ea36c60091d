"""Stage three from thumbs up and down: Kahneman–Tversky optimisation (Ethayarajh et al. 2024, arXiv 2402.01306).

Answers are judged one by one, so nobody has to compare any. What an answer is worth is its log-ratio r, policy to
reference, as for DPO. A good one is to lie above a reference point z, a bad one below, and the value of both flattens
out far from it, as people's sense of gains and losses does (eq. 7 and 8, in `losses.kto_loss`).

z is how far the policy is from the reference, max(0, KL), estimated in each step from answers that are read behind
another prompt than theirs (section 4.1). Nothing is learned through it.

Departures: good and bad answers weigh alike together, however many there are of each; λ_D and λ_U follow from
`good_to_bad` and the number of thumbs, with a mean of 1. Mismatched answers are those of the next prompt in the order
of length, so that they cost no more than the others; the order is the same in each epoch, so the reference reads them
once, too. Where several people judged an answer, each of their verdicts is a term, weighed as they are.

Shapes: A answers, N verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from plaudit.errors import UsageError
from plaudit.models.catalog import LanguageModel
from plaudit.models.logprobs import whole_answer_logprobs
from plaudit.models.packing import microbatches
from plaudit.models.reward_model import EncodedGroup, encode_group
from plaudit.models.runtime import release
from plaudit.progress import bar
from plaudit.train.configs import KtoConfig, RewardConfig
from plaudit.train.fine_tuning import steps_of
from plaudit.train.losses import kto_loss
from plaudit.train.reward import TOKENS_AT_ONCE, Batch, Group, make_batch, read_lower
from plaudit.train.said import Verdicts
from plaudit.train.steps import finite_loss, new_policy

VERDICTS = RewardConfig(all_bad="threshold", threshold_weight=1.0)  # what a batch has to know of its answers


@dataclass
class Thumbs:
    """A micro-batch of answers that were judged one by one, and what the reference makes of them."""

    batch: Batch
    mismatched: Batch  # the same prompts, each with another one's answers
    reference_A: Tensor  # log-probabilities of whole answers, nats
    mismatched_reference_A: Tensor

    @property
    def verdicts(self) -> Verdicts:
        (verdicts,) = self.batch.terms
        assert isinstance(verdicts, Verdicts)
        return verdicts


class Kto:
    """See `plaudit.train.passes.DirectObjective`."""

    name = "KTO"

    def __init__(self, model: LanguageModel, config: KtoConfig, seed: int, policy: str = "policy") -> None:
        self.model, self.backbone, self.config, self.policy = model, model.trunk, config, policy
        self.tensors = new_policy(self.backbone, policy, config, seed)
        self.good_weight = self.bad_weight = 1.0  # λ_D and λ_U

    @property
    def stated(self) -> dict[str, float]:
        """See `DirectObjective`."""
        return {"good_weight": self.good_weight, "bad_weight": self.bad_weight}

    @torch.no_grad()
    def read(self, groups: Sequence[Group], reference: str | None, most: int | None = None) -> list[Thumbs]:
        """See `DirectObjective`."""
        batches = self.batches(groups, most)
        logprobs = []
        with bar("Reading the answers", 2 * len(batches), "batches") as progress:
            every = [batch for pair in batches for batch in pair]
            for batch, lower_BLD in read_lower(self.backbone, every, self.config.keep_mb):
                logprobs.append(whole_answer_logprobs(self.backbone, reference, lower_BLD, batch.packed))
                progress.advance()
                release()
        return [Thumbs(*pair, *logprobs[2 * i : 2 * i + 2]) for i, pair in enumerate(batches)]

    def batches(self, groups: Sequence[Group], most: int | None = None) -> list[tuple[Batch, Batch]]:
        """The answers behind their prompts, and behind others', in micro-batches of at most `most` prompts."""
        if len(groups) < 2:
            raise UsageError("KTO reads each answer behind another prompt, too, so it needs thumbs on two or more.")
        encoded = [encode_group(self.model, g.prompt, g.answers, self.config) for g in groups]
        parts = microbatches([e.tokens for e in encoded], TOKENS_AT_ONCE, most)
        order = [i for indices in parts for i in indices]
        following = dict(zip(order, [*order[1:], order[0]], strict=True))
        return [
            (
                make_batch(self.backbone, [groups[i] for i in indices], [encoded[i] for i in indices], VERDICTS),
                make_batch(
                    self.backbone, [], [EncodedGroup(encoded[i].prompt, encoded[following[i]].answers) for i in indices]
                ),
            )
            for indices in parts
        ]

    def steps(self, read: Sequence[Thumbs], seed: int) -> list[list[Thumbs]]:
        """See `DirectObjective`. What good and bad answers weigh is settled by how many there are."""
        good = sum(float((it.verdicts.weight * it.verdicts.acceptable).sum()) for it in read)
        bad = sum(float((it.verdicts.weight * (1 - it.verdicts.acceptable)).sum()) for it in read)
        self.good_weight, self.bad_weight = class_weights(good, bad, self.config.good_to_bad)
        of_batch = {id(it.batch): it for it in read}
        steps = steps_of([it.batch for it in read], self.config, seed)
        return [[of_batch[id(batch)] for batch in step] for step in steps]

    def ratios(self, thumbs: Thumbs) -> Tensor:
        """(A,) log-ratios of whole answers, policy less reference, in nats; differentiable."""
        lower_BLD = thumbs.batch.hidden(self.backbone)
        return whole_answer_logprobs(self.backbone, self.policy, lower_BLD, thumbs.batch.packed) - thumbs.reference_A

    @torch.no_grad()
    def reference_point(self, step: Sequence[Thumbs]) -> float:
        """z: the mean log-ratio of the mismatched answers, in nats, or 0 where it is below."""
        total, count = 0.0, 0
        for it in step:
            lower_BLD = it.mismatched.hidden(self.backbone)
            now_A = whole_answer_logprobs(self.backbone, self.policy, lower_BLD, it.mismatched.packed)
            total += float((now_A - it.mismatched_reference_A).sum())
            count += len(now_A)
            release()
        return max(0.0, total / count)

    def accumulate(self, step: Sequence[Thumbs]) -> dict[str, float]:
        """See `Objective`."""
        point, total, loss = self.reference_point(step), sum(it.batch.weight for it in step), 0.0
        ratios = []
        for it in step:
            ratio_A = self.ratios(it)
            part = self.loss(ratio_A, it.verdicts, point) * (it.batch.weight / total)
            loss += finite_loss(part, "the policy")
            part.backward()
            ratios.append(ratio_A.detach()[it.verdicts.answer])
        return {"loss": loss, "reference_point_nats": point, **describe(torch.cat(ratios), step, point)}

    def loss(self, ratio_A: Tensor, said: Verdicts, point: float) -> Tensor:
        """Of log-ratios of whole answers: a weighted mean over the verdicts."""
        weights = self.config.beta, self.good_weight, self.bad_weight
        return kto_loss(ratio_A[said.answer], point, said.acceptable, said.weight, *weights)

    @torch.no_grad()
    def told_right(self, read: Sequence[Thumbs]) -> tuple[list[float], list[str]]:
        """See `DirectObjective`: of each verdict whether the log-ratio is above z for a good answer, or below for a
        bad one. z is that of all the answers together.
        """
        point = self.reference_point(read)
        right: list[float] = []
        prompts: list[str] = []
        for number, it in enumerate(read):
            right += agreement(self.ratios(it)[it.verdicts.answer], it.verdicts.acceptable, point).tolist()
            prompts += [f"{number}:{row}" for row in it.verdicts.prompt.tolist()]
        return right, prompts


def class_weights(good: float, bad: float, good_to_bad: float) -> tuple[float, float]:
    """λ_D and λ_U with λ_D · good = `good_to_bad` · λ_U · bad, and 1 as the mean over all."""
    of_good = good_to_bad / (1 + good_to_bad)
    return (good + bad) * of_good / good, (good + bad) * (1 - of_good) / bad


def agreement(ratio_N: Tensor, good_N: Tensor, point: float) -> Tensor:
    """(N,) 1 where a good answer is above the point, or a bad one below; 0.5 where it is there."""
    return 0.5 + torch.sign(ratio_N - point) * (good_N - 0.5)


def describe(ratio_N: Tensor, step: Sequence[Thumbs], point: float) -> dict[str, float]:
    """How often verdicts are agreed with, and the mean log-ratios of good and of bad answers, in nats; weighted means.

    A step without any good answers says nothing about those.
    """
    good_N = torch.cat([it.verdicts.acceptable for it in step])
    weight_N = torch.cat([it.verdicts.weight for it in step])

    def mean(values_N: Tensor, part_N: Tensor) -> float:
        return float((values_N * part_N).sum() / part_N.sum())

    figures = {"accuracy": mean(agreement(ratio_N, good_N, point), weight_N)}
    for name, part_N in (("chosen_nats", weight_N * good_N), ("rejected_nats", weight_N * (1 - good_N))):
        if part_N.sum() > 0:
            figures[name] = mean(ratio_N, part_N)
    return figures
