"""One way to a figure: every number in the docs is measured here and written to JSON, with a table beside it.

    python -m bench                               list what can be measured
    python -m bench NAME [--quick] [--json FILE]  measure it; `--isa avx2` as on a processor with nothing wider
    python -m bench --tables                      make the table beside every bench/results/*.json anew

A bench is a file beside this one: its docstring says what is measured and how, `SEEDS` are its seeds, and
`main(quick) -> list[Row]` measures. `quick` may measure less, to see that the bench works; such figures go in no table.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from plaudit.errors import UsageError
from plaudit.files import to_json, write_atomically
from plaudit.progress import duration_text, number_text
from plaudit.stats.intervals import mean_interval
from plaudit.types import content_id

RESULTS = Path(__file__).parent / "results"
HOLDS = {">=": float.__ge__, "<=": float.__le__}


@dataclass(frozen=True)
class Row:
    """One figure, with its interval, the same of a peer measured alternately, and the goal it has to reach."""

    what: str
    value: float
    unit: str = ""
    low: float | None = None
    high: float | None = None
    peer: float | None = None  # `what` names the peer
    goal: str | None = None  # ">= 0.8" or "<= 12", in the row's unit

    @classmethod
    def mean(cls, what: str, of_seeds: Sequence[float], unit: str = "", **others: Any) -> Row:
        """The mean over seeds with Student's t interval; without bounds where there is one seed."""
        figures = mean_interval(of_seeds).flat("mean")
        return cls(what, sum(of_seeds) / len(of_seeds), unit, figures["mean_low"], figures["mean_high"], **others)

    @property
    def ratio(self) -> float | None:
        return self.value / self.peer if self.peer else None

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        sign, bound = self.goal.split()
        return bool(HOLDS[sign](float(self.value), float(bound)))

    def record(self) -> dict[str, Any]:
        return asdict(self) | {"ratio": self.ratio, "met": self.met}


class Partial(dict[str, Any]):
    """What an interrupted bench has measured of `what`: kept beside the results, by commit, with every new entry."""

    def __init__(self, what: str) -> None:
        self.path = RESULTS / "partial" / f"{content_id(what, commit_name())}.json"
        super().__init__(json.loads(self.path.read_text(encoding="utf-8")) if self.path.is_file() else {})

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        write_atomically(self.path, to_json(self))


def commit_name() -> str:
    """The commit that is measured, with a `+` where files differ from it."""
    describe = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(describe, cwd=RESULTS.parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def cells(rows: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """The rows as text, under a heading each; a column that is empty in every row is left out."""
    table = [["what", "value", "interval", "peer", "ratio", "goal", "met"], *(_row_cells(row) for row in rows)]
    filled = [any(column[1:]) for column in zip(*table, strict=True)]
    return [[cell for cell, keep in zip(line, filled, strict=True) if keep] for line in table]


def _row_cells(row: Mapping[str, Any]) -> list[str]:
    interval = "" if row["low"] is None else f"{_text(row['low'])} to {_text(row['high'])}"
    met = {None: "", True: "yes", False: "no"}[row["met"]]
    value = f"{_text(row['value'])} {row['unit']}".strip()
    return [row["what"], value, interval, _text(row["peer"]), _text(row["ratio"]), _text(row["goal"]), met]


def _text(value: Any) -> str:
    return "" if value is None else number_text(value)


def markdown(result: Mapping[str, Any]) -> str:
    """A result as a page: what was measured, the table, and below it what it was measured with."""
    heading, *lines = [f"| {' | '.join(line)} |" for line in cells(result["rows"])]
    rule = f"|{' --- |' * len(cells(result['rows'])[0])}"
    machine, seeds = result["machine"], ", ".join(map(str, result["seeds"]))
    origin = [
        f"`{result['command']}`",
        f"commit {result['commit']}",
        f"{machine['cores']} cores of {machine['cpu']}{_instructions(machine)}",
    ]
    origin += [f"on {machine['gpu']}"] if "gpu" in machine else []
    origin += [f"Python {machine['python']}", f"torch {machine['torch']}", f"took {duration_text(result['seconds'])}"]
    origin += [f"seeds {seeds}"] * bool(seeds)
    title = [f"# {result['name']}", "", result["what"], ""]
    return "\n".join([*title, heading, rule, *lines, "", f"Measured by {', '.join(origin)}.", ""])


def _instructions(machine: Mapping[str, Any]) -> str:
    return f" ({machine['instructions']})" if "instructions" in machine else ""


def table_of(path: Path) -> str:
    """The page that goes with a result's JSON. UsageError for one that was measured with `--quick`."""
    result = json.loads(path.read_text(encoding="utf-8"))
    if result["quick"]:
        again = result["command"].replace(" --quick", "")
        raise UsageError(f"{path} was measured with --quick, which is for no table: measure it by `{again}`.")
    return markdown(result)
