"""The processor: its name, its instruction set, and how many of its cores this process may compute on.

Nothing here loads torch, so that what has to be set before torch is loaded can be decided by it.
"""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, MutableMapping
from pathlib import Path

ROOT = Path("/")
LOOKS, SECONDS_BETWEEN_LOOKS = 5, 0.01

# The flag in Linux's /proc/cpuinfo and what it is called, the widest first. The first two multiply bf16 numbers.
INSTRUCTION_SETS = {
    "amx_bf16": "AMX",
    "avx512_bf16": "AVX512-BF16",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
    "avx": "AVX",
    "bf16": "NEON with BF16",  # Arm's own names
    "asimd": "NEON",
}
# What restricts torch and the libraries under it to AVX2, read when they are loaded: torch's own kernels, oneDNN, MKL.
ONLY_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


def processor_name(root: Path = ROOT) -> str:
    """As its maker calls it, such as `AMD EPYC`."""
    named = _cpuinfo("model name", root) or _sysctl("machdep.cpu.brand_string")
    return named or platform.processor() or platform.machine()


def instruction_set(root: Path = ROOT) -> str:
    """The widest instruction set that torch may use, such as `AVX2`. Says so where the environment restricts it."""
    flags = set((_cpuinfo("flags", root) or _cpuinfo("Features", root)).split())
    has = next((name for flag, name in INSTRUCTION_SETS.items() if flag in flags), platform.machine())
    restricted = all(os.environ.get(name) == value for name, value in ONLY_AVX2.items())
    return f"AVX2, restricted from {has}" if restricted and has not in ("AVX2", "AVX") else has


def usable_cores(root: Path = ROOT, allowed: Iterable[int] | None = None) -> int:
    """Physical cores that this process may use: its affinity and its control group's quota hold, threads of one core
    count once. `allowed` are the logical processors, by default those of the affinity.
    """
    if allowed is None:
        if not hasattr(os, "sched_getaffinity"):  # not Linux
            return int(_sysctl("hw.perflevel0.physicalcpu") or _sysctl("hw.physicalcpu") or os.cpu_count() or 1)
        allowed = os.sched_getaffinity(0)
    cores = len({_core_of(cpu, root) for cpu in allowed})
    quota = min(_quotas(root), default=math.inf)
    return max(1, min(cores, math.floor(quota + 0.5) if quota < math.inf else cores))


def _core_of(cpu: int, root: Path) -> str:
    """The processors that are threads of the same core, as a text that is theirs alone."""
    siblings = _read(root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    return siblings or str(cpu)


def _quotas(root: Path) -> Iterator[float]:
    """Processors' worth of time that each control group around this process leaves it."""
    groups = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, name = line.split(":", 2)
        if not controllers:  # version 2: one hierarchy
            path = Path(name.strip("/"))
            for group in (path, *path.parents):
                yield from _quota(_read(groups / group / "cpu.max").split())
        elif "cpu" in controllers.split(","):
            for group in (groups / "cpu" / name.strip("/"), groups / "cpu"):
                yield from _quota([_read(group / f"cpu.cfs_{part}_us") for part in ("quota", "period")])


def _quota(parts: list[str]) -> Iterator[float]:
    """From microseconds of quota and period; `max` and -1 are no limit."""
    if len(parts) == 2 and all(part.isdigit() for part in parts):
        yield int(parts[0]) / int(parts[1])


def _cpuinfo(key: str, root: Path) -> str:
    lines = _read(root / "proc/cpuinfo").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key), "")


def _sysctl(name: str) -> str:
    """What macOS says about the machine; nothing elsewhere."""
    if sys.platform != "darwin":
        return ""
    return subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False).stdout.strip()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def wait_as_others_allow(root: Path = ROOT, environment: MutableMapping[str, str] = os.environ) -> None:
    """Let OpenMP's threads sleep while they wait, where other programs are at work on the cores that they would need.

    Threads that spin answer sooner, which a quiet machine's iteration gains a quarter by; beside one busy program on
    two cores, spinning takes twice the time of sleeping (docs/decisions/0007). OpenMP reads this when torch is loaded.
    """
    if "OMP_WAIT_POLICY" in environment or "GOMP_SPINCOUNT" in environment:
        return
    if _running_beside(root) > (os.cpu_count() or 1) - usable_cores(root):
        environment["OMP_WAIT_POLICY"] = "PASSIVE"


def _running_beside(root: Path) -> int:
    """Threads of other programs that want a core, in each of a few looks; 0 where Linux does not say."""
    looks = []
    for _ in range(LOOKS):
        fields = _read(root / "proc/loadavg").split()
        if len(fields) < 4:
            return 0
        looks.append(int(fields[3].partition("/")[0]) - 1)  # this one runs, too
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return min(looks)
