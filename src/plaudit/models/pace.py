"""How fast this machine runs a model: a few seconds of each kind of work are timed, and all others are counted by them.

Nearly all of the time of the loop goes into three kinds of work: decode steps, passes over whole rows without a
gradient, and passes with one. Each is timed at the lengths that it will have, apart for the layers and for the head,
so that a model with fewer layers says how fast the whole one is: for a plan its weights need not be there (`twin`).

Shapes: B rows, L positions, D hidden size, N answer tokens.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil
import torch
from torch import Tensor

from plaudit.models.decoding import fastest_steps, prefill
from plaudit.models.lora import LoraSettings
from plaudit.models.packing import Packed, pack
from plaudit.models.runtime import release
from plaudit.models.sampling import draw_tokens, draw_uniforms
from plaudit.models.trunk import Trunk

FEW, MANY = 16, 64  # rows that are decoded: what a step takes is a fixed part and one for each row
STEPS = 2  # that are decoded, of which the faster counts
LENGTHS = 3  # of answers, in passes over whole rows
PACKED_PROMPTS, PACKED_ANSWERS = 2, 4  # of a pass over whole rows: a rollout's micro-batch
ADAPTER = "pace"
LAYERS_MB = 100  # a twin has so much of layers, so that hardly a cache holds them all, and at least TWIN_LAYERS
TWIN_LAYERS = 2
TWIN_VOCABULARY = 16_384


@dataclass(frozen=True)
class Shape:
    """What of a model its time, memory and disk follow from."""

    layers: int
    split: int  # layers that no adapter touches
    hidden: int
    vocabulary: int
    number_bytes: int  # of one number of the trunk
    weight_bytes: int  # of all weights
    upper_bytes: int  # of the weights that adapters are merged into
    adapter_numbers: int  # of an adapter of rank 16 in all layers from `split` on
    cache_bytes: int  # keys and values of one position, in all layers

    @property
    def adapted(self) -> int:
        return self.layers - self.split


@dataclass(frozen=True)
class Pace:
    """Seconds of each kind of work, and what learning keeps in memory."""

    step: float  # of a decode step: one layer, whatever the rows
    step_row: float  # of it: one layer, for each row
    step_head: float  # of it: the head and the drawing of a token
    step_head_row: float
    read: float  # one position through one layer, without a gradient
    learn: float  # one position through one adapted layer, forward and backward
    read_head: float  # one answer token through the head
    learn_head: float
    kept_bytes: int  # that one position keeps in one adapted layer for the backward pass

    def decode(self, shape: Shape, rows: float) -> float:
        """Seconds of one token for each of `rows` answers."""
        return shape.layers * (self.step + self.step_row * rows) + self.step_head + self.step_head_row * rows


def shape_of(trunk: Trunk, like: Any = None) -> Shape:
    """The shape of a model; with `like`, a configuration, that of the whole model of which the trunk is a twin."""
    config = trunk.config if like is None else like.get_text_config(decoder=True)
    weights = [layer.weight for path, layer in trunk.adapted.items() if trunk.layer_index(path) >= trunk.split]
    layers = config.num_hidden_layers
    split = trunk.split if like is None else layers // 2
    share = (layers - split) / (trunk.depth - trunk.split)  # of adapted layers, those of the trunk
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    numbers = sum(p.numel() for p in trunk.model.parameters() if not p.requires_grad) if like is None else _count(like)
    number_bytes = trunk.dtype.itemsize
    return Shape(
        layers=layers,
        split=split,
        hidden=config.hidden_size,
        vocabulary=config.vocab_size,
        number_bytes=number_bytes,
        weight_bytes=numbers * number_bytes,
        upper_bytes=round(share * sum(weight.nbytes for weight in weights)),
        adapter_numbers=round(share * LoraSettings().rank * sum(sum(weight.shape) for weight in weights)),
        cache_bytes=2 * layers * heads * size * number_bytes,
    )


def _count(config: Any) -> int:
    """How many numbers a model of this configuration has; none of them is made."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())


def make_twin(config: Any, dtype: torch.dtype, device: torch.device) -> Trunk:
    """A model of random weights with the layers of `config`'s, but fewer of them, and fewer tokens.

    Raises:
        UsageError: the architecture cannot be the trunk.
    """
    from transformers import AutoModelForCausalLM

    fewer = copy.deepcopy(config)
    text = fewer.get_text_config(decoder=True)
    layer_bytes = _count(config) * dtype.itemsize / text.num_hidden_layers
    layers = min(text.num_hidden_layers, max(TWIN_LAYERS, round(LAYERS_MB * 1e6 / layer_bytes)))
    text.num_hidden_layers, text.vocab_size = layers, min(text.vocab_size, TWIN_VOCABULARY)
    if kinds := getattr(text, "layer_types", None):
        text.layer_types = kinds[:layers]
    for special in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(text, special, 0)
    model = AutoModelForCausalLM.from_config(fewer, dtype=dtype, attn_implementation="eager")
    return Trunk(model.to(device))


def measure_pace(
    trunk: Trunk, prompt_tokens: int, answer_tokens: int, vocabulary: int | None = None, *, learns: bool = True
) -> Pace:
    """Time each kind of work at these lengths; takes seconds and leaves the model as it was.

    `vocabulary`: of the model that the trunk is a twin of, whose head is so much larger. `learns`: whether learning is
    timed, too, which takes memory that nothing else needs.
    """
    larger = (vocabulary or trunk.head.weight.shape[0]) / trunk.head.weight.shape[0]
    prompt = [*range(3, 3 + min(prompt_tokens, trunk.head.weight.shape[0] - 4))]
    packs = [_packed(trunk, prompt, max(1, answer_tokens - less)) for less in range(LENGTHS)]
    with trunk.merged(None):
        steps = _step_seconds(trunk, prompt, answer_tokens, larger)
    reads = steps | _read_seconds(trunk, packs, larger)
    if not learns:
        return Pace(**reads, learn=0.0, learn_head=0.0, kept_bytes=0)
    trunk.add_adapter(ADAPTER, LoraSettings(), seed=0)
    try:
        return Pace(**reads, **_learn_seconds(trunk, packs, larger))
    finally:
        trunk.drop_adapter(ADAPTER)
        release()


