"""How the benches let Plaudit and its peers take turns, and what they count."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import psutil
import pytest

from bench import _peers, _workload, time_to_wins
from bench._peers import SCRIPTS, WAITING, Measured, Process, Side, Turn, against, alternate, side_rows
from bench.peers.to_gguf import gguf_name, permute
from bench.reward_training import questions
from bench.scaling import exponent, growth
from plaudit.errors import PlauditError

WORKER = f"""
import os, sys
sys.path.insert(0, {str(SCRIPTS)!r})
from turns import Turns
turns = Turns()
print("what a library prints")
with open(turns.job["log"], "a") as log:
    for number in range(turns.job["good_for"]):
        turns.begin()
        print(turns.job["name"], file=log, flush=True)
        turns.stop()
        turns.report(number=number, waiting=os.environ.get("OMP_WAIT_POLICY"), turns=turns.job["turns"])
raise SystemExit("the model broke")
"""


@pytest.fixture
def worker(tmp_path: Path) -> Path:
    script = tmp_path / "worker.py"
    script.write_text(WORKER, encoding="utf-8")
    return script


def side(worker: Path, name: str, good_for: int = 9, **variables: str) -> Side:
    job = {"log": str(worker.with_name("log")), "name": name, "good_for": good_for}
    return Side(name, str(worker), job, variables=variables)


def test_sides_take_turns_after_a_warm_up_each(worker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAITING, "PASSIVE")  # as Plaudit sets it for itself on a busy machine
    one, other = alternate([side(worker, "one"), side(worker, "other", **{WAITING: "ACTIVE"})], turns=2)
    assert worker.with_name("log").read_text().split() == ["one", "other", "one", "other", "one", "other"]
    assert [turn.proof for turn in one.turns] == [{"number": n, "waiting": None, "turns": 3} for n in (1, 2)]
    assert other.turns[0].proof["waiting"] == "ACTIVE"
    assert all(0 <= turn.seconds < 1 and 1e6 < turn.peak_bytes < 1e9 for turn in one.turns)


def test_a_side_is_stopped_while_it_is_not_its_turn(worker: Path, tmp_path: Path) -> None:
    with Process(side(worker, "one"), 1, tmp_path) as process:
        process.turn()
        it, by = psutil.Process(process.process.pid), time.monotonic() + 10
        while it.status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < by
    assert process.process.returncode is not None


def test_a_side_that_breaks_off_is_one_sentence(worker: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(PlauditError, match="one ended too early: the model broke"):
        alternate([side(worker, "one", good_for=1)], turns=1)
    assert "what a library prints" in capsys.readouterr().err


def test_the_environment_is_made_once_and_from_what_is_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def pip(command: list, **_: object) -> subprocess.CompletedProcess:
        asked.append(command)
        return subprocess.CompletedProcess(command, len(asked) == 1, stderr="looked\nno such wheel")

    monkeypatch.setenv("PLAUDIT_BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(_peers.venv, "create", lambda folder, with_pip: folder.mkdir())
    monkeypatch.setattr(_peers.subprocess, "run", pip)
    with pytest.raises(PlauditError, match=r"llama-cpp\.txt lists: no such wheel"):
        _peers.environment("llama-cpp")
    first, second = _peers.environment("llama-cpp"), _peers.environment("llama-cpp")
    assert (first, len(asked)) == (second, 2)
    assert asked[-1][-2:] == ["-c", _peers.CONSTRAINTS]


@pytest.mark.parametrize("listed", sorted(SCRIPTS.glob("*.txt")), ids=lambda path: path.stem)
def test_every_peer_is_pinned(listed: Path) -> None:
    lines = listed.read_text(encoding="utf-8").splitlines()
    assert all("==" in line for line in lines)
    pins = set((SCRIPTS.parents[1] / "constraints.txt").read_text(encoding="utf-8").splitlines())
    ours = set() if listed.stem in _peers.OF_THEIR_OWN else {pin.partition("==")[0] for pin in pins}
    assert [line for line in lines if line.partition("==")[0] in ours and line not in pins] == []


def measured(name: str, *seconds: float, gb: float = 1.0, **proof: object) -> Measured:
    return Measured(name, tuple(Turn(s, round(gb * 1e9), dict(proof)) for s in seconds))


def test_medians_spread_and_ratios_by_round() -> None:
    ours, peer = measured("Plaudit", 2, 1, 4, gb=1), measured("TRL", 8, 10, 12, gb=4)
    time, memory = side_rows(ours)
    assert (time.value, time.low, time.high, time.unit, memory.value) == (2, 1, 4, "s", 1)
    rate = side_rows(ours, 8, "pairs/s")[0]
    assert (rate.value, rate.low, rate.high, rate.unit) == (4, 2, 8, "pairs/s")
    faster, share = against(ours, peer, ">= 4", "<= 0.2")
    assert (faster.value, faster.low, faster.high, faster.met) == (5, 3, 10, True)
    assert (share.value, share.met) == (0.25, False)


def test_work_that_was_not_done_is_no_figure() -> None:
    lazy = measured("TRL", 1, tokens=10)
    lazy.require("tokens", lambda proof: proof["tokens"] == 10)
    with pytest.raises(PlauditError, match=r"TRL did not do the work \(tokens\)"):
        lazy.require("tokens", lambda proof: proof["tokens"] == 11)


def test_the_floor_is_what_the_fastest_products_take() -> None:
    learned = {"layer": 1e-5, "head": 1e-4}
    products = measured("matrix products", 1, learned_seconds=learned, step_seconds={"32": 0.02})
    update = measured("Plaudit", 1, positions=2_000, adapted=15, tokens=1_000)
    assert _workload.floor_of_update(products, update) == pytest.approx(2_000 * 15 * 1e-5 + 1_000 * 1e-4)
    assert _workload.floor_of_step(products, 32) == 0.02


def test_an_exponent_is_the_slope_of_the_logarithms() -> None:
    assert exponent({n: 3 * n**1.5 for n in (16, 64, 512)}) == pytest.approx(1.5)
    assert exponent({16: 2.0, 32: 2.0}) == pytest.approx(0)
    assert growth([200, 250, 300]) == 1.5


def test_every_pair_of_a_ranking_is_asked_for() -> None:
    asked = questions(3, answers=4)
    assert asked == questions(3, answers=4)
    assert len({item["prompt"] for item in asked}) == 3
    assert all(len(item["pairs"]) == 6 and len(set(item["answers"])) == 4 for item in asked)
    assert all(16 <= len(answer.split()) <= 96 for item in asked for answer in item["answers"])


def test_weights_go_to_gguf_as_they_came_from_it() -> None:
    import numpy as np
    import torch

    from plaudit.models.embedded import huggingface_name, unpermute

    for name in ("token_embd.weight", "blk.3.attn_q.weight", "blk.12.ffn_norm.weight", "output_norm.weight"):
        assert gguf_name(huggingface_name(name)) == name
    weight = torch.arange(96.0).view(24, 4)
    assert np.array_equal(permute(unpermute(weight, heads=3).numpy(), heads=3), weight.numpy())


def test_the_time_until_enough_is_won_is_that_of_all_iterations_so_far() -> None:
    quick, slow, never = (
        [{"seconds": seconds, "share": share} for share in shares]
        for seconds, shares in ((2, (0.5, 0.9, 0.9, 0.9)), (9, (0.5, 0.8, 0.8, 0.9)), (1, (0.1, 0.9, 0.1)))
    )
    assert [time_to_wins.has_won(quick[:n]) for n in range(5)] == [False] * 4 + [True]
    assert time_to_wins.sooner({"grpo": never, "rloo": slow}) == "rloo"
    rows = time_to_wins.rows_of({"plaudit 0": quick, "rloo 0": slow, "grpo 0": never}, "rloo", [0])
    assert [(row.value, row.peer) for row in rows[:2]] == [(8, 36), (4, 4)]
    assert (rows[-1].value, rows[-1].met) == (4.5, False)
