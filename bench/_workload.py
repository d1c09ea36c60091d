"""The work that sides of a comparison share: the embedded model's weights, eight questions, LoRA of rank 16.

Every answer has exactly so many tokens: its end is forbidden, so that no side has less to do. What the arithmetic of it
takes at least is counted from matrix products that are timed in the same run, in the form of torch's that is fastest.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import plaudit.feedback.simulated
from bench._peers import Measured, Side
from plaudit.models.processor import usable_cores

QUESTIONS = ("How do I make tea?", "Why is the sky blue?", "Give me a tip for saving money.",
             "Write a short poem about rain.", "What should I cook tonight?", "Explain gravity to a child.",
             "How can I sleep better?", "Name three facts about cats.")  # fmt: skip
ANSWERS, TOKENS = 4, 48
QUICK = {"prompts": list(QUESTIONS[:2]), "answers": 2, "max_tokens": 4}  # enough to see that a side works
LEARNED_ROWS = 512  # of a product in an update: a micro-batch is about so many tokens
ASK = """
import json
from plaudit.models.embedded import embedded_model
from plaudit.models.arithmetic import choose_arithmetic
from plaudit.models.runtime import tune
import torch
tune()
print(json.dumps([str(embedded_model()), choose_arithmetic("auto", torch.device("cpu")).dtype]))
"""


@cache
def _asked() -> tuple[str, str]:
    """The embedded model's folder, and the fastest dtype here: by a process that loads torch, as this one must not."""
    done = subprocess.run([sys.executable, "-c", ASK], check=True, stdout=subprocess.PIPE, text=True)
    folder, dtype = json.loads(done.stdout.splitlines()[-1])
    return folder, dtype


def model_folder() -> str:
    return _asked()[0]


def fastest_dtype() -> str:
    """`bf16` or `fp32`: what products of a decode step's shapes are fastest in, for Plaudit and for its peers."""
    return _asked()[1]


def has_bf16_units() -> bool:
    return fastest_dtype() == "bf16"


def work(quick: bool, **others: Any) -> dict[str, Any]:
    """The job that all sides have."""
    questions = list(QUESTIONS)
    job = {"model": model_folder(), "threads": usable_cores(), "prompts": questions, "answers": ANSWERS}
    return job | {"max_tokens": TOKENS, "dtype": fastest_dtype()} | others | (QUICK if quick else {})


def demo_questions(count: int) -> list[str]:
    """The first questions of the demo."""
    file = Path(plaudit.feedback.simulated.__file__).with_name("everyday_prompts.jsonl")
    lines = file.read_text(encoding="utf-8").splitlines()
    assert count <= len(lines)
    return [json.loads(line)["prompt"] for line in lines[:count]]


def roofline(step_rows: list[int], learned_rows: int | None = None) -> Side:
    """Matrix products of the model's shapes, as fast as this machine computes them."""
    config = json.loads((Path(model_folder()) / "config.json").read_text(encoding="utf-8"))
    job = {
        "hidden": config["hidden_size"],
        "inner": config["intermediate_size"],
        "layers": config["num_hidden_layers"],
        "attention": config["head_dim"] * (config["num_attention_heads"] + 2 * config["num_key_value_heads"]),
        "vocabulary": config["vocab_size"],
        "dtype": fastest_dtype(),
        "threads": usable_cores(),
        "step_rows": step_rows,
        "learn_rows": learned_rows,
    }
    return Side("matrix products", "roofline.py", job)


def floor_of_update(products: Measured, side: Measured) -> float:
    """Seconds that the products of an update take at least: forward and backward through the adapted layers and the
    head, of real tokens alone. Nothing is recomputed, no adapter and no attention is counted.
    """
    learned = [turn.proof["learned_seconds"] for turn in products.turns]
    layer, head = (min(seconds[part] for seconds in learned) for part in ("layer", "head"))
    return side.proof("positions") * side.proof("adapted") * layer + side.proof("tokens") * head


def floor_of_step(products: Measured, rows: int) -> float:
    """Seconds that the products of a decode step of so many rows take at least."""
    return min(turn.proof["step_seconds"][str(rows)] for turn in products.turns)
