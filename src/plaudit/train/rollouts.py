"""Experience for reinforcement learning: answers of the policy, scored and compared with the reference.

That happens in one place, with one copy of the weights: the layers below the adapters run once, and reference, reward
model, critic and policy each continue from there. Everything random is drawn from (seed, iteration), so a run resumed
from its checkpoint takes the very steps it would have taken.

Shapes: A answers, T tokens of the longest answer in a micro-batch, N answer tokens, B rows, L positions, D hidden size.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from plaudit.errors import require_finite
from plaudit.models.backbone import REFERENCE
from plaudit.models.catalog import LanguageModel
from plaudit.models.chat import encode_prompt
from plaudit.models.logprobs import answer_logprobs
from plaudit.models.packing import Packed, pack
from plaudit.models.reward_model import Scorer
from plaudit.models.sampling import Sampled, as_read, as_response, draw_answers, generator_for
from plaudit.train.configs import RolloutConfig
from plaudit.train.steps import LOWER
from plaudit.types import Prompt, Response, StopReason, seed_for


@dataclass
class Rollout:
    """One micro-batch of experience. All (A, T) fields are 0 where `packed.present_AT` is false."""

    answers: list[Response]
    packed: Packed
    lower_BLD: Tensor  # hidden states below the adapters: shared by all models, never differentiated
    reference_AT: Tensor  # log-probabilities under the reference, nats
    sampled_AT: Tensor  # log-probabilities under the policy that wrote the answers, as it wrote them, nats
    scores_A: Tensor  # reward model's score after clipping and the missing-EOS rule
    raw_scores_A: Tensor  # reward model's score as it came
    reread: int = 0  # answers whose text is read as other tokens than it was written by
    disagreement_A: Tensor | None = None  # of the reward model's members, where it has several

    @property
    def kl_nats_A(self) -> Tensor:
        """Single-sample estimate (k1) of each whole answer's KL from the reference."""
        return (self.sampled_AT - self.reference_AT).sum(1)

    @property
    def is_cut_A(self) -> Tensor:
        """bool: the answer did not end by itself."""
        return torch.tensor([a.stop_reason is not StopReason.EOS for a in self.answers], device=self.scores_A.device)

    @property
    def differs_A(self) -> Tensor:
        """bool: the answers to the same prompt do not all have the same score.

        That of the reward model, not with the KL: two answers are hardly ever equally far from the reference.
        """
        scores_PK = self.scores_A.view(len(self.packed.tokens.ids_BL), -1)
        return (scores_PK != scores_PK[:, :1]).any(1).repeat_interleave(scores_PK.shape[1])

    def token_ids(self) -> list[list[int]]:
        """Of each answer, as the policy wrote it."""
        rows = zip(self.packed.targets_AT.tolist(), self.packed.lengths_A.tolist(), strict=True)
        return [ids[:length] for ids, length in rows]

    def teaching_A(self, skip_equal: bool, mask_cut: bool = False) -> Tensor:
        """bool: the answers that an algorithm without a critic learns from.

        With `skip_equal` none to a prompt whose answers all have the same score (dynamic sampling of DAPO, arXiv
        2503.14476, section 3.2, without drawing others instead). With `mask_cut` none that was cut (overlong filtering,
        section 3.4): its score still counts in what the others are compared with.
        """
        return (self.differs_A | (not skip_equal)) & ~(self.is_cut_A & mask_cut)


def draw_prompts(prompts: Sequence[Prompt], count: int, seed: int, iteration: int) -> list[Prompt]:
    """The prompts of one iteration: every prompt once in each pass through them, in an order that changes by pass."""
    chosen = []
    for position in range(iteration * count, (iteration + 1) * count):
        order = list(range(len(prompts)))
        random.Random(f"{seed}:{position // len(prompts)}").shuffle(order)
        chosen.append(prompts[order[position % len(prompts)]])
    return chosen


def collect(
    model: LanguageModel,
    policy: str,
    scorer: Scorer,
    prompts: Sequence[Prompt],
    config: RolloutConfig,
    seed: int,
    iteration: int,
    reference: str | None = REFERENCE,
) -> list[Rollout]:
    """Sample answers to `prompts` as `policy`, score them, and compare them with `reference`."""
    generator = generator_for(seed_for(seed, "align"), iteration)
    encoded = [encode_prompt(model.tokenizer, p, config.prompt_tokens) for p in prompts]
    drawn = draw_answers(
        model.trunk, encoded, config.answers, config.sampling, model.end_ids, generator, adapter=policy
    )
    parts = [slice(start, start + config.rows) for start in range(0, len(prompts), config.rows)]
    return [score_microbatch(model, scorer, prompts[p], encoded[p], drawn[p], config, reference) for p in parts]


