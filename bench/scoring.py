"""Answers a second that a reward model scores, beside the text-classification pipeline of transformers.

The answers are of 16 to 96 words, four to each of the demo's questions, as in an evaluation. Plaudit runs as it comes
(a prompt is read once for all its answers, the reward two thirds of the way up) and at the pipeline's settings (every
answer with its own prompt, the reward after the last layer). The pipeline has the batch size that is fastest here, its
texts sorted by length, and computes in the dtype that products are fastest in.
"""

from __future__ import annotations

from bench import Row
from bench._peers import Side, against, alternate, side_rows
from bench._workload import fastest_dtype, work
from bench.reward_training import questions

SEEDS = (0,)
TURNS, QUICK_TURNS = 5, 1
PROMPTS, QUICK_PROMPTS, ANSWERS = 32, 2, 4
BATCHES, QUICK_BATCHES = (4, 8, 16, 32, 64), (4, 8)


def main(quick: bool) -> list[Row]:
    asked = questions(QUICK_PROMPTS if quick else PROMPTS, ANSWERS)
    each = [item | {"answers": [answer], "pairs": []} for item in asked for answer in item["answers"]]
    job, dtype = work(quick, what="score", asked=asked), fastest_dtype()
    batches = QUICK_BATCHES if quick else BATCHES
    sides = [
        Side("Plaudit", "plaudit_reward.py", job | {"dtype": "auto"}),
        Side("Plaudit at its peer's settings", "plaudit_reward.py", job | {"asked": each, "depth": 30}),
        Side(f"transformers pipeline in {dtype}", "hf_pipeline.py", job | {"batches": batches}, "trl-1.16.0"),
    ]
    ours, same, theirs = measured = alternate(sides, QUICK_TURNS if quick else TURNS)
    answers = len(each)
    for side in measured:
        side.require(f"{answers} answers", lambda proof: proof["answers"] == answers)
        side.require("different scores", lambda proof: proof["different"] > answers / 2)
    rows = [row for side in measured for row in side_rows(side, answers, "answers/s")]
    rows += against(ours, theirs, ">= 2") + against(same, theirs)
    return [*rows, Row("the pipeline's batch size", theirs.proof("batch"))]
