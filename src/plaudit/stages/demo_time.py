"""How large the demo is, and how long it will take on this machine.

The settings are those that its figures in docs/results.md were measured with, and what `--quick` makes of them.
A few seconds of the demo's own work are measured, and the rest is counted. Nearly all of the time goes into three kinds
of work: decode steps, passes over whole rows without a gradient, and passes with one. Each is timed once, on the demo's
model and at a rollout's shapes. What the stages do of each follows from their settings.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plaudit.train.configs import ALGORITHMS
from plaudit.types import Prompt, Sampling

if TYPE_CHECKING:
    from plaudit.models.catalog import LanguageModel

PROMPTS, ANSWERS, STEPS = 8, 4, 5  # 32 rows are decoded
ROWS = PROMPTS * ANSWERS
PACKED_PROMPTS, PACKED_TOKENS = 2, 24  # of a pass over whole rows, with ANSWERS to each prompt
WRITTEN = 0.85  # of the tokens that answers may have: those that end early leave
ADAPTER = "demo_time"


@dataclass(frozen=True)
class DemoSettings:
    """What the demo's figures in docs/results.md were measured with, with the defaults of each stage."""

    every: int = 1  # of the project's prompts, one in so many is used
    answers: int = 4  # to each prompt, for the panel
    max_tokens: int = 48
    # The base finishes one answer in thirty within 48 tokens. Half of what the panel ranks is asked to be short, so
    # that there are finished answers to prefer; nobody sees the hint, and the policy is aligned and tested without it.
    hint: str = "Answer in one short sentence."
    hinted: int = 2
    temperature: float = 1.0  # of all sampling
    annotators: int = 13
    overlap: int = 5
    reward_epochs: int = 2
    iterations: int = 32
    learning_rate: float = 8e-4  # at 5e-4 three seeds of fp32 had not got far enough; at 1e-3 one was at 10.5 nats
    rollout_prompts: int = 8
    rollout_answers: int = 4
    evaluate_answers: int = 4
    people_tasks: int = 24  # that a person is asked to rank with --people; a quarter of them on held-out prompts


QUICK = DemoSettings(every=8, max_tokens=16, iterations=2, rollout_prompts=2, evaluate_answers=2, people_tasks=4)


@dataclass(frozen=True)
class Pace:
    """Seconds that this machine takes."""

    step: float  # one token for each of ROWS answers
    forward: float  # one position through all layers, answers' positions through the head
    learn: float  # one position forward and backward through the adapted layers and the head


def measure_pace(model: LanguageModel, prompts: Sequence[Prompt]) -> Pace:
    """Time each kind of work on answers to some of `prompts`; takes seconds and leaves the model as it was."""
    import torch

    from plaudit.models.chat import encode_prompt
    from plaudit.models.logprobs import answer_logprobs
    from plaudit.models.lora import LoraSettings
    from plaudit.models.packing import pack
    from plaudit.models.runtime import release
    from plaudit.models.sampling import draw_answers

    trunk = model.trunk
    encoded = [encode_prompt(model.tokenizer, prompt) for prompt in (list(prompts) * PROMPTS)[:PROMPTS]]
    trunk.add_adapter(ADAPTER, LoraSettings(), seed=0)
    try:
        times: list[float] = []
        draw_answers(
            trunk, encoded, ANSWERS, Sampling(STEPS), (), torch.Generator().manual_seed(0), adapter=ADAPTER,
            on_token=lambda rows: times.append(time.perf_counter()),
        )  # fmt: skip
        answers = [[[*range(3, 3 + PACKED_TOKENS)]] * ANSWERS] * PACKED_PROMPTS
        packed = pack(encoded[:PACKED_PROMPTS], answers, dtype=trunk.dtype, device=trunk.device)

        def forward() -> None:
            with torch.no_grad():
                answer_logprobs(trunk, None, trunk.lower(packed.tokens), packed, 1.0)

        lower = trunk.lower(packed.tokens)

        def learn() -> None:
            answer_logprobs(trunk, ADAPTER, lower, packed, 1.0)[0].sum().backward()

        positions = packed.tokens.ids_BL.numel()
        step = min(after - before for before, after in itertools.pairwise(times))
        return Pace(step, _shortest(forward) / positions, _shortest(learn) / positions)
    finally:
        trunk.drop_adapter(ADAPTER)
        release()


def _shortest(work: Callable[[], None]) -> float:
    """Seconds of the faster of two runs: the first one prepares kernels."""
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def stage_seconds(
    pace: Pace, settings: DemoSettings, algorithm: str, model: LanguageModel, prompts: Sequence[Prompt], held_out: int
) -> dict[str, float]:
    """What each stage of the demo will take, where `held_out` of `prompts` are held out."""
    from plaudit.models.chat import encode_prompt
    from plaudit.models.reward_model import default_depth

    s, trunk = settings, model.trunk
    prompt_tokens = sum(len(encode_prompt(model.tokenizer, prompt)) for prompt in prompts) / len(
        prompts
    )  # tokens, the mean
    layers, depth = len(trunk.layers), default_depth(trunk)
    judging = (depth - trunk.split) / layers * pace.forward  # the reward model's own layers

    def decode(count: float, answers: int) -> float:
        return count * answers / ROWS * s.max_tokens * WRITTEN * pace.step

    def positions(count: float, answers: int) -> float:
        return count * (prompt_tokens + answers * s.max_tokens * WRITTEN)

    learning = len(prompts) - held_out
    passes = s.reward_epochs * (depth - trunk.split) / (layers - trunk.split) * pace.learn
    rollout = positions(s.rollout_prompts, s.rollout_answers)
    critic = (depth - trunk.split) / (layers - trunk.split) * pace.learn if ALGORITHMS[algorithm].has_critic else 0.0
    learn = ALGORITHMS[algorithm].config().passes * (pace.learn + critic)
    iteration = decode(s.rollout_prompts, s.rollout_answers) + rollout * (pace.forward + judging + learn)
    return {
        "sample": decode(len(prompts), s.answers) + len(prompts) * prompt_tokens * pace.forward,
        "reward": positions(learning, s.answers) * (depth / layers * pace.forward + judging + passes)
        + positions(held_out, s.answers) * depth / layers * pace.forward,
        "align": s.iterations * iteration,
        "evaluate": 2 * decode(held_out, s.evaluate_answers)
        + positions(held_out, s.evaluate_answers) * (3.5 * pace.forward),
    }
