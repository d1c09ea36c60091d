"""Wall time of reinforcement learning until four of five comparisons with the base are won, beside TRL's RLOO and GRPO.

Both sides are rewarded with the demo's hidden utility itself, put to scale by the base's answers, and learn from the
demo's training questions: 8 an iteration, 4 answers to each, at most 48 tokens, LoRA of rank 16, learning rate and KL
coefficient of the demo. Plaudit runs as it comes. TRL has adapters in all layers, computes in the dtype that products
are fastest in here, and recomputes nothing; its algorithm is the one of the two that got there sooner with the first
seed. An iteration's answers are compared with 8 of the base's to each question; the mean of three iterations counts. A
side that does not get there in 40 iterations counts with the time of those. Loading is not counted.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import Partial, Row
from bench._peers import SCRIPTS, Process, Side
from bench._workload import ANSWERS, TOKENS, demo_questions, work
from plaudit.progress import say
from plaudit.stages.demo_settings import DemoSettings
from plaudit.train.configs import RlooConfig

SEEDS = (0, 1, 2)
PEER = "trl-1.16.0"
ENOUGH, WINDOW = 0.8, 3
ITERATIONS, QUICK_ITERATIONS = 40, 1
BASE_ANSWERS, QUICK_BASE_ANSWERS = 8, 2


def main(quick: bool) -> list[Row]:
    settings = DemoSettings()
    questions = demo_questions(8 if quick else 112)
    job = work(False, prompts=questions, base=None, seed=0) | {
        "answers": 2 if quick else ANSWERS,
        "max_tokens": 4 if quick else TOKENS,
        "rollout_prompts": 2 if quick else settings.rollout_prompts,
        "base_answers": QUICK_BASE_ANSWERS if quick else BASE_ANSWERS,
        "iterations": QUICK_ITERATIONS if quick else ITERATIONS,
        "learning_rate": settings.learning_rate,
        "beta": RlooConfig().kl_coefficient,
    }
    done: dict[str, Any] = {} if quick else Partial("time-to-wins")
    if "base" not in done:
        done["base"] = run(Side("the base", "plaudit_wins.py", job), 0)[0]
    job["base"] = done["base"]
    peers = ("grpo", "rloo")
    for seed in SEEDS[:1] if quick else SEEDS:
        for algorithm in ("plaudit", *peers):
            if (key := f"{algorithm} {seed}") not in done:
                done[key] = run(side(algorithm, job | {"seed": seed}), job["iterations"])[1]
                say(f"{key}: {summary(done[key])}")
        if seed == SEEDS[0]:
            peers = (sooner({name: done[f"{name} {seed}"] for name in peers}),)
    return rows_of(done, peers[0], SEEDS[:1] if quick else SEEDS)


def side(algorithm: str, job: Mapping[str, Any]) -> Side:
    if algorithm == "plaudit":
        return Side("Plaudit", "plaudit_wins.py", job)
    source = {"PYTHONPATH": str(SCRIPTS.parents[1] / "src")}
    return Side(f"TRL {algorithm}", "trl_wins.py", dict(job) | {"algorithm": algorithm}, PEER, source)


def run(side: Side, iterations: int) -> tuple[Any, list[dict[str, float]]]:
    """What the first turn told, and of each iteration its seconds and its share of wins."""
    told: list[dict[str, float]] = []
    with TemporaryDirectory(prefix="plaudit-bench-") as scratch, Process(side, iterations, Path(scratch)) as process:
        first = process.turn().proof.get("base")
        while len(told) < iterations and not has_won(told):
            turn = process.turn()
            share = turn.proof["won"] / turn.proof["answers"]
            told.append({"seconds": turn.seconds, "share": share})
    return first, told


def has_won(told: Sequence[Mapping[str, float]]) -> bool:
    return len(told) >= WINDOW and won_at_end(told) >= ENOUGH


def won_at_end(told: Sequence[Mapping[str, float]]) -> float:
    return statistics.fmean(each["share"] for each in told[-WINDOW:])


def seconds_of(told: Sequence[Mapping[str, float]]) -> float:
    return sum(each["seconds"] for each in told)


def sooner(told: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Whose iterations got there sooner; where nobody's did, whose took less time."""
    return min(told, key=lambda name: (not has_won(told[name]), seconds_of(told[name])))


def summary(told: Sequence[Mapping[str, float]]) -> str:
    return f"{len(told)} iterations, {seconds_of(told):.0f} s, {won_at_end(told):.2f} won at the end"


def rows_of(done: Mapping[str, Any], peer: str, seeds: Sequence[int]) -> list[Row]:
    rows, ratios = [], []
    for seed in seeds:
        ours, theirs = done[f"plaudit {seed}"], done[f"{peer} {seed}"]
        ratios.append(seconds_of(theirs) / seconds_of(ours))
        named = f"seed {seed} (peer: TRL's {peer.upper()})"
        rows += [
            Row(f"until {ENOUGH:.0%} are won, {named}", seconds_of(ours), "s", peer=seconds_of(theirs)),
            Row(f"iterations, {named}", len(ours), peer=len(theirs)),
            Row(f"won at the end, {named}", won_at_end(ours), peer=won_at_end(theirs)),
        ]
    for other in {"grpo", "rloo"} - {peer}:
        told = done[f"{other} {seeds[0]}"]
        rows.append(Row(f"TRL's {other.upper()}, seed {seeds[0]}: {summary(told)}", seconds_of(told), "s"))
    faster = statistics.median(ratios)
    return [*rows, Row("times as fast, median of the seeds", faster, "", min(ratios), max(ratios), goal=">= 6")]
