"""Drawing 48 tokens for 32 and for 128 answers, 4 to a prompt, beside Hugging Face `generate` and llama.cpp.

All draw from the whole distribution at temperature 1, with the same weights, prompts and threads, and hear no end of an
answer. Plaudit and `generate` compute in the dtype that products are fastest in here. llama.cpp reads F32, BF16 and
Q8_0 files of the same weights; its wheel is built for AVX2 on every machine. It shares a prompt among its answers as
Plaudit does, with a stream of keys and values for each answer. The share of the roofline is the time of the matrix
products of 48 steps, timed in the same run, over all of Plaudit's time, the prompts' reading included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import Row
from bench._peers import SCRIPTS, Measured, Side, against, alternate, cache_folder, side_rows
from bench._workload import demo_questions, fastest_dtype, floor_of_step, model_folder, roofline, work

SEEDS = (0,)
TURNS, QUICK_TURNS = 7, 1
ROWS, QUICK_ROWS = (32, 128), (4,)
KINDS, QUICK_KINDS = ("F32", "BF16", "Q8_0"), ("F32", "Q8_0")
GOALS = {"Hugging Face": ">= 3", "llama.cpp F32": ">= 1"}


def main(quick: bool) -> list[Row]:
    return [row for rows in (QUICK_ROWS if quick else ROWS) for row in _of_rows(rows, quick)]


def _of_rows(rows: int, quick: bool) -> Iterator[Row]:
    """One run, with so many answers at once."""
    sides = _sides(rows, quick)
    plaudit, *others, products = alternate([*sides, roofline([rows])], QUICK_TURNS if quick else TURNS)
    steps = int(sides[0].job["max_tokens"])
    for side in (plaudit, *others):
        side.require(f"{rows * steps} tokens", lambda proof: proof["tokens"] == rows * steps)
        side.require("different answers", lambda proof: proof["different"] > rows / 2)
        yield from side_rows(side, rows * steps, "tokens/s")
    for other in others:
        goal = next((goal for name, goal in GOALS.items() if other.name.startswith(name)), None)
        yield from against(plaudit, other, goal)
    by_name = {side.name.partition(",")[0]: side for side in others}
    if exact := by_name.get("Plaudit in fp32"):
        yield from against(exact, by_name["llama.cpp F32"])
    yield _share(plaudit, products, rows, steps)
    yield Row(f"matrix products of a step, {rows} rows", 1e3 * floor_of_step(products, rows), "ms")


def _sides(rows: int, quick: bool) -> list[Side]:
    """Plaudit, and then its peers."""
    job, dtype, kinds = work(quick), fastest_dtype(), QUICK_KINDS if quick else KINDS
    job["prompts"] = demo_questions(rows // job["answers"])
    folder, encoded = _files(job["prompts"], kinds)
    sides = [
        Side(f"Plaudit in {dtype}, {rows} rows", "plaudit_sampling.py", job),
        Side(f"Hugging Face generate in {dtype}, {rows} rows", "hf_generate.py", job, "trl-1.16.0"),
    ]
    for kind in kinds:
        its = job | {"gguf": str(folder / f"{kind}.gguf"), "encoded": encoded, "unified": False}
        sides.append(Side(f"llama.cpp {kind}, {rows} rows", "llama_cpp.py", its, "llama-cpp"))
    if dtype != "fp32":  # llama.cpp's own dtype, too
        sides.append(Side(f"Plaudit in fp32, {rows} rows", "plaudit_sampling.py", job | {"dtype": "fp32"}))
    return sides


def _share(plaudit: Measured, products: Measured, rows: int, steps: int) -> Row:
    share = steps * floor_of_step(products, rows) / plaudit.seconds
    return Row(f"{plaudit.name}: share of the roofline", share, goal=">= 0.6")


def _files(prompts: list[str], kinds: tuple[str, ...]) -> tuple[Path, list[list[int]]]:
    """The folder with the weights as llama.cpp reads them, made once, and the prompts as tokens."""
    folder = cache_folder() / "gguf" / Path(model_folder()).name
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as place:
        job = Path(place) / "job.json"
        job.write_text(json.dumps({"model": model_folder(), "folder": str(folder), "kinds": kinds, "prompts": prompts}))
        command, environment = [sys.executable, str(SCRIPTS / "to_gguf.py"), str(job)], dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join([str(SCRIPTS.parents[1] / "src"), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return folder, json.loads(done.stdout.splitlines()[-1])
