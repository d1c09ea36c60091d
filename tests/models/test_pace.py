"""What a plan measures, and the twin that stands for a model whose weights are not there."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from plaudit.errors import UsageError
from plaudit.models import pace as module
from plaudit.models.gpus import GPUS, compute_pace, gpu_named
from plaudit.models.pace import make_twin, measure_pace, shape_of
from plaudit.models.trunk import Trunk


def config(**more: int) -> LlamaConfig:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 6, "num_attention_heads": 4}
    return LlamaConfig(**{**sizes, "num_key_value_heads": 2, "vocab_size": 300, "tie_word_embeddings": True, **more})


def test_a_twin_has_fewer_layers_and_tokens_and_tells_the_shape_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAYERS_MB", 0)
    monkeypatch.setattr(module, "TWIN_VOCABULARY", 100)
    twin = make_twin(config(), torch.float32, torch.device("cpu"))
    assert (twin.depth, twin.head.weight.shape[0]) == (2, 100)
    whole = Trunk(LlamaForCausalLM(config()))
    assert shape_of(twin, config()) == shape_of(whole)


def test_a_shape_is_counted_from_the_configuration() -> None:
    shape = shape_of(Trunk(LlamaForCausalLM(config())))
    layer = 32 * (32 + 16 + 16 + 32) + 3 * 32 * 48  # queries, keys, values, output; gate, up, down
    assert shape.weight_bytes == 4 * (300 * 32 + 6 * (layer + 2 * 32) + 32)
    assert shape.upper_bytes == 4 * 3 * layer
    assert shape.cache_bytes == 4 * 2 * 6 * 2 * 8
    assert shape.adapter_numbers == 16 * 3 * ((32 + 32) * 2 + (32 + 16) * 2 + (32 + 48) * 3)


def test_measuring_leaves_the_model_as_it_was(tiny) -> None:
    before = {name: p.clone() for name, p in tiny.trunk.model.named_parameters()}
    pace = measure_pace(tiny.trunk, 12, 8)
    assert tiny.trunk.adapters == {}
    assert all(torch.equal(p, before[name]) for name, p in tiny.trunk.model.named_parameters())
    assert all(getattr(pace, field.name) >= 0 for field in fields(pace))
    assert pace.read > 0
    assert pace.learn > 0
    assert pace.kept_bytes > 0


def test_measuring_reads_no_longer_text_than_the_run_does(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some models refuse a text that is longer than they were trained on: a plan must not be what ends a run."""
    for prompt_tokens, answer_tokens in ((12, 8), (12, 1), (1, 1)):
        monkeypatch.setattr(tiny.trunk._layers, "longest", max(3, prompt_tokens + answer_tokens))
        measure_pace(tiny.trunk, prompt_tokens, answer_tokens)


def test_more_rows_take_longer_and_never_less_each() -> None:
    shape = shape_of(Trunk(LlamaForCausalLM(config())))
    pace = module.Pace(1, 0.5, 2, 0.25, 0, 0, 0, 0, 0)
    assert pace.decode(shape, 4) == 6 * (1 + 0.5 * 4) + 2 + 0.25 * 4


def test_a_gpu_that_is_not_there_is_computed_from_its_figures() -> None:
    shape = shape_of(Trunk(LlamaForCausalLM(config())))
    slow, fast = (compute_pace(shape, GPUS[name]) for name in ("t4", "h100"))
    assert slow.learn == pytest.approx(fast.learn * 989 / 65)
    assert gpu_named("H100") == GPUS["h100"]
    with pytest.raises(UsageError, match="no figures for a GPU abacus; use t4"):
        gpu_named("abacus")
