"""Sampling answers: one prefill a prompt shared by all its answers, then a decode loop with no wasted row or copy.

Only the temperature shapes the distribution. Top-k and top-p cut off tokens that the trained policy still gives
probability to, which biases every ratio that reinforcement learning computes (TRL #6789), so they are not offered.

Many prompts are drawn in chunks of similar length. Which prompts are together depends on nothing but them and how they
are drawn, and a chunk's random numbers on nothing but the seed and its number, so that drawing can stop between any two
and go on as if it had not.

Shapes: R rows (answers being written), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from plaudit.models.backbone import Backbone
from plaudit.models.catalog import LanguageModel
from plaudit.models.chat import encode_answer, encode_prompt
from plaudit.models.decoding import prefill
from plaudit.models.runtime import release
from plaudit.types import Drawing, Prompt, Response, Sampling, StopReason

CHUNK_PROMPTS = 32  # more at once is hardly faster
CHUNK_POSITIONS = 16_384  # that keys and values are kept for: 0.4 GB with SmolLM2-135M in bf16


@dataclass(frozen=True)
class Sampled:
    """One answer as the model wrote it."""

    ids: tuple[int, ...]  # with the end token where it finished
    logprobs: tuple[float, ...]  # of each token under the tempered distribution that it was drawn from, nats
    stop_reason: StopReason


def generator_for(seed: int, number: int) -> torch.Generator:
    """The random numbers of one chunk of a run, or of one iteration: of (seed, number) alone."""
    return torch.Generator().manual_seed(seed * 1_000_003 + number)


def draw_tokens(logits_RV: Tensor, temperature: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One token a row from softmax(logits / temperature) by inverting the cumulative distribution, and its probability.

    On CPU this takes a twentieth of `torch.multinomial`'s time for 49,152 tokens.
    """
    probabilities_RV = (logits_RV.float() / temperature).softmax(-1)
    # In fp32 a sum over 49,152 tokens loses up to 1e-4 of the mass, all of it of rare tokens.
    cumulative_RV = probabilities_RV.cumsum(-1, dtype=torch.float64)
    u_R1 = torch.rand(len(logits_RV), 1, generator=generator, dtype=torch.float64).to(cumulative_RV.device)
    # Scaled by the last entry, which rounding leaves a little off 1; a zero-probability tail is never reached.
    places_R1 = torch.searchsorted(cumulative_RV, u_R1 * cumulative_RV[:, -1:], right=True)
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
    on_token: Callable[[int], None] = lambda rows: None,
) -> list[list[Sampled]]:
    """Draw `answers` answers to each of `prompts` (token ids) with the adapter, all at once.

    `on_token(rows)` is told after each step how many answers are still being written. Same arguments and the same
    state of `generator` give the same answers.
    """
    with trunk.merged(adapter):
        drawn = _decode(trunk, prompts, answers, sampling, set(end_ids), generator, on_token)
    release()
    return drawn


def _decode(
    trunk: Backbone,
    prompts: Sequence[Sequence[int]],
    answers: int,
    sampling: Sampling,
    ends: set[int],
    generator: torch.Generator,
    on_token: Callable[[int], None],
) -> list[list[Sampled]]:
    decoding, logits_RV = prefill(trunk, prompts, sampling.max_tokens)
    copies = torch.arange(len(prompts)).repeat_interleave(answers)
    decoding.take(copies)
    logits_RV = logits_RV[copies]
    written: list[list[int]] = [[] for _ in copies]
    logprobs: list[list[float]] = [[] for _ in copies]
    finished = [False] * len(copies)
    rows = list(range(len(copies)))  # which answer each row of the batch is writing
    for step in range(sampling.max_tokens):
        tokens_R, probabilities_R = draw_tokens(logits_RV, sampling.temperature, generator)
        for row, token, logprob in zip(rows, tokens_R.tolist(), probabilities_R.log().tolist(), strict=True):
            written[row].append(token)
            logprobs[row].append(logprob)
            finished[row] = token in ends
        on_token(len(rows))
        keep = torch.tensor([i for i, row in enumerate(rows) if not finished[row]], dtype=torch.long)
        if len(keep) == 0 or step + 1 == sampling.max_tokens:
            break
        if len(keep) < len(rows):
            rows = [rows[i] for i in keep]
            decoding.take(keep)
            tokens_R = tokens_R[keep]
        logits_RV = decoding.step(tokens_R)
    reasons = [StopReason.EOS if done else StopReason.LENGTH for done in finished]
    flat = [Sampled(tuple(i), tuple(p), reason) for i, p, reason in zip(written, logprobs, reasons, strict=True)]
    return [flat[i : i + answers] for i in range(0, len(flat), answers)]


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
