"""Supervised fine-tuning on what people wrote: the mean negative log-likelihood of the assistant's own tokens.

Every turn of the assistant is learned from, what others say is only read (InstructGPT, arXiv 2203.02155, appendix C.1).
Texts are packed into rows in which none sees another. The mean is over the tokens of a step, not over its texts: a long
answer's token weighs what a short one's does.

Shapes: B rows, L columns, N learned tokens.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from plaudit.models.catalog import LanguageModel
from plaudit.models.runtime import release
from plaudit.models.supervised import Text, fill_rows, pack_texts
from plaudit.train.configs import SftConfig
from plaudit.train.steps import finite_loss, new_policy
from plaudit.types import seed_for

ROW_TOKENS = 512  # of a row; a longer text has a row of its own
TOKENS_AT_ONCE = 1024  # of a micro-batch

MicroBatch = list[list[Text]]  # rows of texts


class Sft:
    """See `plaudit.train.passes.Objective`."""

    name = "SFT"

    def __init__(self, model: LanguageModel, config: SftConfig, seed: int, policy: str = "policy") -> None:
        self.backbone, self.config, self.policy = model.trunk, config, policy
        self.tensors = new_policy(self.backbone, policy, config, seed)

    def accumulate(self, step: Sequence[MicroBatch]) -> dict[str, float]:
        """See `Objective`: `loss` is in nats a learned token."""
        tokens, total = sum(text.tokens for rows in step for row in rows for text in row), 0.0
        for rows in step:
            loss = self.nats(rows, self.policy) / tokens
            total += finite_loss(loss, "the policy")
            loss.backward()
        return {"loss": total, "tokens": tokens}

    def nats(self, rows: MicroBatch, version: str | None) -> Tensor:
        """The negative log-likelihood of all learned tokens of a micro-batch under a version of the model, summed."""
        packed = pack_texts(rows, dtype=self.backbone.dtype, device=self.backbone.device)
        with self.backbone.using(version):
            hidden_BLD = self.backbone.upper(self.backbone.lower(packed.tokens), packed.tokens)
        logprobs_N, _ = self.backbone.token_logprobs(packed.select(hidden_BLD), packed.targets_N)
        return -logprobs_N.sum()

    @torch.no_grad()
    def mean_nats(
        self, texts: Sequence[Text], version: str | None, advance: Callable[[int], None] = lambda n: None
    ) -> float:
        """The negative log-likelihood of a learned token, the mean over all tokens of `texts`."""
        total = 0.0
        for rows in microbatches_of(texts):
            total += float(self.nats(rows, version))
            advance(sum(map(len, rows)))
            release()
        return total / sum(text.tokens for text in texts)


def steps_of(texts: Sequence[Text], config: SftConfig, seed: int) -> list[list[MicroBatch]]:
    """Optimisation steps of about `batch_prompts` texts, in a new order each epoch; an epoch's are of even size."""
    shuffled = random.Random(seed_for(seed, "order of the texts"))
    count = max(1, round(len(texts) / config.batch_prompts))
    steps = []
    for _ in range(config.epochs):
        order = list(texts)
        shuffled.shuffle(order)
        edges = [round(n * len(order) / count) for n in range(count + 1)]
        steps += [microbatches_of(order[start:end]) for start, end in pairwise(edges)]
    return steps


def microbatches_of(texts: Sequence[Text]) -> list[MicroBatch]:
    """The texts in rows, and those in micro-batches of about TOKENS_AT_ONCE tokens, padding among them."""
    groups: list[MicroBatch] = []
    for row in sorted(fill_rows(texts, ROW_TOKENS), key=lambda row: -sum(len(text.ids) for text in row)):
        longest = sum(len(text.ids) for text in groups[-1][0]) if groups else 0  # the first is the longest
        if groups and (len(groups[-1]) + 1) * longest <= TOKENS_AT_ONCE:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups
