"""Whether an exported reward model scores as it does in Plaudit: in transformers, in TRL's GRPOTrainer, in rewardbench.

The embedded model with an adapter and a head of random weights, so that whatever is left out is seen, is written as
`plaudit export --what reward` writes it. TRL reads the folder as `reward_funcs`, rewardbench by its command, each in an
environment of its own. A figure is the largest difference from Plaudit's score, in standard deviations of the score.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch

from bench import Row
from bench._peers import OFFLINE, SCRIPTS, environment
from plaudit.errors import PlauditError
from plaudit.models.catalog import load
from plaudit.models.external_reward import ExternalReward
from plaudit.models.lora import LoraSettings
from plaudit.models.reward_export import export_reward
from plaudit.models.reward_model import RewardModel, ScalarHead, ScoreSettings, default_depth
from plaudit.models.trunk import Trunk
from plaudit.types import Message, Prompt, Response, Role, StopReason

SEEDS = (0,)
PEERS = ("trl-1.16.0", "rewardbench-0.1.4")
GOAL = "<= 0.0001"
ASKED = (
    Prompt.from_text("How do I make tea?"),
    Prompt((Message(Role.USER, "Tea?"), Message(Role.ASSISTANT, "Wait."), Message(Role.USER, "And then?"))),
)
SAID = ("Boil the water.", "I do not know, but water is a start.", "Wait a little. " * 12)


def main(quick: bool) -> list[Row]:
    model = load("smollm2", dtype="fp32")
    reward = random_reward(model.trunk, default_depth(model.trunk))
    groups = [(prompt, [Response(prompt.id, text, StopReason.EOS) for text in SAID]) for prompt in ASKED]
    expected = list(reward.score_texts(model, groups).values())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "reward"
        export_reward(model, reward, folder, "A reward model.\n")
        pairs = [(prompt, answer) for prompt, answers in groups for answer in answers]
        external = ExternalReward.load(str(folder), "fp32")
        found = {"Plaudit, as a reward model from elsewhere": external.raw(*zip(*pairs, strict=True)).tolist()}
        for peer in PEERS[: 1 if quick else None]:
            found[peer] = scores_in(peer, folder, conversations(pairs), Path(scratch))
    return [Row(f"{name}: largest difference", _off(scores, expected), goal=GOAL) for name, scores in found.items()]


def random_reward(trunk: Trunk, depth: int, answer_tokens: int = 256) -> RewardModel:
    """A reward model whose adapter and head are random."""
    trunk.add_adapter("reward", LoraSettings(), seed=0, depth=depth)
    generator = torch.Generator().manual_seed(1)
    for parameter in trunk.adapter_parameters("reward").values():
        parameter.data = torch.randn(parameter.shape, generator=generator) / parameter.shape[-1] ** 0.5
    settings = ScoreSettings(depth, answer_tokens=answer_tokens, mean=0.4, std=0.7)
    return RewardModel(trunk, "reward", ScalarHead(trunk.hidden_size, seed=2), settings)


def conversations(pairs: list[tuple[Prompt, Response]]) -> list[list[dict[str, str]]]:
    """Each answer behind its prompt, as messages."""
    return [
        [*({"role": str(m.role), "content": m.content} for m in p.messages), {"role": "assistant", "content": a.text}]
        for p, a in pairs
    ]


def scores_in(peer: str, folder: Path, turns: list[list[dict[str, str]]], scratch: Path) -> list[float]:
    """Scores as the peer's program has them. PlauditError where it fails."""
    policy = make_tiny_policy(scratch / "policy")
    job = {"folder": str(folder), "policy": str(policy), "conversations": turns}
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    variables |= OFFLINE | {"HF_HOME": str(scratch / "hf"), "WANDB_MODE": "disabled"}
    script = SCRIPTS / f"{peer.partition('-')[0]}_scores.py"
    done = subprocess.run(
        [environment(peer), script], input=json.dumps(job), cwd=scratch, capture_output=True, text=True, env=variables,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise PlauditError(f"{peer} gave no scores: {done.stderr[-2000:]}")
    scores: list[float] = json.loads(done.stdout.splitlines()[-1])
    return scores


def make_tiny_policy(folder: Path) -> Path:
    """A trainer wants a model to train, whatever it is."""
    from tests.tiny_model import make_tiny_model

    return folder if folder.exists() else make_tiny_model(folder)


def _off(scores: Any, expected: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(scores, expected, strict=True))