def _packed(trunk: Trunk, prompt: list[int], answer_tokens: int) -> Packed:
    answers = [[[3] * answer_tokens] * PACKED_ANSWERS] * PACKED_PROMPTS
    return pack([prompt] * PACKED_PROMPTS, answers, dtype=trunk.dtype, device=trunk.device)


@torch.no_grad()
def _step_seconds(trunk: Trunk, prompt: list[int], answer_tokens: int, larger: float) -> dict[str, Any]:
    """What a decode step takes in the middle of an answer."""
    generator = torch.Generator().manual_seed(0)
    layers, head = {}, {}
    for rows in (FEW, MANY):
        hidden_RD = torch.zeros(rows, trunk.hidden_size, dtype=trunk.dtype, device=trunk.device)
        text = (prompt + [3] * (answer_tokens // 2))[:-STEPS] or prompt[:1]  # no longer than the run's own
        decoding, _ = prefill(trunk, [text] * 2, STEPS)
        decoding.take(torch.arange(2).repeat_interleave(rows // 2))
        tokens_R = torch.full((rows,), 3, device=trunk.device)
        step = _shortest(partial(fastest_steps(decoding).step, tokens_R))
        layers[rows] = max(0.0, step - _shortest(partial(trunk.logits, hidden_RD)))
        head[rows] = _shortest(partial(_draw, trunk, hidden_RD, generator))
    row, row_head = (max(0.0, (of[MANY] - of[FEW]) / (MANY - FEW)) for of in (layers, head))
    return {
        "step": max(0.0, layers[FEW] - row * FEW) / trunk.depth,
        "step_row": row / trunk.depth,
        "step_head": max(0.0, head[FEW] - row_head * FEW) * larger,
        "step_head_row": row_head * larger,
    }


def _draw(trunk: Trunk, hidden_RD: Tensor, generator: torch.Generator) -> None:
    uniforms_R = draw_uniforms(1, len(hidden_RD), generator)[0].to(trunk.device)
    draw_tokens(trunk.logits(hidden_RD), 1.0, uniforms_R)


@torch.no_grad()
def _read_seconds(trunk: Trunk, packs: list[Packed], larger: float) -> dict[str, Any]:
    """What a position takes in a layer, and an answer's token in the head."""
    lower = [trunk.lower(packed.tokens) for packed in packs]
    heads = [_head_input(trunk, packed) for packed in packs]
    read = [partial(trunk.upper, hidden, packed.tokens) for hidden, packed in zip(lower, packs, strict=True)]
    read_head = [partial(trunk.token_logprobs, *each) for each in heads]
    return {
        "read": _shortest_of(read) / packs[-1].tokens.ids_BL.numel() / (trunk.depth - trunk.split),
        "read_head": _shortest_of(read_head) / len(heads[-1][1]) * larger,
    }


def _learn_seconds(trunk: Trunk, packs: list[Packed], larger: float) -> dict[str, Any]:
    """The same forward and backward, and what is kept in between."""
    lower = [trunk.lower(packed.tokens) for packed in packs]
    heads = [_head_input(trunk, packed) for packed in packs]

    def learn(hidden_BLD: Tensor, packed: Packed) -> None:
        with trunk.using(ADAPTER):
            trunk.upper(hidden_BLD, packed.tokens).sum().backward()

    def learn_head(hidden_ND: Tensor, targets_N: Tensor) -> None:
        trunk.token_logprobs(hidden_ND.requires_grad_(), targets_N)[0].sum().backward()

    work = packs[-1].tokens.ids_BL.numel() * (trunk.depth - trunk.split)
    with _counting(trunk) as kept:
        learn(lower[-1], packs[-1])
    return {
        "learn": _shortest_of([partial(learn, *each) for each in zip(lower[:-1], packs[:-1], strict=True)]) / work,
        "learn_head": _shortest_of([partial(learn_head, *each) for each in heads]) / len(heads[-1][1]) * larger,
        "kept_bytes": round(sum(kept.values()) / work),
    }


def _head_input(trunk: Trunk, packed: Packed) -> tuple[Tensor, Tensor]:
    """(N, D) states and (N,) tokens to find the log-probabilities of."""
    targets_N = packed.targets_AT[packed.present_AT]
    return torch.zeros(len(targets_N), trunk.hidden_size, dtype=trunk.dtype, device=trunk.device), targets_N


@contextmanager
def _counting(trunk: Trunk) -> Iterator[dict[int, int]]:
    """The bytes that are kept for the backward pass of what happens inside, weights aside, by address."""
    weights = {p.untyped_storage().data_ptr() for p in trunk.model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield kept


def resident_bytes() -> int:
    """The memory that this process has now."""
    return int(psutil.Process().memory_info().rss)


def _shortest(work: Callable[[], object]) -> float:
    """Seconds of the faster of two runs: the first one prepares kernels."""
    return min(_time(work) for _ in range(2))


def _shortest_of(works: Sequence[Callable[[], object]]) -> float:
    """Seconds of the fastest of several runs, each on another length, as it is in earnest: a length is a shape of its
    own, for which kernels are prepared anew.
    """
    return min(_time(work) for work in works)


def _time(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began
