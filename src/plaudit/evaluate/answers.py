"""Answers to held-out prompts, from the base or from the policy, with their rewards and their KL from the base."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from plaudit.errors import require_finite
from plaudit.evaluate.comparison import Answered, Side
from plaudit.models.catalog import LanguageModel
from plaudit.models.logprobs import answer_logprobs
from plaudit.models.packing import pack
from plaudit.models.reward_model import Scorer
from plaudit.models.runtime import release
from plaudit.models.sampling import Chunk, Sampled, as_response, draw_answers
from plaudit.progress import Bar
from plaudit.types import Drawing, Prompt, Response

ROWS = 4  # prompts, with all their answers, in one micro-batch of the measuring pass


@torch.no_grad()
def answer(
    model: LanguageModel,
    adapter: str | None,
    scorer: Scorer | None,
    parts: Sequence[Chunk],
    drawing: Drawing,
    seed: int,
    progress: Bar,
) -> Side:
    """One side's answers, scored where there is a scorer, and with their KL from the base where there is an adapter."""
    answered: list[list[Answered]] = []
    for part in parts:
        n, generator = drawing.answers, part.generator(seed)
        drawn = draw_answers(model.trunk, part.encoded, n, drawing.sampling, model.end_ids, generator, adapter=adapter)
        for first in range(0, len(part.prompts), ROWS):
            rows = slice(first, first + ROWS)
            answered += _measure(model, adapter, scorer, part.prompts[rows], part.encoded[rows], drawn[rows], drawing)
            progress.advance(len(part.prompts[rows]))
    return Side([prompt for part in parts for prompt in part.prompts], answered)


def best_of_each(side: Side, n: int) -> Side:
    """Of every `n` answers to a prompt the one with the highest reward, as a policy that is given.

    Its KL from the one that wrote them is taken to be log n − (n − 1)/n, which is an upper bound (Beirami et al. 2024,
    arXiv 2401.01879).
    """
    if n == 1:
        return side
    further = math.log(n) - (n - 1) / n
    groups = [[group[i : i + n] for i in range(0, len(group), n)] for group in side.answered]
    best = [[max(some, key=_reward) for some in parts] for parts in groups]
    return Side(side.prompts, [[replace(a, kl_nats=a.kl_nats + further) for a in group] for group in best])


def _reward(answer: Answered) -> float:
    assert answer.reward is not None, "the best of several is found by a reward model"
    return answer.reward


def _measure(
    model: LanguageModel,
    adapter: str | None,
    scorer: Scorer | None,
    prompts: Sequence[Prompt],
    encoded: Sequence[list[int]],
    drawn: Sequence[Sequence[Sampled]],
    drawing: Drawing,
) -> list[list[Answered]]:
    """One micro-batch: the lower layers once; reward model, reference and policy go on from there."""
    trunk = model.trunk
    packed = pack(encoded, [[a.ids for a in group] for group in drawn], dtype=trunk.dtype, device=trunk.device)
    lower = trunk.lower(packed.tokens)
    responses = [as_response(model, p, a) for p, group in zip(prompts, drawn, strict=True) for a in group]
    each = [p for p in prompts for _ in range(drawing.answers)]
    rewards = scorer.score(each, responses, lower, packed).tolist() if scorer else []
    kl_nats = torch.zeros(len(responses))
    if adapter is not None:
        temperature = drawing.sampling.temperature
        mine, base = (answer_logprobs(trunk, name, lower, packed, temperature)[0] for name in (adapter, None))
        release()
        kl_nats = (mine - base).sum(1)
    for what, values in (("score", rewards), ("KL", kl_nats.tolist())):
        require_finite(
            values, partial(_named, what, responses), "nothing can be compared by it; look at the run's training"
        )
    scores = rewards if scorer else [None] * len(responses)
    flat = [Answered(*row) for row in zip(responses, scores, kl_nats.tolist(), strict=True)]
    return [flat[i : i + drawing.answers] for i in range(0, len(flat), drawing.answers)]


def _named(what: str, responses: Sequence[Response], i: int) -> str:
    return f"The {what} of an answer to prompt {responses[i].prompt_id}"
