"""`python -m bench`: list the benches, measure one, or make the tables of their results anew."""

from __future__ import annotations

import argparse
import ast
import os
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from bench import RESULTS, Row, cells, commit_name, table_of
from plaudit.errors import PlauditError, UsageError, did_you_mean
from plaudit.files import to_json, write_atomically
from plaudit.models.processor import ONLY_AVX2, instruction_set, processor_name

HERE = Path(__file__).parent
ROOT = HERE.parent


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure a figure that the docs claim.")
    parser.add_argument("name", nargs="?", help="what to measure; without it, what there is")
    parser.add_argument("--quick", action="store_true", help="measure less, to see that the bench works")
    parser.add_argument("--isa", choices=["avx2"], help="use no wider instructions, as on a processor without them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here, with a table beside it")
    parser.add_argument("--tables", action="store_true", help="make the table beside every bench/results/*.json anew")
    asked = parser.parse_args(arguments)
    if asked.isa:  # before torch is loaded, and for every process that a bench starts
        assert "torch" not in sys.modules
        os.environ |= ONLY_AVX2
    try:
        if asked.tables:
            write_tables()
        elif asked.name is None:
            print("\n".join(f"{name:<16} {what}" for name, what in benches().items()) or "There are no benches yet.")
        else:
            result = measure(asked.name, asked.quick, asked.isa)
            print_table(result["rows"])
            if asked.json:
                write_atomically(asked.json, to_json(result, indent=1) + "\n")
                if not asked.quick:
                    write_atomically(asked.json.with_suffix(".md"), table_of(asked.json))
    except PlauditError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def benches() -> dict[str, str]:
    """Name -> the first line of its docstring."""
    files = sorted(path for path in HERE.glob("*.py") if not path.name.startswith("_"))
    docs = {path: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in files}
    return {path.stem.replace("_", "-"): doc.partition("\n")[0] for path, doc in docs.items()}


def measure(name: str, quick: bool, isa: str | None = None) -> dict[str, Any]:
    """Run a bench; its rows, and all that is needed to measure them again."""
    if name not in benches():
        near = did_you_mean(name, benches())
        raise UsageError(f"There is no bench `{name}`.{near or ' `python -m bench` lists them.'}")
    bench = import_module(f"bench.{name.replace('-', '_')}")
    commit, began = commit_name(), time.monotonic()
    rows: list[Row] = bench.main(quick=quick)
    return {
        "name": name,
        "what": benches()[name],
        "quick": quick,
        "commit": commit,
        "machine": machine(),
        "seeds": list(getattr(bench, "SEEDS", ())),
        "command": shlex.join(["python", "-m", "bench", name, *["--quick"] * quick, *(["--isa", isa] if isa else [])]),
        "seconds": round(time.monotonic() - began, 1),
        "rows": [row.record() for row in rows],
    }


def machine() -> dict[str, Any]:
    return {
        "cpu": processor_name(),
        "instructions": instruction_set(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
    } | _gpu()


def _gpu() -> dict[str, str]:
    """Its name, where a bench has computed on one."""
    torch: Any = sys.modules.get("torch")
    return {"gpu": torch.cuda.get_device_name()} if torch and torch.cuda.is_available() else {}


def print_table(rows: list[dict[str, Any]]) -> None:
    lines = cells(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def write_tables(results: Path = RESULTS) -> None:
    for path in sorted(results.glob("*.json")):
        write_atomically(path.with_suffix(".md"), table_of(path))


if __name__ == "__main__":
    sys.exit(main())
