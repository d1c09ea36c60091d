"""An iteration of RLOO with 16 to 512 answers of 48 tokens, and with 32 answers of 32 to 512 tokens: time and memory.

Four answers to each of the demo's questions. Each size is a process of its own that has taken an iteration of 16
answers of the same length before. An exponent is the slope of a straight line through the logarithms of time and size:
1 means that twice the work takes twice the time.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import Row
from bench._peers import GB, Process, Side, Turn
from bench._workload import ANSWERS, TOKENS, demo_questions, work
from plaudit.errors import PlauditError
from plaudit.progress import say

SEEDS = (0,)
ROLLOUTS, QUICK_ROLLOUTS = (16, 32, 64, 128, 256, 512), (4, 8)
LENGTHS, QUICK_LENGTHS = (32, 64, 128, 256, 512), (4, 8)
AT_LENGTHS, QUICK_AT_LENGTHS = 32, 4  # answers
AT_ROLLOUTS, QUICK_AT_ROLLOUTS = TOKENS, 4  # tokens
WARM_UP_PROMPTS = 4
AT_MOST, FLAT = "<= 1.1", "<= 1.1"


def main(quick: bool) -> list[Row]:
    answers, tokens = (QUICK_AT_LENGTHS, QUICK_AT_ROLLOUTS) if quick else (AT_LENGTHS, AT_ROLLOUTS)
    by_rollouts = {count: _iteration(count, tokens) for count in (QUICK_ROLLOUTS if quick else ROLLOUTS)}
    by_length = {length: _iteration(answers, length) for length in (QUICK_LENGTHS if quick else LENGTHS)}
    rows = [row for count, turn in by_rollouts.items() for row in _rows(f"{count} answers of {tokens} tokens", turn)]
    rows += [row for length, turn in by_length.items() for row in _rows(f"{answers} answers of {length} tokens", turn)]
    return [
        *rows,
        Row("exponent of time in the answers", exponent(_seconds(by_rollouts)), goal=AT_MOST),
        Row("exponent of time in their tokens", exponent(_seconds(by_length)), goal=AT_MOST),
        Row("memory, most answers against fewest", growth([t.peak_bytes for t in by_rollouts.values()]), goal=FLAT),
        Row("memory, longest answers against shortest", growth([t.peak_bytes for t in by_length.values()])),
    ]


def exponent(seconds: Mapping[int, float]) -> float:
    """k in seconds = c · sizeᵏ, by least squares of the logarithms."""
    line = statistics.linear_regression([math.log(size) for size in seconds], [math.log(s) for s in seconds.values()])
    return line.slope


def growth(peaks: Sequence[int]) -> float:
    """The memory of the largest size, of the smallest's."""
    return peaks[-1] / peaks[0]


def _iteration(rollouts: int, tokens: int) -> Turn:
    prompts = demo_questions(rollouts // ANSWERS)
    job = work(False, algorithm="rloo", prompts=prompts, max_tokens=tokens, warm_up_prompts=WARM_UP_PROMPTS)
    side = Side(f"{rollouts} answers of {tokens} tokens", "plaudit_align.py", job | {"dtype": "auto"})
    with TemporaryDirectory() as scratch, Process(side, 1, Path(scratch)) as process:
        turn = process.turn()
    if turn.proof["tokens"] != rollouts * tokens:
        raise PlauditError(f"{side.name} drew {turn.proof['tokens']} tokens.")
    say(f"{side.name}: {turn.seconds:.1f} s, {turn.peak_bytes / GB:.2f} GB")
    return turn


def _rows(what: str, turn: Turn) -> list[Row]:
    return [Row(what, turn.seconds, "s"), Row(f"{what}: peak memory", turn.peak_bytes / GB, "GB")]


def _seconds(turns: Mapping[int, Turn]) -> dict[int, float]:
    return {size: turn.seconds for size, turn in turns.items()}
