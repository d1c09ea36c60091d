"""An iteration of RLOO beside TRL's: 8 prompts, 4 answers to each, 48 tokens, LoRA of rank 16 on SmolLM2-135M.

Plaudit runs as it comes (adapters in the upper half of the layers, the reward read two thirds of the way up), and at
TRL's settings (adapters in all layers, the reward read after the last). TRL runs in the dtype that products are fastest
in here, recomputes nothing, and has a reward model of the policy's size. All take turns in one run; every answer has
exactly 48 tokens. A share of the roofline is what the matrix products alone take, timed in the same run, over what the
update took.
"""

from __future__ import annotations

from bench import Row
from bench._peers import Measured, Side, against, alternate, side_rows
from bench._workload import (
    LEARNED_ROWS,
    fastest_dtype,
    floor_of_update,
    has_bf16_units,
    roofline,
    work,
)

SEEDS = (0,)
TURNS, QUICK_TURNS = 5, 1
PEER = "trl-1.16.0"
MEMORY = "<= 0.35"


def main(quick: bool) -> list[Row]:
    return compare("rloo", Side(f"TRL 1.16 RLOO in {fastest_dtype()}", "trl_rloo.py", {"rows": 8}, PEER), quick, MEMORY)


def compare(algorithm: str, peer: Side, quick: bool, memory: str) -> list[Row]:
    """An algorithm of Plaudit's beside a peer's, whose job is what the work has besides."""
    job = work(quick, algorithm=algorithm)
    sides = [
        Side("Plaudit", "plaudit_align.py", job | {"dtype": "auto"}),
        Side("Plaudit at its peer's settings", "plaudit_align.py", job | {"split": 0, "depth": 30}),
        Side(peer.name, peer.script, job | dict(peer.job), peer.environment),
        roofline([], LEARNED_ROWS),
    ]
    *measured, products = alternate(sides, QUICK_TURNS if quick else TURNS)
    tokens = len(job["prompts"]) * job["answers"] * job["max_tokens"]
    for side in measured:
        side.require(f"{tokens} tokens drawn", lambda proof: proof["tokens"] == tokens)
        side.require("weights moved", lambda proof: proof["moved"] > 0)
    ours, same, theirs = measured
    rows = [row for side in measured for row in side_rows(side)]
    rows += against(ours, theirs, ">= 6" if has_bf16_units() else ">= 4", memory) + against(same, theirs)
    if algorithm == "rloo":  # an update of PPO has a critic's products besides
        rows += [_share(side, products) for side in (ours, same)]
    rows += [Row(f"{side.name}: tokens drawn, each turn", tokens) for side in measured]
    return [
        *rows,
        *(Row(f"{side.name}: weights moved in all (L2)", side.turns[-1].proof["moved"]) for side in measured),
    ]


def _share(side: Measured, products: Measured) -> Row:
    floor, took = floor_of_update(products, side), side.proof("update_seconds")
    return Row(f"{side.name}: update, share of the roofline", floor / took, goal=">= 0.6")
