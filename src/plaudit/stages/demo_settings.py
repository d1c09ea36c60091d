"""How large the demo is: the settings that its figures in docs/results.md were measured with, and `--quick`'s."""

from __future__ import annotations

from dataclasses import dataclass


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
    # Half of the steps at twice the rate: as many wins at less KL, in half the time (docs/decisions/0014).
    iterations: int = 16
    learning_rate: float = 1.5e-3
    rollout_prompts: int = 8
    rollout_answers: int = 4
    evaluate_answers: int = 4
    people_tasks: int = 24  # that a person is asked to rank with --people; a quarter of them on held-out prompts


PPO = DemoSettings(iterations=24, learning_rate=8e-4)  # two passes over each iteration's answers move further
QUICK = DemoSettings(every=8, max_tokens=16, iterations=2, rollout_prompts=2, evaluate_answers=2, people_tasks=4)
