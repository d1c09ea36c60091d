"""What the machine has, read off a made-up one: cores, quotas, instruction sets, and who else is at work on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from plaudit.models import processor
from plaudit.models.processor import (
    ONLY_AVX2,
    instruction_set,
    processor_name,
    usable_cores,
    wait_as_others_allow,
)

Machine = Callable[[dict[str, str]], Path]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A root folder with these files, and four processors that are the two threads of two cores."""

    def made(files: dict[str, str]) -> Path:
        threads = {
            f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list": f"{n % 2},{n % 2 + 2}" for n in range(4)
        }
        for name, text in (threads | files).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n", encoding="utf-8")
        return tmp_path

    return made


@pytest.mark.parametrize(("allowed", "cores"), [((0, 1, 2, 3), 2), ((0, 2), 1), ((1, 2), 2), ((3,), 1)])
def test_threads_of_one_core_count_once_and_the_affinity_holds(machine: Machine, allowed, cores) -> None:
    assert usable_cores(machine({}), allowed) == cores


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/b/cpu.max": "max 100000"}, 8),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/b/cpu.max": "300000 100000"}, 3),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/cpu.max": "150000 100000"}, 2),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "20000 100000"}, 1),
        ({"proc/self/cgroup": "4:cpu,cpuacct:/x", "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "400000",
          "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000"}, 4),
        ({"proc/self/cgroup": "4:cpu,cpuacct:/x", "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "-1",
          "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000"}, 8),
        ({}, 8),
    ],
)  # fmt: skip
def test_the_quota_of_the_control_group_holds_and_that_of_its_parents(machine: Machine, files, cores) -> None:
    assert usable_cores(machine(files), range(10, 18)) == cores


def test_here_there_is_at_least_one_core() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("fpu avx avx2 avx512f avx512_bf16 amx_bf16", "AMX"),
        ("fpu avx avx2 avx512f avx512_bf16", "AVX512-BF16"),
        ("fpu avx avx2 avx512f", "AVX-512"),
        ("fpu avx avx2", "AVX2"),
    ],
)
def test_the_widest_instruction_set_is_named(machine: Machine, monkeypatch, flags: str, name: str) -> None:
    for variable in ONLY_AVX2:
        monkeypatch.delenv(variable, raising=False)
    root = machine({"proc/cpuinfo": f"processor : 0\nmodel name\t: A Chip (TM)\nflags\t\t: {flags}"})
    assert (processor_name(root), instruction_set(root)) == ("A Chip (TM)", name)
    for variable, value in ONLY_AVX2.items():
        monkeypatch.setenv(variable, value)
    assert instruction_set(root) == ("AVX2" if name == "AVX2" else f"AVX2, restricted from {name}")


@pytest.mark.parametrize(("beside", "waits"), [(0, None), (1, "PASSIVE"), (3, "PASSIVE")])
def test_threads_sleep_where_others_need_their_cores(machine: Machine, monkeypatch, beside: int, waits) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(processor, "usable_cores", lambda root: 2)
    environment: dict[str, str] = {}
    wait_as_others_allow(machine({"proc/loadavg": f"0.50 0.40 0.30 {beside + 1}/345 678"}), environment)
    assert environment.get("OMP_WAIT_POLICY") == waits


def test_what_somebody_has_set_stays(machine: Machine) -> None:
    environment = {"OMP_WAIT_POLICY": "ACTIVE"}
    wait_as_others_allow(machine({"proc/loadavg": "9.00 9.00 9.00 99/345 678"}), environment)
    assert environment == {"OMP_WAIT_POLICY": "ACTIVE"}
