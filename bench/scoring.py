"""Answers a second that a reward model scores, beside transformers' pipeline, and that are read, beside CTranslate2.

The answers are of 16 to 96 words, four to each of the demo's questions, as in an evaluation. Plaudit runs as it comes
(a prompt is read once for all its answers, the reward two thirds of the way up) and at the pipeline's settings (every
answer with its own prompt, the reward after the last layer). The text-classification pipeline has its texts sorted by
length, and computes in the dtype that products are fastest in. CTranslate2 knows no rewards: it gives the
log-probabilities of the same answers, in fp32 and with int8 weights, as Plaudit's reference does for the KL. Both peers
have the batch size that is fastest here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bench import Row
from bench._peers import Measured, Side, against, alternate, cache_folder, side_rows
from bench._workload import fastest_dtype, model_folder, work
from bench.reward_training import questions
from plaudit.models.processor import ONLY_AVX2

SEEDS = (0,)
TURNS, QUICK_TURNS = 5, 1
PROMPTS, QUICK_PROMPTS, ANSWERS = 32, 2, 4
BATCHES, QUICK_BATCHES = (4, 8, 16, 32, 64), (4, 8)
SAME_NATS = 0.1  # a token: the most that the same weights' log-probabilities may differ by between two programs


def main(quick: bool) -> list[Row]:
    asked = questions(QUICK_PROMPTS if quick else PROMPTS, ANSWERS)
    job, turns = work(quick, asked=asked, batches=QUICK_BATCHES if quick else BATCHES), QUICK_TURNS if quick else TURNS
    return _scored(job, turns) + _read(job, turns)


def _scored(job: dict[str, Any], turns: int) -> list[Row]:
    each = [item | {"answers": [answer], "pairs": []} for item in job["asked"] for answer in item["answers"]]
    job = job | {"what": "score"}
    sides = [
        Side("Plaudit, scores", "plaudit_reward.py", job | {"dtype": "auto"}),
        Side("Plaudit at its peer's settings, scores", "plaudit_reward.py", job | {"asked": each, "depth": 30}),
        Side(f"transformers pipeline in {fastest_dtype()}, scores", "hf_pipeline.py", job, "trl-1.16.0"),
    ]
    ours, same, theirs = measured = alternate(sides, turns)
    for side in measured:
        side.require("different scores", lambda proof: proof["different"] > len(each) / 2)
    batch = Row("the pipeline's batch size", theirs.proof("batch"))
    return [*_rates(measured, len(each)), *against(ours, theirs, ">= 2"), *against(same, theirs), batch]


def _read(job: dict[str, Any], turns: int) -> list[Row]:
    job = job | {"what": "read", "folder": str(cache_folder() / "ctranslate2" / Path(model_folder()).name)}
    restricted = all(os.environ.get(name) == value for name, value in ONLY_AVX2.items())
    isa = {"CT2_FORCE_CPU_ISA": "AVX2"} if restricted else {}
    sides = [Side("Plaudit, log-probabilities", "plaudit_reward.py", job | {"dtype": "auto"})]
    for compute in ("float32", "int8"):
        name = f"CTranslate2 in {compute}, log-probabilities"
        sides.append(Side(name, "ct2_logprobs.py", job | {"compute": compute}, "ctranslate2", isa))
    ours, exact, rounded = measured = alternate(sides, turns)
    exact.require("log-probabilities", lambda proof: abs(proof["nats"] - ours.proof("nats")) < SAME_NATS)
    answers = sum(len(item["answers"]) for item in job["asked"])
    rows = [*_rates(measured, answers), *against(ours, exact), *against(ours, rounded)]
    return rows + [Row(f"{side.name}: nats a token", side.proof("nats")) for side in measured]


def _rates(measured: list[Measured], answers: int) -> list[Row]:
    for side in measured:
        side.require(f"{answers} answers", lambda proof: proof["answers"] == answers)
    return [row for side in measured for row in side_rows(side, answers, "answers/s")]
