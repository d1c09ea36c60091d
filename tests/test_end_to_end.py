"""The whole loop on the real pretrained model, as a person types it; skipped where that model cannot be had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plaudit.errors import PlauditError
from plaudit.models.catalog import LanguageModel, load
from plaudit.models.chat import encode_prompt
from plaudit.models.packing import pack
from plaudit.types import Prompt

PLAUDIT = (sys.executable, "-c", "import sys; from plaudit.cli import main; sys.exit(main())")


@pytest.fixture(scope="module")
def embedded() -> LanguageModel:
    try:
        return load("smollm2")
    except PlauditError as error:
        pytest.skip(f"the embedded model is not to be had: {error}")


@pytest.mark.slow
def test_the_embedded_model_speaks(embedded: LanguageModel) -> None:
    """A conversion that loads but garbles the weights would pass every test on a random model."""
    asked = encode_prompt(embedded.tokenizer, Prompt.from_text("What is the capital of France?"))
    answers = ["The capital of France is Paris.", "The capital of France is potato."]
    ids = [embedded.tokenizer(answer, add_special_tokens=False)["input_ids"] for answer in answers]
    trunk = embedded.trunk
    packed = pack([asked], [ids], dtype=trunk.dtype, device=trunk.device)
    hidden = trunk.upper(trunk.lower(packed.tokens), packed.tokens)
    logprobs, _ = trunk.token_logprobs(packed.select(hidden), packed.targets_AT[packed.present_AT])
    sensible, absurd = packed.spread(logprobs).sum(1).tolist()
    assert sensible > -8  # nats, for the whole sentence
    assert sensible > absurd + 5


@pytest.mark.slow
@pytest.mark.usefixtures("embedded")
def test_the_demo_runs_on_the_embedded_model_and_only_once(tmp_path: Path) -> None:
    command = [*PLAUDIT, "demo", "--quick", "--seed", "1", "--out", str(tmp_path / "demo")]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    for stage in ("Sampled 76 answers", "A simulated panel", "The reward model learned", "Aligned the model by RLOO"):
        assert stage in done.stdout
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text(encoding="utf-8"))
    assert 0 <= summary["win_rate_low"] <= summary["win_rate"] <= summary["win_rate_high"] <= 1
    assert summary["reward_accuracy"] > 0.5
    assert abs(summary["kl_nats"]) < 5  # two iterations do not go far
    assert summary["peak_memory_mb"] < 2_200  # what the README promises, of fp32; bf16 takes 1,800
    page = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert "The panel was simulated" in page or "simulated panel" in page
    began = time.monotonic()
    subprocess.run(command, capture_output=True, check=True, env=environment)
    assert time.monotonic() - began < 10  # half a second on an idle machine: nothing is left to do
