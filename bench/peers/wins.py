"""What both sides of `time-to-wins` are rewarded with: the demo's hidden utility, put to scale by the base's answers.

`plaudit.feedback.simulated.utility` needs the standard library alone, so that a peer's environment can import it.
"""

from __future__ import annotations

import bisect
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.feedback.simulated.utility import utility
from plaudit.types import Prompt, Response, StopReason


class Wins:
    """Rewards of answers, and how many comparisons with the base's answers to the same question they win.

    Args:
        base: question -> utilities of the base's answers to it.
    """

    def __init__(self, base: Mapping[str, Sequence[float]]) -> None:
        self.base = {question: sorted(utilities) for question, utilities in base.items()}
        everything = [value for utilities in base.values() for value in utilities]
        self.mean, self.deviation = statistics.fmean(everything), statistics.pstdev(everything)
        self.shares: list[float] = []  # of each answer since `take`

    def reward(self, question: str, text: str, has_ended: bool) -> float:
        value = utility_of(question, text, has_ended)
        others = self.base[question]
        below, up_to = bisect.bisect_left(others, value), bisect.bisect_right(others, value)
        self.shares.append((below + up_to) / 2 / len(others))  # a tie is half a win
        return (value - self.mean) / self.deviation

    def take(self) -> dict[str, Any]:
        """The proof of an iteration."""
        shares, self.shares = self.shares, []
        return {"won": sum(shares), "answers": len(shares)}


def utility_of(question: str, text: str, has_ended: bool) -> float:
    prompt = Prompt.from_text(question)
    stop = StopReason.EOS if has_ended else StopReason.LENGTH
    return utility(prompt, Response(prompt.id, text.strip(), stop)).total
