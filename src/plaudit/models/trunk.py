"""The shared trunk: one frozen language model, and small LoRA adapters that make it policy, reward model and critic.

PPO needs a policy, a reference, a reward model and a critic. Here they are one set of weights: the reference is the
trunk with no adapter, each of the others is an adapter (LoRA, arXiv 2106.09685) in the upper layers only. The layers
below `split` are then the same for all four: their output is computed once a batch (`lower`), and never differentiated.

Any decoder-only Hugging Face model with rotary positions works. `Trunk` runs its layers itself, and `check` compares
the result with the model's own forward: an architecture that this file misreads is refused, not mistrained.

Shapes: B rows, L tokens a row, D hidden size, V vocabulary, N selected positions, H heads, K key-value heads, d head
size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface

from plaudit.errors import UsageError


def grouped_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float, **_: Any
) -> tuple[Tensor, None]:
    """Attention as two plain matrix products, key-value heads shared without copying them.

    On CPU and at RLHF's lengths (about 200 tokens with an arbitrary mask) this beats the fused kernel both ways.
    `query` (B, H, Lq, d); `key`, `value` (B, K, Lk, d); `mask` (B, 1, Lq, Lk) additive; out (B, Lq, H, d).
    """
    B, H, Lq, d = query.shape
    K, Lk = key.shape[1], key.shape[2]
    if Lq == 1:  # decoding: the heads of a group are as many queries to the fused kernel, a third of the time
        fused = F.scaled_dot_product_attention(query.view(B, K, H // K, d), key, value, mask, scale=scaling)
        return fused.reshape(B, 1, H, d), None
    grouped = query.reshape(B, K, H // K * Lq, d)
    scores = (grouped @ key.transpose(2, 3)).view(B, K, H // K, Lq, Lk) * scaling
    if mask is not None:
        scores = scores + mask.unsqueeze(2)
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    out = weights.view(B, K, H // K * Lq, Lk) @ value
    return out.view(B, H, Lq, d).transpose(1, 2), None


AttentionInterface.register("plaudit_grouped", grouped_attention)


@dataclass(frozen=True)
class Tokens:
    """Rows of tokens with an explicit layout, so that several answers can share one prompt in one row."""

    ids: Tensor  # (B, L) int64; padding holds any valid id, the mask hides it
    positions: Tensor  # (B, L) int64: rotary positions
    mask: Tensor  # (B, 1, L, L) additive: 0 where the row may look at the column, very negative elsewhere


@dataclass(frozen=True)
class LoraSettings:
    rank: int = 16
    alpha: float = 32.0  # the update is scaled by alpha / rank

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


class Active:
    """Which adapter the trunk's linear layers apply just now; shared by all of them."""

    name: str | None = None


FEW_ROWS = 256
ROWS_AT_ONCE = 16  # that BLAS computes as fast as any fewer; 30 rows take nearly twice the time of 32


