"""The shared trunk: one frozen language model, and small LoRA adapters that make it policy, reward model and critic.

PPO needs a policy, a reference, a reward model and a critic. Here they are one set of weights: the reference is the
trunk with no adapter, each of the others is an adapter (LoRA, arXiv 2106.09685) in the upper layers only. The layers
below `split` are then the same for all four: their output is computed once a batch (`lower`), and never differentiated.

Any decoder-only Hugging Face model with rotary positions works. `Trunk` runs its layers itself, and `check` compares
the result with the model's own forward: an architecture that this file misreads is refused, not mistrained.

Shapes: B rows, L tokens a row, D hidden size, V vocabulary, N selected positions, H heads, K key-value heads, d head
size; Q and P, positions that look and that are looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save
from torch import Tensor, nn
from transformers import AttentionInterface

from plaudit.errors import UsageError
from plaudit.files import write_atomically
from plaudit.models.logprobs import TokenLogprobs
from plaudit.models.lora import Active, AdaptedLinear, LoraSettings, project
from plaudit.models.packing import Tokens

PREFIX = "base_model.model."  # PEFT wraps the model twice


def grouped_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float, **_: Any
) -> tuple[Tensor, None]:
    """Attention as two plain matrix products, key-value heads shared without copying them.

    On CPU and at RLHF's lengths (about 200 tokens with an arbitrary mask) this beats the fused kernel both ways.
    `query` (B, H, Q, d); `key`, `value` (B, K, P, d); `mask` (B, 1, Q, P) additive; out (B, Q, H, d).
    """
    B, H, Q, d = query.shape
    K, P = key.shape[1], key.shape[2]
    if Q == 1:  # decoding: the heads of a group are as many queries to the fused kernel, a third of the time
        fused_BKHd = F.scaled_dot_product_attention(query.view(B, K, H // K, d), key, value, mask, scale=scaling)
        return fused_BKHd.reshape(B, 1, H, d), None
    grouped = query.reshape(B, K, H // K * Q, d)
    scores = (grouped @ key.transpose(2, 3)).view(B, K, H // K, Q, P) * scaling
    if mask is not None:
        scores = scores + mask.unsqueeze(2)
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    out = weights.view(B, K, H // K * Q, P) @ value
    return out.view(B, H, Q, d).transpose(1, 2), None


AttentionInterface.register("plaudit_grouped", grouped_attention)


class Trunk:
    """A frozen causal language model that several adapters share.

    Args:
        model: a Hugging Face causal language model with rotary positions; it is frozen and its dropout switched off.
        split: number of layers at the bottom that no adapter touches. Default: half of them.

    Raises:
        UsageError: the model's layout is not one that this class runs faithfully.
    """

    def __init__(self, model: Any, split: int | None = None) -> None:
        base: Any = model.base_model
        parts = ("embed_tokens", "norm", "layers", "rotary_emb")
        if any(getattr(base, part, None) is None for part in parts) or model.get_output_embeddings() is None:
            raise UsageError(
                f"A {model.config.model_type} model cannot be the trunk: plaudit needs a decoder-only model with "
                "rotary positions (Llama, Mistral, Qwen, SmolLM, OLMo, Phi-3 and their like)."
            )
        model.eval().requires_grad_(False)
        model.config._attn_implementation = "plaudit_grouped"
        self.model, self.config = model, model.config
        self.embed, self.norm, self.rotary, self.head = base.embed_tokens, base.norm, base.rotary_emb, model.lm_head
        self.layers: list[Any] = list(base.layers)
        self.split = len(self.layers) // 2 if split is None else split
        self.active = Active()
        self.adapters: dict[str, LoraSettings] = {}
        self.adapted: dict[str, AdaptedLinear] = {}  # module path -> layer, upper layers only
        check(self)
        self._path = next(name for name, module in model.named_modules() if module is base.layers)  # "model.layers"
        self.layers_name = self._path.rpartition(".")[2]
        for index in range(len(self.layers)):
            self._wrap(index)

    def _wrap(self, index: int) -> None:
        layer = self.layers[index]
        for path, module in list(layer.named_modules()):
            if isinstance(module, nn.Linear):
                parent = layer.get_submodule(path.rpartition(".")[0])
                adapted = AdaptedLinear(module, self.active)
                setattr(parent, path.rpartition(".")[2], adapted)
                if index >= self.split:
                    self.adapted[f"{self._path}.{index}.{path}"] = adapted

    @property
    def device(self) -> torch.device:
        return self.embed.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embed.weight.dtype

    @property
    def depth(self) -> int:
        return len(self.layers)

    @property
    def hidden_size(self) -> int:
        return int(self.config.hidden_size)

    def add_adapter(self, name: str, settings: LoraSettings, seed: int, depth: int | None = None) -> None:
        """A new adapter `name` in layers `split` to `depth` (default: all the upper ones). It changes nothing yet."""
        generator = torch.Generator().manual_seed(seed)
        for index, layer in self._upper_linears():
            if depth is None or index < depth:
                layer.add(name, settings, generator)
        self.adapters[name] = settings

    def drop_adapter(self, name: str) -> None:
        for layer in self.adapted.values():
            if name in layer.a:
                del layer.a[name], layer.b[name], layer.scales[name]
        del self.adapters[name]

    def save_adapter(self, name: str, folder: Path, base_model: str) -> None:
        """Write the adapter `name` in PEFT's format, so that PEFT, vLLM and whatever reads it can load it.

        `adapter_model.safetensors` and `adapter_config.json`, which names `base_model`.
        """
        parameters = self.adapter_parameters(name)
        tensors = {f"{PREFIX}{path}.weight": p.detach().cpu().contiguous() for path, p in parameters.items()}
        settings, paths = self.adapters[name], {path.rpartition(".")[0] for path in parameters}
        config = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base_model,
            "inference_mode": True,
            "r": settings.rank,
            "lora_alpha": settings.alpha,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": False,
            "init_lora_weights": True,
            "target_modules": sorted({path.rpartition(".")[2] for path in paths}),
            "layers_to_transform": sorted({self.layer_index(path) for path in paths}),
            "layers_pattern": self.layers_name,
        }
        write_atomically(folder / "adapter_model.safetensors", save(tensors, metadata={"format": "pt"}))
        write_atomically(folder / "adapter_config.json", json.dumps(config, indent=2) + "\n")

    def load_adapter(self, name: str, folder: Path) -> None:
        """Add the adapter in `folder` as `name`.

        Raises:
            UsageError: the folder holds no adapter, or one for another model.
        """
        try:
            config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text())
            tensors = load_file(folder / "adapter_model.safetensors")
        except (OSError, ValueError) as error:
            raise UsageError(f"There is no adapter in {folder} ({error}): name a finished run.") from error
        last = max(config["layers_to_transform"])
        self.add_adapter(name, LoraSettings(config["r"], config["lora_alpha"]), seed=0, depth=last + 1)
        parameters = self.adapter_parameters(name)
        expected = {f"{PREFIX}{path}.weight": p for path, p in parameters.items()}
        if expected.keys() != tensors.keys() or any(expected[k].shape != t.shape for k, t in tensors.items()):
            self.drop_adapter(name)
            raise UsageError(
                f"The adapter in {folder} was made for {config.get('base_model_name_or_path', 'another model')} with "
                "other layers than this trunk's: load it with the model and split that it was trained with."
            )
        for key, tensor in tensors.items():
            expected[key].data.copy_(tensor)

    def _upper_linears(self) -> Iterator[tuple[int, AdaptedLinear]]:
        for path, layer in self.adapted.items():
            yield self.layer_index(path), layer

    def layer_index(self, path: str) -> int:
        """Which layer the module at `path` (as in `adapted`) belongs to."""
        return int(path.removeprefix(f"{self._path}.").split(".")[0])

    def adapter_parameters(self, name: str) -> dict[str, nn.Parameter]:
        """Module path + ".lora_A" / ".lora_B" -> parameter, for one adapter."""
        parameters = {}
        for path, layer in self.adapted.items():
            if name in layer.a:
                parameters[f"{path}.lora_A"] = layer.a[name]
                parameters[f"{path}.lora_B"] = layer.b[name]
        return parameters

    @contextmanager
    def using(self, name: str | None) -> Iterator[None]:
        """Apply the adapter `name` (None: the bare trunk) inside the block."""
        previous, self.active.name = self.active.name, name
        try:
            yield
        finally:
            self.active.name = previous

    @contextmanager
    def merged(self, name: str | None) -> Iterator[None]:
        """As `using`, for sampling: the adapter is folded into a copy of the upper weights, which costs 25 ms once."""
        layers = [layer for layer in self.adapted.values() if name in layer.a] if name else []
        with torch.no_grad(), self.using(name):
            try:
                for layer in layers:
                    layer.merge(str(name))
                yield
            finally:
                for layer in layers:
                    layer.merged = None

    @torch.no_grad()
    def lower(self, tokens: Tokens, cache: Any = None) -> Tensor:
        """Hidden states (B, L, D) where the adapters begin: the same for all of them."""
        return self._run(self.embed(tokens.ids_BL), tokens, 0, self.split, cache)

    def upper(self, hidden_BLD: Tensor, tokens: Tokens, depth: int | None = None, cache: Any = None) -> Tensor:
        """Hidden states (B, L, D) after layer `depth` (default: all and the final norm), with the active adapter."""
        hidden_BLD = self._run(hidden_BLD, tokens, self.split, depth or len(self.layers), cache)
        return self.norm(hidden_BLD) if depth is None else hidden_BLD

    def _run(self, hidden_BLD: Tensor, tokens: Tokens, start: int, stop: int, cache: Any) -> Tensor:
        rotary = self.rotary(hidden_BLD, position_ids=tokens.positions_BL)
        for layer in self.layers[start:stop]:
            hidden_BLD = layer(
                hidden_BLD,
                attention_mask=tokens.mask_B1LL,
                position_ids=tokens.positions_BL,
                past_key_values=cache,
                use_cache=cache is not None,
                position_embeddings=rotary,
            )
        return hidden_BLD

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits for hidden states of any shape (..., D)."""
        return project(hidden, self.head.weight)

    def token_logprobs(self, hidden_ND: Tensor, targets_N: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """Log-probability of each target and the entropy (both (N,), nats, fp32) of softmax(logits / temperature).

        The sampler divides by the same temperature: a policy is what it samples from (TRL #4159).
        """
        logprobs_N, entropy_N = TokenLogprobs.apply(hidden_ND, self.head.weight, targets_N, temperature)
        return logprobs_N, entropy_N


@torch.no_grad()
def check(trunk: Trunk) -> None:
    """Compare the trunk's forward with the model's own on a few tokens; refuse what differs."""
    ids = torch.arange(3, 11, device=trunk.device)[None] % trunk.embed.num_embeddings
    length = ids.shape[1]
    hidden = torch.full((length, length), torch.finfo(trunk.dtype).min, dtype=trunk.dtype, device=trunk.device).triu(1)
    tokens = Tokens(ids, torch.arange(length, device=trunk.device)[None], hidden[None, None])
    ours = trunk.logits(trunk.upper(trunk.lower(tokens), tokens)).float()
    theirs = trunk.model(input_ids=ids, attention_mask=tokens.mask_B1LL, use_cache=False).logits.float()
    if not torch.allclose(ours, theirs, rtol=1e-2, atol=1e-2 * float(theirs.abs().max())):
        raise UsageError(
            f"A {trunk.config.model_type} model cannot be the trunk: it does more than plaudit's own forward pass "
            "(for example scaled embeddings or capped logits), so training it here would train another model."
        )
