"""`plaudit demo`: the whole loop, from answers to proof."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plaudit.cli.commands import Threads

PREFERENCES_HELP = "Learn from these preferences: a file, a folder or a Hugging Face data set."


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the report goes.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Random seed.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over; what this demo made before is deleted.")] = False,
    model: Annotated[str, typer.Option(help="A catalog name, a local path or a Hugging Face id.")] = "smollm2",
    algorithm: Annotated[str, typer.Option(metavar="NAME", help="As of `plaudit align`.")] = "rloo",
    people: Annotated[bool, typer.Option("--people", help="Rank the answers yourself, here in the terminal.")] = False,
    preferences: Annotated[str | None, typer.Option(metavar="SOURCE", help=PREFERENCES_HELP)] = None,
    dtype: Annotated[str, typer.Option(metavar="NAME", help="auto, bf16, fp16 or fp32: what to compute in.")] = "auto",
    threads: Threads = None,
    iterations: Annotated[
        int | None, typer.Option(metavar="N", help="Of reinforcement learning (PPO: 24). Default: 16.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Much smaller, to see that it works; proves nothing.")] = False,
) -> None:
    from plaudit.stages.demo import Demo
    from plaudit.stages.demo import demo as run

    options = Demo.from_options(
        out=out, seed=seed, model=model, algorithm=algorithm, people=people, preferences=preferences,
        iterations=iterations, quick=quick, dtype=dtype, threads=threads or 0,
    )  # fmt: skip
    run(options, fresh=fresh)
