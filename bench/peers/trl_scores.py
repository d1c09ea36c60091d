"""Scores of a folder as TRL's GRPOTrainer has them of `reward_funcs`: its own path, to the numbers it learns from.

Reads {folder, policy, conversations} from standard input and prints the scores as JSON.
"""

from __future__ import annotations

import json
import sys

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer


def main() -> None:
    job = json.load(sys.stdin)
    prompts = [turns[:-1] for turns in job["conversations"]]
    completions = [turns[-1:] for turns in job["conversations"]]
    config = GRPOConfig(
        "out", num_generations=2, per_device_train_batch_size=2, report_to="none", use_cpu=True, bf16=False,
        trust_remote_code=True,
    )  # fmt: skip
    trainer = GRPOTrainer(job["policy"], [job["folder"]], config, Dataset.from_dict({"prompt": prompts}))
    inputs = [{"prompt": prompt} for prompt in prompts]
    rewards = trainer._calculate_rewards(inputs, prompts, completions, [[0]] * len(prompts))
    print(json.dumps(rewards[:, 0].tolist()))


if __name__ == "__main__":
    main()
