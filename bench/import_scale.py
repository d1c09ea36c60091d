"""How long an import takes, how much memory, and how long people who label meanwhile wait.

100,000 records like UltraFeedback's (an instruction, four answers of some 150 words, four ratings each) from a file
of JSON lines into a SQLite store on disk. The import is `plaudit import` in a process of its own. Meanwhile another
process submits judgements of its own tasks to the same store, one every tenth of a second, and keeps the time of each.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import Row
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Annotator, Judgement, Prompt, Ranking, Response, Task
from plaudit.workspace import Workspace

SEEDS = (0,)
RECORDS, QUICK_RECORDS = 100_000, 3_000
WORDS = 150
ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")
IMPORT = """
import sys
from plaudit.cli import main
from plaudit.runs import peak_memory_mb
code = main(["import", sys.argv[1], "-w", sys.argv[2]])
print("peak", peak_memory_mb())
sys.exit(code)
"""


def main(quick: bool) -> list[Row]:
    wanted = QUICK_RECORDS if quick else RECORDS
    with TemporaryDirectory() as place:
        workspace = Workspace.create(Path(place) / "w")
        source = Path(place) / "ultrafeedback.jsonl"
        write(source, wanted)
        waits: list[float] = []
        with FeedbackStore.open(workspace.database) as store:
            tasks = people_tasks(store)
            done = threading.Event()
            people = threading.Thread(target=label, args=(store, tasks, waits, done))
            people.start()
            began = time.monotonic()
            command = [sys.executable, "-c", IMPORT, str(source), str(workspace.path)]
            ended = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds = time.monotonic() - began
            done.set()
            people.join()
            print(ended.stdout, file=sys.stderr)
            assert store.counts()["judgements"] == wanted + len(waits)
    peak_mb = float(ended.stdout.split()[-1])
    return [
        Row(f"import of {wanted:,} records like UltraFeedback's", seconds, "s", goal="<= 60"),
        Row("its peak memory", peak_mb / 1e3, "GB", goal="<= 1"),
        Row("longest wait of somebody who labelled meanwhile", max(waits), "s", goal="<= 0.3"),
        Row("judgements submitted meanwhile", len(waits)),
    ]


def write(path: Path, wanted: int) -> None:
    random_words = random.Random(0)
    vocabulary = ["".join(random_words.choices("aeioubdfgklmnprstv", k=6)) for _ in range(2_000)]

    def text(words: int) -> str:
        return " ".join(random_words.choices(vocabulary, k=words))

    with path.open("w") as file:
        for _ in range(wanted):
            completions = []
            for _ in range(4):
                ratings = [random_words.randint(1, 5) for _ in ASPECTS]
                given = {a: {"Rating": str(r), "Rationale": text(20)} for a, r in zip(ASPECTS, ratings, strict=True)}
                completions.append(
                    {
                        "model": "m",
                        "response": text(WORDS),
                        "annotations": given,
                        "fine-grained_score": sum(ratings) / 4,
                    }
                )
            record = {"source": "made up", "instruction": text(30), "models": ["m"] * 4, "completions": completions}
            file.write(json.dumps(record) + "\n")


def people_tasks(store: FeedbackStore) -> list[Task]:
    tasks = []
    with store.transaction():
        store.add_annotators([Annotator("ana")])
        for number in range(3_000):
            prompt = Prompt.from_text(f"Question {number}?")
            store.add_prompts([prompt])
            answers = [Response(prompt.id, text) for text in ("Yes.", "No.")]
            store.add_responses(answers)
            tasks.append(Task(prompt.id, tuple(answer.id for answer in answers)))
        store.add_tasks(tasks)
    return tasks


def label(store: FeedbackStore, tasks: list[Task], waits: list[float], done: threading.Event) -> None:
    for task in tasks:
        if done.is_set():
            return
        said = Judgement(task.id, task.id, "ana", Ranking(tuple((answer,) for answer in task.response_ids)))
        began = time.monotonic()
        store.submit(said)
        waits.append(time.monotonic() - began)
        time.sleep(0.1)