def project(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear`, for the few rows of a decode step in fp32 on a CPU as W xᵀ, of a multiple of ROWS_AT_ONCE rows.

    BLAS takes two thirds of the time that way round (32 rows, 576 by 1,536, AVX2), of 30 rows even more is saved.
    """
    rows = x.numel() // x.shape[-1]
    if rows > FEW_ROWS or torch.is_grad_enabled() or x.dtype != torch.float32 or x.is_cuda:
        return F.linear(x, weight, bias)
    flat = F.pad(x.reshape(rows, -1), (0, 0, 0, -rows % ROWS_AT_ONCE if rows > ROWS_AT_ONCE // 2 else 0))
    out = (weight @ flat.t())[:, :rows].t().reshape(*x.shape[:-1], -1)
    return out if bias is None else out + bias


class AdaptedLinear(nn.Module):
    """A frozen linear layer, plus `scale · B A x` of the active adapter: fp32, computed in the trunk's dtype."""

    def __init__(self, linear: nn.Linear, active: Active) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.active = active
        self.a = nn.ParameterDict()  # name -> (rank, in)
        self.b = nn.ParameterDict()  # name -> (out, rank)
        self.scales: dict[str, float] = {}
        self.merged: Tensor | None = None  # weight with the active adapter folded in, while sampling

    def add(self, name: str, settings: LoraSettings, generator: torch.Generator) -> None:
        """A new adapter that changes nothing yet: A uniform (Kaiming, as LoRA and PEFT do), B zero."""
        out, inner = self.weight.shape
        bound = 1 / math.sqrt(inner)
        a = torch.empty(settings.rank, inner).uniform_(-bound, bound, generator=generator)
        self.a[name] = nn.Parameter(a.to(self.weight.device))
        self.b[name] = nn.Parameter(torch.zeros(out, settings.rank, device=self.weight.device))
        self.scales[name] = settings.scale

    def merge(self, name: str) -> None:
        delta = (self.b[name] * self.scales[name]).to(self.weight.dtype)
        self.merged = torch.addmm(self.weight, delta, self.a[name].to(self.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        name = self.active.name
        if name is None or name not in self.a:
            return project(x, self.weight, self.bias)
        if self.merged is not None:
            return project(x, self.merged, self.bias)
        low = F.linear(x, self.a[name].to(x.dtype)) * self.scales[name]
        return F.linear(x, self.weight, self.bias) + F.linear(low, self.b[name].to(x.dtype))


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

    def _upper_linears(self) -> Iterator[tuple[int, AdaptedLinear]]:
        for path, layer in self.adapted.items():
            yield self.layer_index(path), layer

    def layer_index(self, path: str) -> int:
        """Which layer the module at `path` (as in `adapted`) belongs to."""
        return int(path.removeprefix(f"{self._path}.").split(".")[0])

    def adapter_parameters(self, name: str) -> dict[str, nn.Parameter]:
        """Module path + ".lora_A" / ".lora_B" -> parameter, for one adapter."""
        found = {}
        for path, layer in self.adapted.items():
            if name in layer.a:
                found[f"{path}.lora_A"] = layer.a[name]
                found[f"{path}.lora_B"] = layer.b[name]
        return found

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
        return self._run(self.embed(tokens.ids), tokens, 0, self.split, cache)

    def upper(self, hidden: Tensor, tokens: Tokens, depth: int | None = None, cache: Any = None) -> Tensor:
        """Hidden states (B, L, D) after layer `depth` (default: all and the final norm), with the active adapter."""
        hidden = self._run(hidden, tokens, self.split, depth or len(self.layers), cache)
        return self.norm(hidden) if depth is None else hidden

    def _run(self, hidden: Tensor, tokens: Tokens, start: int, stop: int, cache: Any) -> Tensor:
        rotary = self.rotary(hidden, position_ids=tokens.positions)
        for layer in self.layers[start:stop]:
            hidden = layer(
                hidden,
                attention_mask=tokens.mask,
                position_ids=tokens.positions,
                past_key_values=cache,
                use_cache=cache is not None,
                position_embeddings=rotary,
            )
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits for hidden states of any shape (..., D)."""
        return project(hidden, self.head.weight)

    def token_logprobs(self, hidden_ND: Tensor, targets_N: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """Log-probability of each target and the entropy (both (N,), nats, fp32) of softmax(logits / temperature).

        The sampler divides by the same temperature: a policy is what it samples from (TRL #4159).
        """
        logprobs, entropy = TokenLogprobs.apply(hidden_ND, self.head.weight, targets_N, temperature)
        return logprobs, entropy


class TokenLogprobs(torch.autograd.Function):
    """Log-probabilities without ever holding N x V logits: 32 positions at a time, recomputed in the backward pass.

    With 49,152 tokens in the vocabulary the logits of one micro-batch and their gradients would be the largest tensors
    of the whole run. Differentiable in the hidden states only (the head is frozen); the entropy is a metric.
    """

    CHUNK = 32

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        logprobs, entropy = [], []
        for h, t in zip(hidden.split(TokenLogprobs.CHUNK), targets.split(TokenLogprobs.CHUNK), strict=True):
            logp = (F.linear(h, weight).float() / temperature).log_softmax(-1)
            logprobs.append(logp.gather(1, t[:, None])[:, 0])
            entropy.append(-(logp.exp() * logp).sum(-1))
        ctx.save_for_backward(hidden, weight, targets)
        ctx.temperature = temperature
        entropies = torch.cat(entropy)
        ctx.mark_non_differentiable(entropies)
        return torch.cat(logprobs), entropies

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        hidden, weight, targets = ctx.saved_tensors
        size, out = TokenLogprobs.CHUNK, []
        pieces = zip(hidden.split(size), targets.split(size), gradients[0].split(size), strict=True)
        for h, t, g in pieces:
            softmax = (F.linear(h, weight).float() / ctx.temperature).softmax(-1)
            # d log p_t / d logits = (onehot(t) - softmax) / temperature
            slope = softmax.neg_().scatter_add_(1, t[:, None], torch.ones_like(t[:, None], dtype=softmax.dtype))
            out.append((slope * (g / ctx.temperature)[:, None]).to(weight.dtype) @ weight)
        return torch.cat(out), None, None, None


@torch.no_grad()
def check(trunk: Trunk) -> None:
    """Compare the trunk's forward with the model's own on a few tokens; refuse what differs."""
    ids = torch.arange(3, 11, device=trunk.device)[None] % trunk.embed.num_embeddings
    length = ids.shape[1]
    hidden = torch.full((length, length), torch.finfo(trunk.dtype).min, dtype=trunk.dtype, device=trunk.device).triu(1)
    tokens = Tokens(ids, torch.arange(length, device=trunk.device)[None], hidden[None, None])
    ours = trunk.logits(trunk.upper(trunk.lower(tokens), tokens)).float()
    theirs = trunk.model(input_ids=ids, attention_mask=tokens.mask, use_cache=False).logits.float()
    if not torch.allclose(ours, theirs, rtol=1e-2, atol=1e-2 * float(theirs.abs().max())):
        raise UsageError(
            f"A {trunk.config.model_type} model cannot be the trunk: it does more than plaudit's own forward pass "
            "(for example scaled embeddings or capped logits), so training it here would train another model."
        )