@torch.no_grad()
def score_microbatch(
    model: LanguageModel,
    scorer: Scorer,
    prompts: Sequence[Prompt],
    encoded: Sequence[list[int]],
    drawn: Sequence[Sequence[Sampled]],
    config: RolloutConfig,
    reference: str | None = REFERENCE,
) -> Rollout:
    """One micro-batch of drawn answers: the lower layers once, then reference and reward model from there."""
    backbone = model.trunk
    packed = pack(encoded, [[a.ids for a in group] for group in drawn], dtype=backbone.dtype, device=backbone.device)
    lower_BLD = backbone.lower(packed.tokens)
    reference_AT, _ = answer_logprobs(backbone, reference, lower_BLD, packed, config.temperature)
    sampled_AT = torch.zeros_like(reference_AT)
    logprobs = [logprob for group in drawn for answer in group for logprob in answer.logprobs]
    sampled_AT[packed.present_AT] = torch.tensor(logprobs, device=sampled_AT.device)
    answers = [as_response(model, p, a) for p, group in zip(prompts, drawn, strict=True) for a in group]
    raw_A = scorer.score([p for p in prompts for _ in range(config.answers)], answers, lower_BLD, packed).float()
    spread_A: Tensor | None = getattr(scorer, "disagreement_A", None)
    require_finite(raw_A.tolist(), lambda i: f"The score of an answer to prompt {answers[i].prompt_id}", LOWER)
    reread = reread_answers(model, drawn, answers)
    _score_as_read(model, scorer, prompts, encoded, answers, reread, raw_A)
    cut_A = torch.tensor([r.stop_reason is not StopReason.EOS for r in answers], device=raw_A.device)
    scores_A = raw_A.clamp(-config.score_clip, config.score_clip) - config.unfinished_penalty * cut_A
    rollout = Rollout(answers, packed, lower_BLD, reference_AT, sampled_AT, scores_A, raw_A, len(reread), spread_A)
    kl_nats = rollout.kl_nats_A.tolist()
    require_finite(kl_nats, lambda i: f"The KL of an answer to prompt {answers[i].prompt_id}", LOWER)
    return rollout


def reread_answers(
    model: LanguageModel, drawn: Sequence[Sequence[Sampled]], answers: Sequence[Response]
) -> dict[int, list[int]]:
    """Index of an answer -> the ids that its text is read as, of those that were written by other ids.

    An answer that is cut and has no words is left as it was written: there is nothing to read.
    """
    read = (as_read(model, *both) for both in zip((a for group in drawn for a in group), answers, strict=True))
    return {index: ids for index, (ids, differs) in enumerate(read) if differs and ids}


def _score_as_read(
    model: LanguageModel,
    scorer: Scorer,
    prompts: Sequence[Prompt],
    encoded: Sequence[list[int]],
    answers: Sequence[Response],
    reread: dict[int, list[int]],
    raw_A: Tensor,
) -> None:
    """Put the scores of what people would read into `raw_A`, for the answers that were written otherwise.

    White space at the ends and other segmentations of the same words are a channel that nobody has judged.
    """
    if not reread:
        return
    each = len(answers) // len(prompts)
    rows = {row: [i for i in reread if i // each == row] for row in sorted({i // each for i in reread})}
    texts = [[reread[i] for i in indices] for indices in rows.values()]
    packed = pack([encoded[row] for row in rows], texts, dtype=model.trunk.dtype, device=model.trunk.device)
    order = [i for indices in rows.values() for i in indices]
    asked = [prompts[i // each] for i in order]
    scores = scorer.score(asked, [answers[i] for i in order], model.trunk.lower(packed.tokens), packed)
    require_finite(scores.tolist(), lambda n: f"The score of an answer to prompt {asked[n].id}", LOWER)
    raw_A[torch.tensor(order, device=raw_A.device)] = scores.float()


def sampler_gap(rollouts: Sequence[Rollout], trained_AT: Sequence[Tensor]) -> dict[str, float]:
    """How far the sampler's log-probabilities are from the training forward's, of the same answers and weights.

    `trained_AT`: for each micro-batch the trainer's, (A, T), before the step. In nats of a whole answer: the mean
    distance, and the mean difference (sampler less trainer), by which every KL of these answers is off.
    """
    gaps = torch.cat([(r.sampled_AT - t.detach()).sum(1) for r, t in zip(rollouts, trained_AT, strict=True)])
    return {"sampler_gap_nats": float(gaps.abs().mean()), "sampler_bias_nats": float(gaps.mean())}


def summarise(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """What to log of one iteration's experience. Means over answers; lengths in tokens, KL in nats."""
    answers = [a for r in rollouts for a in r.answers]
    tokens = sum(a.tokens or 0 for a in answers)
    rewards = torch.cat([r.raw_scores_A for r in rollouts])
    each = len(answers) // sum(len(r.packed.tokens.ids_BL) for r in rollouts)
    differing = torch.cat([r.differs_A for r in rollouts]).float()
    repeated = [s for r in rollouts for row in r.token_ids() if (s := repeated_share(row)) is not None]
    spreads = [r.disagreement_A for r in rollouts if r.disagreement_A is not None]
    return {
        "reward_mean": float(rewards.mean()),
        "reward_spread": float(rewards.std(correction=0)),
        "score_mean": float(torch.cat([r.scores_A for r in rollouts]).mean()),
        "kl_nats": float(torch.cat([r.kl_nats_A for r in rollouts]).mean()),
        "finished_share": sum(a.stop_reason is StopReason.EOS for a in answers) / len(answers),
        "length_tokens": tokens / len(answers),
        "reread_share": sum(r.reread for r in rollouts) / len(answers),
        **({"equal_prompts_share": 1 - float(differing.mean())} if each > 1 else {}),
        **({"repeated_4gram_share": sum(repeated) / len(repeated)} if repeated else {}),
        **({"reward_disagreement": float(torch.cat(spreads).mean())} if spreads else {}),
    }


def repeated_share(ids: Sequence[int]) -> float | None:
    """Share of an answer's runs of four tokens that stood in it before (Welleck et al. 2020, arXiv 1908.04319); None
    where it has no such run.
    """
    runs = [tuple(ids[i : i + 4]) for i in range(len(ids) - 3)]
    return 1 - len(set(runs)) / len(runs) if runs else None
