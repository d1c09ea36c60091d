"""How much memory a command takes: what is small when packed may be large."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from plaudit.workspace import Workspace

MOST_MEMORY = 150e6  # bytes beyond what the program itself takes
MEASURED = """
import sys
import pyarrow.parquet
import plaudit.feedback.exchange.imports
from plaudit.cli import main

def peak():  # of this process alone: what getrusage says, a process has from the one that started it
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))

before = peak()
code = main([sys.argv[1], sys.argv[2], "-w", sys.argv[3]])
print(peak() - before)
sys.exit(code)
"""
measurable = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def assert_refused_in_little_memory(command: str, file: Path, workspace: Workspace, most: float = MOST_MEMORY) -> None:
    """`plaudit COMMAND FILE` says in one sentence why not, and takes little memory to find out."""
    assert file.stat().st_size < 400_000
    arguments = [sys.executable, "-c", MEASURED, command, str(file), str(workspace.path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1), done.stderr
    assert int(done.stdout.split()[-1]) < most
