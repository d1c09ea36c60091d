"""The GPU path on a CUDA device: parity with transformers, sampling, an iteration of RLOO and of PPO, beside TRL.

On a Llama of 1.2 billion random weights, in at most five minutes. Parity: log-probabilities of texts of 300 tokens as
answers behind shared prompts (packed), token by token (cached), and by steps of one shape (recorded, on a GPU), against
transformers' own eager forward, of the same weights. Sampling: answers of equal length that no token ends, the median
of three runs, beside `generate`; once more with every kernel started by Python. An iteration draws, scores and learns;
it is the second of two, for the first one prepares kernels. TRL is beside RLOO where it is installed. `--quick` does
all of this with a tiny Llama, on a CPU too; its figures say nothing.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from bench import Row
from bench._random_llama import BILLION, TINY, language_model, random_llama, random_prompts
from bench.model_families import EXACT, alone, cached, packed, texts
from plaudit.errors import UsageError
from plaudit.models import decoding
from plaudit.models.catalog import LanguageModel
from plaudit.models.chat import encode_prompt
from plaudit.models.decoding import FixedSteps
from plaudit.models.lora import LoraSettings
from plaudit.models.runtime import tune
from plaudit.models.sampling import draw_answers
from plaudit.models.trunk import Trunk
from plaudit.runs import peak_memory_mb
from plaudit.train.configs import ALGORITHMS, RewardConfig, RolloutConfig
from plaudit.train.loop import reinforce
from plaudit.train.reward import untrained_reward
from plaudit.types import Sampling

SEEDS = (0,)
ITERATIONS = 2  # of which the last counts
RUNS = 3
WAYS: dict[str, Callable[[Trunk, Tensor], list[Tensor]]] = {
    "packed rows": packed,
    "cached steps": cached,
    "steps of one shape": lambda trunk, ids: cached(trunk, ids, FixedSteps),
}


@dataclass(frozen=True)
class Work:
    """The model, and how much of what it does."""

    sizes: dict[str, int]
    rows: tuple[int, ...]  # of answers that are drawn at once
    prompts: int  # of an iteration, and in each batch of rows at most
    prompt_tokens: int
    answers: int  # to each prompt of an iteration
    tokens: int  # of an answer

    @property
    def rollout(self) -> RolloutConfig:
        return RolloutConfig(prompts=self.prompts, answers=self.answers, max_tokens=self.tokens, rows=4)


WHOLE = Work(BILLION, (32, 128, 512), prompts=32, prompt_tokens=64, answers=4, tokens=128)
QUICK = Work(TINY, (4, 8), prompts=4, prompt_tokens=8, answers=2, tokens=8)


def main(quick: bool) -> list[Row]:
    if not quick and not torch.cuda.is_available():
        raise UsageError("There is no CUDA device here: run it where one is, or see that it works by --quick.")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    work = QUICK if quick else WHOLE
    tune()
    rows = []
    for part in (parity, sampling, iterations):
        for row in part(work, device):
            print(f"{row.what}: {row.value:.4g} {row.unit}", file=sys.stderr, flush=True)
            rows.append(row)
        peak_gb()  # what the part held is gone before the next one
    return rows


def parity(work: Work, device: torch.device) -> Iterator[Row]:
    """How far log-probabilities are from transformers'; for bf16 beside how far its own are from those in fp32."""
    ids, exact = texts(), None
    for dtype, name in ((torch.float32, "fp32"), (torch.bfloat16, "bf16")):
        model = random_llama(work.sizes, dtype, device)
        theirs = alone(model, ids)
        trunk = Trunk(model)
        for way, read in WAYS.items():
            off = [(ours - own[: len(ours)]).abs() for ours, own in zip(read(trunk, ids), theirs, strict=True)]
            if exact is None:
                largest = max(float(each.max()) for each in off)
                yield Row(f"{name}, {way}: log-probability off transformers', largest", largest, "nats",
                          goal=f"<= {EXACT}")  # fmt: skip
            else:
                rounding = [(own - true).abs() for own, true in zip(theirs, exact, strict=True)]
                yield Row(f"{name}, {way}: log-probability off transformers', mean (peer: its own, off fp32)",
                          _mean(off), "nats", peer=_mean(rounding))  # fmt: skip
        exact = theirs


def _mean(parts: list[Tensor]) -> float:
    return float(torch.cat([part.flatten() for part in parts]).mean())


