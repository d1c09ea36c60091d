"""Sampling answers: one prefill a prompt shared by all its answers, then a decode loop with no wasted row or copy.

Only the temperature shapes the distribution. Top-k and top-p cut off tokens that the trained policy still gives
probability to, which biases every ratio that reinforcement learning computes (TRL #6789), so they are not offered.

Many prompts are drawn in chunks of similar length. Which prompts are together depends on nothing but them and how they
are drawn, and a chunk's random numbers on nothing but the seed and its number, so that drawing can stop between any two
and go on as if it had not.

Tokens stay on the device until all answers are written. A GPU is waited for every few steps only, to see who has
finished: until then those that have write on in vain. On a CPU nobody waits, and a row leaves with its last token.

Shapes: R rows (answers being written), V vocabulary, A answers of the batch, T tokens that an answer may have, S steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from plaudit.models.backbone import Backbone
from plaudit.models.catalog import LanguageModel
from plaudit.models.chat import encode_answer, encode_prompt
from plaudit.models.decoding import fastest_steps, prefill
from plaudit.models.runtime import release
from plaudit.types import Drawing, Prompt, Response, Sampling, StopReason

CHUNK_PROMPTS = 32  # more at once is hardly faster
CHUNK_POSITIONS = 16_384  # that keys and values are kept for: 0.4 GB with SmolLM2-135M in bf16


class Leaving(NamedTuple):
    """When rows that have finished leave the batch."""

    steps: int  # it is asked after so many
    share: float  # of the rows, that must be left at most: a smaller batch is another shape, for a GPU to record anew


LEAVING = {"cpu": Leaving(1, 1.0), "cuda": Leaving(8, 0.5)}


@dataclass(frozen=True)
class Sampled:
    """One answer as the model wrote it."""

    ids: tuple[int, ...]  # with the end token where it finished
    logprobs: tuple[float, ...]  # of each token under the tempered distribution that it was drawn from, nats
    stop_reason: StopReason


def generator_for(seed: int, number: int) -> torch.Generator:
    """The random numbers of one chunk of a run, or of one iteration: of (seed, number) alone."""
    return torch.Generator().manual_seed(seed * 1_000_003 + number)


def draw_uniforms(steps: int, rows: int, generator: torch.Generator) -> Tensor:
    """(S, R) numbers in [0, 1) of a CPU's generator, whatever device computes: a row of the same sequence each step."""
    return torch.rand(steps, rows, generator=generator, dtype=torch.float64)


def draw_tokens(logits_RV: Tensor, temperature: float, uniforms_R: Tensor) -> tuple[Tensor, Tensor]:
    """One token a row from softmax(logits / temperature) by inverting the cumulative distribution, and its probability.

    On CPU this takes a twentieth of `torch.multinomial`'s time for 49,152 tokens.
    """
    probabilities_RV = (logits_RV.float() / temperature).softmax(-1)
    # In fp32 a sum over 49,152 tokens loses up to 1e-4 of the mass, all of it of rare tokens.
    cumulative_RV = probabilities_RV.cumsum(-1, dtype=torch.float64)
    # Scaled by the last entry, which rounding leaves a little off 1; a zero-probability tail is never reached.
    places_R1 = torch.searchsorted(cumulative_RV, uniforms_R[:, None] * cumulative_RV[:, -1:], right=True)
    tokens_R1 = places_R1.clamp_(max=logits_RV.shape[-1] - 1)
    return tokens_R1[:, 0], probabilities_RV.gather(1, tokens_R1)[:, 0]


@torch.no_grad()
def draw_answers(
    trunk: Backbone,
    prompts: Sequence[Sequence[int]],
    answers: int,
    sampling: Sampling,
    end_ids: Sequence[int],
    generator: torch.Generator,
    *,
    adapter: str | None = None,
) -> list[list[Sampled]]:
    """Draw `answers` answers to each of `prompts` (token ids) with the adapter, all at once.

    Same arguments and the same state of `generator` give the same answers.
    """
    with trunk.merged(adapter):
        written = _decode(trunk, prompts, answers, sampling, end_ids, generator)
    release()
    flat = written.answers()
    return [flat[i : i + answers] for i in range(0, len(flat), answers)]


