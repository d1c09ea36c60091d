"""Scores of a folder as TRL's trainers have them of `reward_funcs`: their own path, to the numbers they learn from.

Reads {folder, policy, conversations} from standard input and prints GRPOTrainer's scores as JSON; RLOOTrainer's are the
same, or this fails.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer


def main() -> None:
    job = json.load(sys.stdin)
    scores = scores_in(GRPOTrainer, GRPOConfig, job)
    torch.testing.assert_close(scores_in(RLOOTrainer, RLOOConfig, job), scores)
    print(json.dumps(scores.tolist()))


def scores_in(trainer_class: Any, config_class: Any, job: dict[str, Any]) -> torch.Tensor:
    prompts = [turns[:-1] for turns in job["conversations"]]
    completions = [turns[-1:] for turns in job["conversations"]]
    config = config_class(
        "out", num_generations=2, per_device_train_batch_size=2, report_to="none", use_cpu=True, bf16=False,
        trust_remote_code=True,
    )  # fmt: skip
    data = Dataset.from_dict({"prompt": prompts})
    trainer = trainer_class(model=job["policy"], reward_funcs=[job["folder"]], args=config, train_dataset=data)
    inputs = [{"prompt": prompt} for prompt in prompts]
    rewards: torch.Tensor = trainer._calculate_rewards(inputs, prompts, completions, [[0]] * len(prompts))
    return rewards[:, 0]


if __name__ == "__main__":
    main()
