"""The families that people use are computed as their own code computes them, and what is not is refused in a sentence.

Each model is tiny and random, its windows are shorter than its texts, and the other side is the untouched model with
eager attention. `python -m bench model-families` does the same for every class that transformers has.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from bench._tiny_models import tiny_model
from bench.model_families import EXACT, judge
from plaudit.errors import UsageError
from plaudit.models import attention, fidelity
from plaudit.models.head import Head
from plaudit.models.logprobs import TokenLogprobs
from plaudit.models.packing import pack
from plaudit.models.trunk import Trunk

FAMILIES = (
    "Llama", "Mistral", "Mixtral", "Qwen2", "Qwen3", "Qwen3Moe", "Gemma2", "Gemma3", "Phi3", "Phi",
    "Olmo2", "Olmo3", "SmolLM3", "Granite", "GptOss", "GPTNeoX", "Cohere2", "DeepseekV3", "Glm4Moe",
)  # fmt: skip


def model_class(family: str) -> Any:
    return getattr(transformers, f"{family}ForCausalLM")


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_cached_and_through_peft_it_is_the_untouched_model(family: str) -> None:
    verdict, detail = judge(model_class(family))
    assert (verdict, detail if verdict != "right" else "") == ("right", "")
    assert float(detail) <= EXACT


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("GPT2LMHeadModel", "no linear modules"),
        ("FalconForCausalLM", "no linear modules"),
        ("MambaForCausalLM", "layer 0 keeps a state or computes attention by itself"),
        ("Qwen3NextForCausalLM", "layer 0 keeps a state"),
        ("BloomForCausalLM", "computes attention by itself"),
        ("BertLMHeadModel", "answers behind one prompt it computes something else than alone"),
        ("InklingForCausalLM", "its attention wants position_bias"),
    ],
)
def test_what_is_not_honoured_is_refused_and_why_is_said(name: str, why: str) -> None:
    with pytest.raises(UsageError, match=rf"^A \S+ model cannot be the trunk: .*{why}") as refused:
        Trunk(tiny_model(getattr(transformers, name)))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("forgotten", ["window", "cap", "sinks", "scale"])
def test_the_comparison_notices_what_is_left_out(forgotten: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is left out of our side once; transformers' window is 64 tokens and the compared texts are 17."""
    family = {"window": "Mistral", "cap": "Gemma2", "sinks": "GptOss", "scale": "Granite"}[forgotten]
    chosen = {"cap": {"attn_logit_softcapping": 1.0}, "scale": {"logits_scaling": 3.0}}.get(forgotten, {})
    honest = attention.grouped_attention
    if forgotten == "window":
        mask = attention.packed_mask
        monkeypatch.setitem(
            transformers.AttentionMaskInterface._global_mapping,
            attention.ATTENTION,
            lambda *a, mask_function, **k: mask(*a, mask_function=lambda b, h, q, c: c <= q, **k),
        )
    elif forgotten == "scale":
        monkeypatch.setattr(Head, "finish", lambda self, products: products)
    else:
        left_out = {"softcap": None, "s_aux": None}
        monkeypatch.setitem(
            transformers.AttentionInterface._global_mapping,
            attention.ATTENTION,
            lambda *a, **k: honest(*a, **k | left_out),
        )
    model = tiny_model(model_class(family), **chosen)
    with pytest.raises(UsageError, match="computes something else than alone"):
        Trunk(model)


def test_windows_are_as_they_were_after_the_comparison() -> None:
    trunk = Trunk(tiny_model(transformers.MistralForCausalLM))
    assert trunk.config.sliding_window == 64 > fidelity.WINDOW


def test_a_text_beyond_where_rotary_angles_change_is_refused() -> None:
    """One long text in a batch would change what the short ones beside it are."""
    rope = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [4.0] * 4, "rope_theta": 10_000.0}
    trunk = Trunk(
        tiny_model(
            model_class("Phi3"), rope_parameters=rope, original_max_position_embeddings=40, partial_rotary_factor=1.0
        )
    )
    short, long = (pack([[5] * 30], [[[6] * n]], dtype=torch.float32).tokens for n in (10, 11))
    trunk.lower(short)
    with pytest.raises(UsageError, match="A text of 41 tokens is longer than the 40"):
        trunk.lower(long)
    assert Trunk(tiny_model(transformers.OPTForCausalLM))._layers.longest == 512
    assert Trunk(tiny_model(transformers.LlamaForCausalLM))._layers.longest is None


def test_gradients_go_through_scale_cap_bias_and_forbidden_tokens() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(50, 8, generator=generator), torch.randn(50, generator=generator)
    head = Head(weight, bias, scale=0.7, cap=3.0)
    head.forbid([4, 9])
    hidden = torch.randn(40, 8, generator=generator, requires_grad=True)
    targets = torch.arange(10, 50)
    raw = torch.tanh((hidden @ weight.t() + bias) * 0.7 / 3.0) * 3.0
    expected = (raw.index_fill(1, torch.tensor([4, 9]), -torch.inf) / 0.8).log_softmax(-1)
    logprobs, entropy = TokenLogprobs.apply(hidden, head, targets, 0.8, False)
    torch.testing.assert_close(logprobs, expected[torch.arange(40), targets])
    torch.testing.assert_close(entropy, torch.special.entr(expected.exp()).sum(-1))
    weights = torch.linspace(-1, 1, 40)
    (ours,) = torch.autograd.grad((logprobs * weights).sum(), hidden)
    (theirs,) = torch.autograd.grad((expected[torch.arange(40), targets] * weights).sum(), hidden)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