class Written:
    """What has been written, on the device: `answers` brings it over at once."""

    def __init__(self, answers: int, limit: int, ends: Sequence[int], device: torch.device) -> None:
        self.tokens_AT = torch.full((answers, limit), -1, device=device)  # -1: no token yet
        self.logprobs_AT = torch.zeros(answers, limit, device=device)
        self.ends_E = torch.tensor([*ends], dtype=torch.long, device=device)

    def add(self, rows_R: Tensor, step: int, tokens_R: Tensor, probabilities_R: Tensor) -> None:
        """The token of the step, of these answers."""
        self.tokens_AT[rows_R, step] = tokens_R
        self.logprobs_AT[rows_R, step] = probabilities_R.log()

    def unfinished(self, rows_R: Tensor) -> Tensor:
        """Which of these answers have no end yet, by place in `rows_R`. Waits for the device, as nothing else does."""
        return (~self._ended(self.tokens_AT[rows_R]).any(1)).nonzero()[:, 0]

    def _ended(self, tokens: Tensor) -> Tensor:
        return torch.isin(tokens, self.ends_E)

    def answers(self) -> list[Sampled]:
        """Each up to its first end."""
        ended_AT = self._ended(self.tokens_AT)
        finished_A = ended_AT.any(1)
        lengths_A = torch.where(finished_A, ended_AT.int().argmax(1) + 1, ended_AT.shape[1])
        columns = (self.tokens_AT, self.logprobs_AT, lengths_A, finished_A)
        return [
            Sampled(tuple(ids[:n]), tuple(logprobs[:n]), StopReason.EOS if finished else StopReason.LENGTH)
            for ids, logprobs, n, finished in zip(*(column.tolist() for column in columns), strict=True)
        ]


def _decode(
    trunk: Backbone,
    prompts: Sequence[Sequence[int]],
    answers: int,
    sampling: Sampling,
    ends: Sequence[int],
    generator: torch.Generator,
) -> Written:
    device, limit, leaving = trunk.device, sampling.max_tokens, LEAVING[trunk.device.type]
    decoding, logits_RV = prefill(trunk, prompts, limit)
    copies = torch.arange(len(prompts), device=device).repeat_interleave(answers)
    decoding.take(copies)
    batch, logits_RV = fastest_steps(decoding), logits_RV[copies]
    written = Written(len(copies), limit, ends, device)
    rows_R = torch.arange(len(copies), device=device)  # which answer each row of the batch is writing
    tokens_R = rows_R  # of the step before
    for begin in range(0, limit, leaving.steps):
        uniforms_SR = draw_uniforms(min(leaving.steps, limit - begin), len(rows_R), generator).to(device)
        for step, uniforms_R in enumerate(uniforms_SR, begin):
            if step > 0:
                logits_RV = batch.step(tokens_R)
            tokens_R, probabilities_R = draw_tokens(logits_RV, sampling.temperature, uniforms_R)
            written.add(rows_R, step, tokens_R, probabilities_R)
        left = written.unfinished(rows_R)
        if len(left) == 0:
            break
        if len(left) < len(rows_R) and len(left) <= leaving.share * len(rows_R):
            rows_R, tokens_R = rows_R[left], tokens_R[left]
            batch.take(left)
    return written


def as_response(model: LanguageModel, prompt: Prompt, answer: Sampled) -> Response:
    """A sampled answer as text."""
    ids = [i for i in answer.ids if i not in model.end_ids]
    text = model.tokenizer.decode(ids, skip_special_tokens=True)
    return Response(prompt.id, text.strip(), answer.stop_reason, tokens=len(answer.ids))


def as_read(model: LanguageModel, answer: Sampled, response: Response) -> tuple[list[int], bool]:
    """The ids of the answer's text as people, and a reward model that learned from them, read it; and if they differ.

    White space at its ends and other segmentations of the same text are no part of what anybody has judged.
    """
    ids = encode_answer(model.tokenizer, response.text, response.stop_reason)
    written = [*answer.ids]
    if response.stop_reason is StopReason.EOS:
        written[-1] = model.tokenizer.eos_token_id  # there may be several ends, and a text has one
    return ids, ids != written


@dataclass(frozen=True)
class Chunk:
    """Prompts that are drawn together, with their token ids."""

    number: int
    prompts: tuple[Prompt, ...]
    encoded: tuple[list[int], ...]

    def generator(self, seed: int) -> torch.Generator:
        return generator_for(seed, self.number)


def rows_at_once(answers: int, positions: float, prompts: int) -> float:
    """How many answers are drawn at once, of so many to each prompt with so many positions each."""
    return answers * max(1.0, min(CHUNK_PROMPTS, prompts, CHUNK_POSITIONS / (answers * positions)))


def chunks(model: LanguageModel, prompts: Sequence[Prompt], drawing: Drawing) -> list[Chunk]:
    """The prompts in chunks, shortest first."""
    encoded = {prompt.id: encode_prompt(model.tokenizer, prompt, drawing.prompt_tokens) for prompt in prompts}
    groups: list[list[Prompt]] = []
    for prompt in sorted(prompts, key=lambda prompt: (len(encoded[prompt.id]), prompt.id)):
        # Sorted by length, so the newest prompt is the longest of its chunk.
        positions = drawing.answers * (len(encoded[prompt.id]) + drawing.sampling.max_tokens)
        if groups and len(groups[-1]) < CHUNK_PROMPTS and (len(groups[-1]) + 1) * positions <= CHUNK_POSITIONS:
            groups[-1].append(prompt)
        else:
            groups.append([prompt])
    return [Chunk(n, tuple(group), tuple(encoded[p.id] for p in group)) for n, group in enumerate(groups)]
