"""bf16 where it is faster, fp32 where it is a trap: measured once, recorded, and kept by what was begun in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from plaudit.errors import UsageError
from plaudit.models import arithmetic
from plaudit.models.arithmetic import MEASURED, choose_arithmetic
from plaudit.models.catalog import load
from plaudit.models.lora import LoraSettings
from plaudit.models.prepacked import prepack

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("PLAUDIT_CACHE", str(tmp_path))
    return tmp_path


def pretend(monkeypatch: pytest.MonkeyPatch, bf16: float, fp32: float) -> list[torch.dtype]:
    """Let products take so many seconds; what is returned grows with each measurement."""
    measured: list[torch.dtype] = []

    def seconds(dtype: torch.dtype) -> float:
        measured.append(dtype)
        return bf16 if dtype == torch.bfloat16 else fp32

    monkeypatch.setattr(arithmetic, "_seconds", seconds)
    return measured


@pytest.mark.parametrize(
    ("bf16", "fp32", "dtype", "why"),
    [
        (1.0, 5.0, "bf16", "bf16 products are 5.0 times as fast as fp32 ones here"),
        (8.0, 1.0, "fp32", "bf16 products take 8.0 times as long as fp32 ones here"),
        (1.0, 1.1, "fp32", "bf16 products are hardly faster than fp32 ones here"),
    ],
)
def test_the_faster_format_is_chosen_and_why_is_said(monkeypatch, bf16, fp32, dtype, why) -> None:
    pretend(monkeypatch, bf16, fp32)
    chosen = choose_arithmetic("auto", CPU)
    assert (chosen.dtype, chosen.why) == (dtype, why)
    assert f"{dtype} with {torch.get_num_threads()} thread" in str(chosen)


def test_it_is_measured_once_for_a_processor_and_a_torch(monkeypatch, cache: Path) -> None:
    measured = pretend(monkeypatch, 1.0, 5.0)
    assert choose_arithmetic("auto", CPU) == choose_arithmetic("auto", CPU)
    assert len(measured) == 2  # one in each format
    monkeypatch.setattr(arithmetic, "processor_name", lambda: "another")
    choose_arithmetic("auto", CPU)
    assert len(measured) == 4
    assert len(json.loads((cache / MEASURED).read_text())) == 2


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"x": 3}', "null"])
def test_a_damaged_cache_is_measured_anew(monkeypatch, cache: Path, damage: str) -> None:
    (cache / MEASURED).write_text(damage)
    pretend(monkeypatch, 8.0, 1.0)
    assert choose_arithmetic("auto", CPU).dtype == "fp32"
    measured = pretend(monkeypatch, 1.0, 8.0)
    assert choose_arithmetic("auto", CPU).dtype == "fp32"  # as was measured before
    assert measured == []


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(monkeypatch, cache: Path) -> None:
    (cache / "file").write_text("")
    monkeypatch.setenv("PLAUDIT_CACHE", str(cache / "file"))
    pretend(monkeypatch, 8.0, 1.0)
    assert choose_arithmetic("auto", CPU).dtype == "fp32"


def test_the_measurement_itself_takes_both_formats() -> None:
    chosen = choose_arithmetic("auto", CPU)
    assert chosen.dtype in ("bf16", "fp32")
    assert "bf16 products" in chosen.why


def test_what_was_asked_for_is_taken_or_refused() -> None:
    assert (choose_arithmetic("bf16", CPU).dtype, choose_arithmetic("bf16", CPU).why) == ("bf16", "as asked")
    with pytest.raises(UsageError, match="fp16 is for GPUs"):
        choose_arithmetic("fp16", CPU)
    with pytest.raises(UsageError, match="no dtype fp8; use auto, bf16 or fp16 or fp32"):
        choose_arithmetic("fp8", CPU)


@pytest.mark.parametrize(("supported", "dtype"), [(True, "bf16"), (False, "fp16")])
def test_a_gpu_computes_in_what_it_multiplies(monkeypatch, supported: bool, dtype: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A GPU")
    chosen = choose_arithmetic("auto", torch.device("cuda"))
    assert (chosen.dtype, chosen.processor, chosen.instructions) == (dtype, "A GPU", "CUDA 7.5")


def test_a_model_computes_as_asked_on_as_many_threads_as_asked(tiny_folder: Path) -> None:
    before = torch.get_num_threads()
    try:
        model = load(str(tiny_folder), dtype="bf16", threads=1)
        assert (model.trunk.dtype, model.arithmetic.dtype, model.arithmetic.threads) == (torch.bfloat16, "bf16", 1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("trained", "loaded"), [("bf16", "fp32"), ("fp32", "bf16")])
def test_an_adapter_trained_in_one_format_loads_in_the_other(tiny_folder, tmp_path, trained, loaded) -> None:
    one, other = (load(str(tiny_folder), dtype=dtype).trunk for dtype in (trained, loaded))
    one.add_adapter("policy", LoraSettings(4), seed=3)
    for parameter in one.adapter_parameters("policy").values():
        parameter.data.normal_(generator=torch.Generator().manual_seed(0))
    one.save_adapter("policy", tmp_path / "adapter", "tiny")
    other.load_adapter("policy", tmp_path / "adapter")
    there = other.adapter_parameters("policy")
    assert all(torch.equal(there[name], parameter) for name, parameter in one.adapter_parameters("policy").items())


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 16, 30, 31, 32, 255, 256, 257])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_by_prepacked_weights_is_linear(rows: int, biased: bool, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(rows)
    x, weight = torch.randn(rows, 1, 24, generator=generator), torch.randn(40, 24, generator=generator)
    bias = torch.randn(40, generator=generator) if biased else None
    x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    with torch.no_grad():
        ours = prepack(weight)(x, bias)
    rtol, atol = (1e-4, 1e-5) if dtype == torch.float32 else (2e-2, 2e-2)
    torch.testing.assert_close(ours, torch.nn.functional.linear(x, weight, bias), rtol=rtol, atol=atol)
    torch.testing.assert_close(prepack(weight)(x[:, -1], bias), ours[:, -1])
