"""How TRL's trainers take turns: each optimisation step, with the drawing of what it learns from, is one."""

from __future__ import annotations

from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer
from turns import Turns

ALGORITHMS = {"rloo": (RLOOTrainer, RLOOConfig), "grpo": (GRPOTrainer, GRPOConfig)}


class TakingTurns(TrainerCallback):
    """What is told of a turn is up to whoever asks: `on_log` comes behind each step."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def on_step_begin(self, *_, **__):
        self.turns.begin()

    def on_step_end(self, *_, **__):
        self.turns.stop()