def sampling(work: Work, device: torch.device) -> Iterator[Row]:
    """Tokens a second, by the number of answers drawn at once."""
    model = language_model(work.sizes, device)
    model.trunk.add_adapter("policy", LoraSettings(), seed=0)
    peer = random_llama(work.sizes, torch.bfloat16, device, attention="sdpa")
    for rows in work.rows:
        count = min(work.prompts, rows)
        prompts = random_prompts(count, work.prompt_tokens, work.sizes["vocab_size"])
        encoded = [encode_prompt(model.tokenizer, prompt) for prompt in prompts]

        def draw(encoded: list[list[int]] = encoded, each: int = rows // count) -> Any:
            how, generator = Sampling(work.tokens), torch.Generator().manual_seed(0)
            return draw_answers(model.trunk, encoded, each, how, (), generator, adapter="policy")

        def generate(encoded: list[list[int]] = encoded, each: int = rows // count) -> Any:
            return _generate(peer, encoded, each, work.tokens)

        recorded, generated = (_seconds(drawn) for drawn in (draw, generate))
        with patch.object(decoding, "record", lambda function, example: function):
            started = _seconds(draw)
        tokens = rows * work.tokens
        yield Row(f"sampling, {rows} rows (peer: generate)", tokens / recorded, "tokens/s", peer=tokens / generated)
        yield Row(f"sampling, {rows} rows, nothing recorded (peer: generate)", tokens / started, "tokens/s",
                  peer=tokens / generated)  # fmt: skip


@torch.no_grad()
def _generate(model: Any, encoded: list[list[int]], each: int, tokens: int) -> Any:
    """transformers' own, at once, from the whole distribution."""
    ids = torch.tensor(encoded, device=model.device).repeat_interleave(each, 0)
    return model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=True, top_k=0, top_p=1.0,
                          min_new_tokens=tokens, max_new_tokens=tokens)  # fmt: skip


def _seconds(work: Callable[[], Any]) -> float:
    """The median of RUNS, after one that prepares kernels."""
    taken = []
    for _ in range(1 + RUNS):
        _wait()
        began = time.perf_counter()
        work()
        _wait()
        taken.append(time.perf_counter() - began)
    return median(taken[1:])


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def iterations(work: Work, device: torch.device) -> Iterator[Row]:
    """One of each algorithm: how long, how many tokens a second, how much memory."""
    peer = None
    if find_spec("trl"):
        from bench._trl_rloo import measure

        peer = measure(work, device, ITERATIONS, peak_gb)
    model = language_model(work.sizes, device)
    for name in ("rloo", "ppo"):
        figures, memory = _iterate(model, name, work)
        theirs = peer if name == "rloo" else None
        beside = " (peer: TRL)" if theirs else ""
        seconds, tokens = figures["seconds"], figures["length_tokens"] * work.prompts * work.answers
        yield Row(f"{name.upper()}, an iteration{beside}", seconds, "s", peer=theirs and theirs[0])
        yield Row(f"  of it sampling, {name.upper()}", figures["sample_seconds"], "s")
        yield Row(f"{name.upper()}, answer tokens{beside}", tokens / seconds, "tokens/s",
                  peer=theirs and tokens / theirs[0])  # fmt: skip
        yield Row(f"{name.upper()}, peak memory{beside}", memory, "GB", peer=theirs and theirs[1])
    if peer is None:
        yield Row("TRL here (0: not installed, so nothing is beside RLOO)", 0)


def _iterate(model: LanguageModel, name: str, work: Work) -> tuple[dict[str, float], float]:
    """The figures of the last iteration, and the most memory of all, with what was there before."""
    warmed = {"critic_warmup": 0} if name == "ppo" else {}  # the policy learns from the beginning
    config = replace(ALGORITHMS[name].config(), iterations=ITERATIONS, rollout=work.rollout, **warmed)
    prompts = random_prompts(work.prompts, work.prompt_tokens, work.sizes["vocab_size"])
    figures: list[dict[str, float]] = []
    peak_gb()
    scorer = untrained_reward(model, RewardConfig(), seed=0)
    learner = ALGORITHMS[name].load()(model, scorer, config, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        reinforce(model, learner, scorer, prompts, 0, Path(folder), figures.append)
    for adapter in [*model.trunk.adapters]:
        model.trunk.drop_adapter(adapter)
    return figures[-1], peak_gb()


def peak_gb() -> float:
    """The most that was allocated on the GPU since the last question; of the process, where there is none."""
    gc.collect()  # a trunk refers to itself, a trainer, too
    if not torch.cuda.is_available():
        return peak_memory_mb() / 1e3
    peak = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.reset_peak_memory_stats()
    return peak
