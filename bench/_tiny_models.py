"""Tiny random models of every causal class that transformers knows, built from their configurations alone."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedConfig

SMALL = {
    "vocab_size": 96,
    "hidden_size": 32, "d_model": 32, "n_embd": 32, "dim": 32, "embedding_size": 32, "attention_hidden_size": 32,
    "intermediate_size": 48, "ffn_dim": 48, "n_inner": 48, "ffn_hidden_size": 48, "decoder_ffn_dim": 48, "d_ff": 48,
    "encoder_ffn_dim": 48, "moe_intermediate_size": 16, "expert_ffn_hidden_size": 16,
    "shared_expert_intermediate_size": 16,
    "dense_intermediate_size": 48, "block_ff_dim": 48, "intermediate_size_mlp": 48, "shared_intermediate_size": 16,
    "num_hidden_layers": 4, "n_layer": 4, "num_layers": 4, "decoder_layers": 4, "encoder_layers": 4, "n_layers": 4,
    "num_attention_heads": 4, "n_head": 4, "decoder_attention_heads": 4, "encoder_attention_heads": 4, "n_heads": 4,
    "num_heads": 4, "num_key_value_heads": 2, "num_kv_heads": 2, "multi_query_group_num": 2,
    "head_dim": 8, "global_head_dim": 8, "attention_head_dim": 8, "kv_channels": 8,
    "num_local_experts": 4, "num_experts": 4, "n_routed_experts": 4, "moe_num_experts": 4, "n_shared_experts": 1,
    "num_experts_per_tok": 2, "moe_k": 2, "moe_topk": 2, "n_group": 1, "topk_group": 1, "top_k_experts": 2,
    "first_k_dense_replace": 1, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
    "v_head_dim": 8, "qk_head_dim": 16, "rotary_dim": 4, "n_positions": 512, "max_position_embeddings": 512,
    "mamba_num_heads": 4, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_head_dim": 16, "ssm_state_size": 8,
    "state_size": 8,
    "index_n_heads": 2, "index_head_dim": 8, "index_topk": 8, "attn_layer_indices": [1, 3],
    "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1,
    "mamba_expand": 2,
    "num_dense_layers": 1, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    # Its default of 1 makes scores so sharp that rounding in fp32 is 1e-4 nats; published Granites have 1/d.
    "attention_multiplier": 0.25,
}  # fmt: skip
WINDOWS = ("sliding_window", "attention_chunk_size", "window_size", "local_attention_window", "attention_window_size")
WINDOW = 64
OPTIONAL = {"q_lora_rank", "n_inner", "sliding_window"}  # None means that it is not there
MOST_PARAMETERS = 3_000_000


class TooLargeError(Exception):
    """The class cannot be built small from its configuration."""


def tiny_model(model_class: Any, **chosen: Any) -> Any:
    """A random model of the class with a vocabulary of 96, four layers and windows of 64, whose attention is sharp.

    Raises:
        TooLargeError: it would not be tiny.
    """
    config = tiny_config(model_class.config_class, **chosen)
    with torch.device("meta"):
        size = sum(p.numel() for p in model_class._from_config(config).parameters())
    if size > MOST_PARAMETERS:
        raise TooLargeError(f"{size:,} parameters")
    torch.manual_seed(0)
    model = model_class._from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Random weights this small attend evenly to everything: caps, windows and sinks would not be seen.
            if parameter.dim() > 1:
                parameter.normal_(0, 1.5 / parameter.shape[-1] ** 0.5)
            elif "sink" in name or "bias" in name:
                parameter.normal_(0, 0.5)
    return model


def tiny_config(config_class: Any, **chosen: Any) -> Any:
    """A configuration with everything small, of which nothing else is known."""
    config = config_class()
    known = config.to_dict()
    small = {name: value for name, value in SMALL.items() if name in known or name in config.attribute_map}
    small = {name: value for name, value in small.items() if known.get(name, 0) is not None or name not in OPTIONAL}
    small |= {name: WINDOW for name in WINDOWS if isinstance(known.get(name), int)}
    for name, value in known.items():  # one entry a layer
        if isinstance(value, list) and len(value) == getattr(config, "num_hidden_layers", 0) > 4:
            small[name] = _some_of_each(value)
        if isinstance(getattr(config, name, None), PreTrainedConfig):
            small[name] = tiny_config(type(getattr(config, name)))
    if "kv_lora_rank" in known:  # latent attention has a key for each head
        small["num_key_value_heads"] = SMALL["num_attention_heads"]
    for name in ("head_dim", "layer_types"):
        if name not in known and name not in config.attribute_map:
            small.pop(name, None)
    return config_class(**small | chosen)


def _some_of_each(entries: list[Any]) -> list[Any]:
    """Four of them, with the first of each kind."""
    kinds = [entry for n, entry in enumerate(entries) if isinstance(entry, str) and entry not in entries[:n]]
    return (entries[: 4 - len(kinds)] + kinds if 1 < len(kinds) <= 4 else entries[:4])[:4]


def causal_classes() -> list[Any]:
    """Every class that AutoModelForCausalLM may give, by name."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    found = [MODEL_FOR_CAUSAL_LM_MAPPING[config] for config in MODEL_FOR_CAUSAL_LM_MAPPING]
    classes = {c for entry in found for c in (entry if isinstance(entry, tuple) else (entry,))}
    return sorted(classes, key=lambda c: c.__name__)
