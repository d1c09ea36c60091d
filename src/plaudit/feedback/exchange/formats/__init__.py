"""What records mean: the shapes in which preferences are published or exported, read into `Comparison`s.

One module a family of formats; this is the table of them. A new format is a line in each of the three tables below, a
module beside this one, and a row in docs/howto-exchange.md. (Plaudit's own judgements, which name every noun in full,
are read by `feedback/exchange/history.py`.)
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from plaudit.feedback.exchange.formats import argilla, fields, label_studio, oasst, pairs
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError


class Format(StrEnum):
    HH = "hh"
    OASST = "oasst"
    OASST_TREES = "oasst-trees"
    TRL = "trl"
    REWARDBENCH2 = "rewardbench2"
    ARGILLA = "argilla"
    LABEL_STUDIO = "label-studio"
    UKPCONVARG = "ukpconvarg"
    PLAUDIT = "plaudit"


DESCRIPTIONS = {
    Format.HH: "HH transcripts",
    Format.OASST: "OASST ranked pairs",
    Format.OASST_TREES: "OASST message trees",
    Format.TRL: "TRL-style preferences",
    Format.REWARDBENCH2: "RewardBench 2 sets",
    Format.ARGILLA: "Argilla records",
    Format.LABEL_STUDIO: "Label Studio tasks",
    Format.UKPCONVARG: "crowd votes on arguments",
    Format.PLAUDIT: "Plaudit's judgements",
}

_READERS: dict[Format, Callable[[dict[str, Any]], Comparison]] = {
    Format.HH: pairs.hh,
    Format.OASST: pairs.oasst,
    Format.TRL: pairs.trl,
    Format.REWARDBENCH2: pairs.rewardbench2,
    Format.ARGILLA: argilla.comparison,
    Format.LABEL_STUDIO: label_studio.comparison,
    Format.UKPCONVARG: pairs.crowd_voted,
}


def recognise(record: Any) -> Format | None:
    """The format of a record, None for none that we know."""
    if not isinstance(record, dict):
        return None
    tests: dict[Format, Callable[[dict[str, Any]], bool]] = {
        Format.PLAUDIT: lambda r: {"plaudit", "kind"} <= r.keys(),
        Format.LABEL_STUDIO: label_studio.is_task,
        Format.ARGILLA: argilla.is_argilla,
        Format.OASST_TREES: lambda r: oasst.is_tree(r) or oasst.is_message(r),
        Format.UKPCONVARG: pairs.is_crowd_voted,
    }
    return next((kind for kind, is_it in tests.items() if is_it(record)), None) or _recognise_pair(record)


def _recognise_pair(record: dict[str, Any]) -> Format | None:
    if "chosen" not in record or "rejected" not in record:
        return None
    chosen = record["chosen"]
    if "context" in record:
        return Format.OASST
    if isinstance(chosen, list) and chosen and isinstance(chosen[0], str):
        return Format.REWARDBENCH2
    transcript = isinstance(chosen, str) and "\n\nHuman:" in chosen and "\n\nAssistant:" in chosen
    return Format.HH if transcript and record.get("prompt") is None else Format.TRL


def comparisons(record: Any, format: Format) -> list[Comparison | UnusableError]:
    """What a record of the format (any but `plaudit`) says, and why what is left out of it teaches nothing.

    MalformedError when the record is not of the format.
    """
    if not isinstance(record, dict):
        raise MalformedError(f"{fields.kind(record)} where a record should be")
    if format is Format.OASST_TREES:
        return oasst.rankings(record)
    if format in (Format.ARGILLA, Format.LABEL_STUDIO, Format.UKPCONVARG) and recognise(record) is not format:
        raise MalformedError(f"not one of {DESCRIPTIONS[format]}, only {fields.names(record)}")
    try:
        return [_READERS[format](record).check()]
    except UnusableError as reason:
        return [reason]
