"""Plaudit's RLOO or PPO: an iteration of the job's prompts and answers, by the product's own loop.

Every answer has exactly the job's tokens: the end of an answer is forbidden. The reward model is an untrained one,
which computes what a trained one does.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from turns import Turns, copies, distance

from plaudit.models.catalog import LanguageModel, load
from plaudit.models.chat import encode_prompt
from plaudit.train.configs import PpoConfig, RewardConfig, RlooConfig, RolloutConfig
from plaudit.train.loop import reinforce
from plaudit.train.ppo import Ppo
from plaudit.train.reward import untrained_reward
from plaudit.train.rloo import Rloo
from plaudit.types import Prompt

ALGORITHMS = {"rloo": (Rloo, RlooConfig, {}), "ppo": (Ppo, PpoConfig, {"epochs": 1, "critic_warmup": 0})}
turns = Turns()


def main() -> None:
    job = turns.job
    model = load(job["model"], split=job.get("split"), dtype=job["dtype"], threads=job["threads"])
    forbidden = [] if model.trunk.head.forbidden is None else model.trunk.head.forbidden.tolist()
    model.trunk.head.forbid({*forbidden, *model.end_ids})
    prompts = [Prompt.from_text(text) for text in job["prompts"]]
    scorer = untrained_reward(model, RewardConfig(depth=job.get("depth")), seed=0)
    if few := job.get("warm_up_prompts"):  # for a process that has one turn
        run(model, scorer, prompts[:few], 1, "warm-up", lambda tensors, figures: None)
        model.trunk.drop_adapter("warm-up")
    at_first: dict = {}
    asked = sum(len(encode_prompt(model.tokenizer, prompt)) for prompt in prompts)

    def log(tensors: dict, figures: dict[str, float]) -> None:
        turns.stop()
        tokens = round(figures["length_tokens"] * len(prompts) * job["answers"])
        assert math.isfinite(figures["policy_loss"])
        turns.report(
            tokens=tokens, positions=asked + tokens, loss=figures["policy_loss"], dtype=model.arithmetic.dtype,
            moved=distance(at_first, tensors), update_seconds=figures["seconds"] - figures["sample_seconds"],
            adapted=model.trunk.depth - model.trunk.split, kl_nats=figures["kl_nats"],
        )  # fmt: skip
        turns.begin()

    turns.begin()
    run(model, scorer, prompts, sys.maxsize, "policy", log, at_first)


def run(model: LanguageModel, scorer, prompts, iterations, policy, log, at_first=None) -> None:
    job = turns.job
    learner_class, config_class, others = ALGORITHMS[job["algorithm"]]
    rollout = RolloutConfig(prompts=len(prompts), answers=job["answers"], max_tokens=job["max_tokens"])
    config = config_class(iterations=iterations, learning_rate=5e-4, rollout=rollout, **others)
    learner = learner_class(model, scorer, config, 0, policy)
    if at_first is not None:
        at_first |= copies(learner.tensors)
    folder = Path(job["scratch"]) / policy
    folder.mkdir()
    reinforce(model, learner, scorer, prompts, 0, folder, lambda figures: log(learner.tensors, figures))


main()
