"""How fast this machine runs a model: a few seconds of each kind of work are timed, and all others are counted by them.

Nearly all of the time of the loop goes into three kinds of work: decode steps, passes over whole rows without a
gradient, and passes with one. Each is timed at the lengths that it will have, apart for the layers and for the head,
so that a model with fewer layers says how fast the whole one is: for a plan its weights need not be there (`twin`).

Shapes: B rows, L positions, D hidden size, N answer tokens.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil
import torch
from torch import Tensor

from plaudit.models.decoding import prefill
from plaudit.models.lora import LoraSettings
from plaudit.models.packing import Packed, pack
from plaudit.models.runtime import release
from plaudit.models.sampling import draw_tokens
from plaudit.models.trunk import Trunk

FEW, MANY = 16, 64  # rows that are decoded: what a step takes is a fixed part and one for each row
STEPS = 2  # runs of which the faster counts: the first one prepares kernels
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
    weights = [layer.weight for layer in trunk.adapted.values()]
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


def measure_pace(trunk: Trunk, prompt_tokens: int, answer_tokens: int, vocabulary: int | None = None) -> Pace:
    """Time each kind of work at these lengths; takes seconds and leaves the model as it was.

    `vocabulary`: of the model that the trunk is a twin of, whose head is so much larger.
    """
    trunk.add_adapter(ADAPTER, LoraSettings(), seed=0)
    try:
        prompt = [*range(3, 3 + min(prompt_tokens, trunk.head.weight.shape[0] - 4))]
        packed = pack(
            [prompt] * PACKED_PROMPTS,
            [[[3] * answer_tokens] * PACKED_ANSWERS] * PACKED_PROMPTS,
            dtype=trunk.dtype,
            device=trunk.device,
        )
        larger = (vocabulary or trunk.head.weight.shape[0]) / trunk.head.weight.shape[0]
        return Pace(**_step_seconds(trunk, prompt, answer_tokens, larger), **_pass_seconds(trunk, packed, larger))
    finally:
        trunk.drop_adapter(ADAPTER)
        release()


@torch.no_grad()
def _step_seconds(trunk: Trunk, prompt: list[int], answer_tokens: int, larger: float) -> dict[str, Any]:
    """What a decode step takes in the middle of an answer."""
    generator = torch.Generator().manual_seed(0)
    layers, head = {}, {}
    for rows in (FEW, MANY):
        hidden_RD = torch.zeros(rows, trunk.hidden_size, dtype=trunk.dtype, device=trunk.device)
        decoding, _ = prefill(trunk, [prompt + [3] * (answer_tokens // 2)] * 2, STEPS)
        decoding.take(torch.arange(2).repeat_interleave(rows // 2))
        step = _shortest(partial(decoding.step, torch.full((rows,), 3)))
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
    draw_tokens(trunk.logits(hidden_RD), 1.0, generator)


def _pass_seconds(trunk: Trunk, packed: Packed, larger: float) -> dict[str, Any]:
    """What passes over whole rows take for a position in a layer, and for an answer's token in the head."""
    positions, targets_N = packed.tokens.ids_BL.numel(), packed.targets_AT[packed.present_AT]
    hidden_ND = torch.zeros(len(targets_N), trunk.hidden_size, dtype=trunk.dtype, device=trunk.device)
    learned_ND = hidden_ND.clone().requires_grad_()
    lower_BLD = trunk.lower(packed.tokens)

    def read_head() -> None:
        with torch.no_grad():
            trunk.token_logprobs(hidden_ND, targets_N)

    def learn_head() -> None:
        trunk.token_logprobs(learned_ND, targets_N)[0].sum().backward()

    def read() -> None:
        with torch.no_grad():
            trunk.upper(lower_BLD, packed.tokens)

    def learn() -> None:
        with trunk.using(ADAPTER):
            trunk.upper(lower_BLD, packed.tokens).sum().backward()

    adapted = trunk.depth - trunk.split
    with _counting(trunk) as kept:
        learn()
    return {
        "read": _shortest(read) / positions / adapted,
        "learn": _shortest(learn) / positions / adapted,
        "read_head": _shortest(read_head) / len(targets_N) * larger,
        "learn_head": _shortest(learn_head) / len(targets_N) * larger,
        "kept_bytes": round(sum(kept.values()) / positions / adapted),
    }


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
    """Seconds of the fastest of STEPS runs."""
    seconds = []
    for _ in range(STEPS):
        began = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
