"""How long the quality report takes, and how much memory, over a million judgements.

333,334 pairs of answers, three judgements each by 400 annotators, in a SQLite store on disk; every judgement also rates
both answers on three attributes, as a new project asks for. Three in four choices go with a hidden order, one annotator
in twenty guesses. The report runs in a process of its own, whose time (start of Python to the printed JSON) and peak
resident memory are the figures.

The store is filled by inserting into its tables, without the events behind the rows: `plaudit quality` reads only
these.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sqlalchemy import Connection, Table, insert

from bench import Row
from plaudit.feedback.events.schema import annotators, events, judgements, prompts, responses, tasks
from plaudit.feedback.store import FeedbackStore
from plaudit.types import DEFAULT_QUESTION, content_id

SEEDS = (0,)
JUDGEMENTS, QUICK_JUDGEMENTS = 1_000_000, 30_000
OVERLAP = 3
ANNOTATORS = 400
GUESSES = 20  # one annotator in so many
ATTRIBUTES = ("helpful", "harmless", "coherent")
BATCH = 20_000
NOW = "2026-01-01T00:00:00.000000+00:00"
REPORT = """
import json, sys, time
from plaudit.feedback.quality.report import quality_report
from plaudit.feedback.store import FeedbackStore
from plaudit.runs import peak_memory_mb
with FeedbackStore.open(sys.argv[1], create=False) as store:
    report = quality_report(store).as_dict()
agreement = report["agreement"]["percent"]["value"]
flagged = {one["annotator"]: [flag["kind"] for flag in one["flags"]] for one in report["annotators"] if one["flags"]}
found = {"peak_mb": peak_memory_mb(), "cpu_seconds": time.process_time(), "judgements": report["judgements"]}
print(json.dumps(found | {"agreement": agreement, "flagged": flagged}))
"""


def main(quick: bool) -> list[Row]:
    wanted = QUICK_JUDGEMENTS if quick else JUDGEMENTS
    with TemporaryDirectory() as place:
        path, began = Path(place) / "feedback.db", time.monotonic()
        fill(path, wanted)
        print(f"{wanted:,} judgements stored in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-c", REPORT, str(path)], capture_output=True, text=True, check=True)
        seconds = time.monotonic() - began
    found = json.loads(done.stdout)
    assert found["judgements"] == wanted
    guessers = {name_of(r) for r in range(0, ANNOTATORS, GUESSES)}
    flagged = set(found["flagged"])
    others = {name: kinds for name, kinds in found["flagged"].items() if name not in guessers}
    print(f"flagged, though they do not guess: {others}", file=sys.stderr, flush=True)
    return [
        Row(f"quality report over {wanted:,} judgements", seconds, "s", goal="<= 60"),
        Row("its processor time", found["cpu_seconds"], "s"),
        Row("its peak memory", found["peak_mb"] / 1e3, "GB", goal="<= 2"),
        Row("same choice by two annotators", found["agreement"]),
        Row(f"share flagged of the {len(guessers)} annotators who guess", len(guessers & flagged) / len(guessers)),
        Row(f"share flagged of the {ANNOTATORS - len(guessers)} others", len(others) / (ANNOTATORS - len(guessers))),
    ]


def name_of(annotator: int) -> str:
    return f"annotator-{annotator:03d}"


def fill(path: Path, wanted: int) -> None:
    pairs = -(-wanted // OVERLAP)
    prompt = [content_id("prompt", i) for i in range(pairs)]
    answer = [content_id("answer", i) for i in range(2 * pairs)]
    task = [content_id("task", i) for i in range(pairs)]
    message = [["user", "Which?"]]
    words = np.random.default_rng([SEEDS[0], 1]).integers(3, 100, len(answer)).tolist()
    rows: dict[Table, Iterator[dict[str, Any]]] = {
        events: iter([{"id": "all", "kind": "prompt-added", "created_at": NOW, "actor": "bench", "payload": {}}]),
        annotators: ({"id": name_of(r), "kind": "simulated", "note": ""} for r in range(ANNOTATORS)),
        prompts: (
            {"id": one, "opening_id": one, "messages": message, "source": "bench", "split": "train"}
            | {"tags": {"topic": f"topic-{i % 5}"}}
            for i, one in enumerate(prompt)
        ),
        responses: (
            {
                "id": one,
                "prompt_id": prompt[i // 2],
                "text": "word " * words[i],
                "stop_reason": "eos",
                "sampling": {},
            }
            for i, one in enumerate(answer)
        ),
        tasks: (
            {"id": one, "prompt_id": prompt[i], "response_ids": answer[2 * i : 2 * i + 2], "question": DEFAULT_QUESTION}
            | {"overlap": OVERLAP}
            for i, one in enumerate(task)
        ),
        judgements: judged(task, answer, wanted),
    }
    with FeedbackStore.open(path) as store, store._writing() as connection:
        for table, of_table in rows.items():
            put(connection, table, of_table)


def judged(task: list[str], answer: list[str], wanted: int) -> Iterator[dict[str, Any]]:
    """Annotators by turns, so that no one has a task twice; a guesser's choices go with nothing."""
    random = np.random.default_rng(SEEDS[0])
    who = (np.arange(wanted) * 7 + np.arange(wanted) // OVERLAP) % ANNOTATORS
    follows = random.random(wanted) < np.where(who % GUESSES == 0, 0.5, 0.75)
    turned, tie = random.random(wanted) < 0.5, random.random(wanted) < 0.05
    seconds, stars = random.lognormal(3, 0.5, wanted).round(1), random.integers(1, 8, (wanted, 2, len(ATTRIBUTES)))
    for i in range(wanted):
        pair = answer[2 * (i // OVERLAP) : 2 * (i // OVERLAP) + 2]
        better = pair if follows[i] else pair[::-1]
        yield {
            "id": f"judgement-{i}", "created_at": NOW, "task_id": task[i // OVERLAP],
            "annotator_id": name_of(int(who[i])), "ranking": [pair] if tie[i] else [[one] for one in better],
            "shown_order": pair[::-1] if turned[i] else pair, "flags": {}, "reason": "", "better_answer": "",
            "ratings": {one: dict(zip(ATTRIBUTES, given, strict=True))
                        for one, given in zip(pair, stars[i].tolist(), strict=True)},
            "seconds": float(seconds[i]), "guidelines_version": 1 + i // (wanted // 2 + 1),
        }  # fmt: skip


def put(connection: Connection, table: Table, rows: Iterator[dict[str, Any]]) -> None:
    batch = []
    for row in rows:
        batch.append({"seq": 1} | row)  # all rows refer to the one event
        if len(batch) == BATCH:
            connection.execute(insert(table), batch)
            batch = []
    if batch:
        connection.execute(insert(table), batch)
