"""What an import found and did, in numbers and in one line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

SCALE = (1, 7)  # of our ratings


@dataclass(slots=True)
class ImportSummary:
    """What an import found and did."""

    name: str
    format: str  # in words
    pairs: int = 0  # new preferences: judgements on two answers
    rankings: int = 0  # new judgements on more
    prompts: int = 0  # new prompts
    demonstrations: int = 0  # new reference answers
    skips: int = 0  # new: an annotator could not say
    duplicates: int = 0  # usable records that the store had already, or that came twice
    skipped: Counter[str] = field(default_factory=Counter)  # reason -> what was left out
    rated: dict[str, tuple[int, int]] = field(default_factory=dict)  # attribute -> lowest and highest, never up to 7

    def __str__(self) -> str:
        new = {
            "preference": self.pairs,
            "ranking": self.rankings,
            "prompt": self.prompts,
            "reference answer": self.demonstrations,
            "skip": self.skips,
        }
        added = ", ".join(f"{n:,} new {noun}{'s' * (n != 1)}" for noun, n in new.items() if n) or "nothing new"
        there = f"; {self.duplicates:,} there already" if self.duplicates else ""
        reasons = ", ".join(f"{n:,} because {reason}" for reason, n in self.skipped.most_common())
        told = f"{self.name} ({self.format}): {added}{there}{'; left out ' + reasons if reasons else ''}."
        return told + "".join(
            f" {attribute} was rated {low} to {high}: read as such out of {SCALE[1]}."
            for attribute, (low, high) in self.rated.items()
        )
