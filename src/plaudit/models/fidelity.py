"""Whether the trunk computes what the untouched model does: packed rows, a cached step, and beyond every window.

The model is read first as it was loaded, with transformers' eager attention, each text in a row of its own. The texts
are short: a sliding window enters a model only through its configuration, so for the comparison it is made shorter than
they are, for both sides ([why](docs/decisions/0010-any-family-by-its-own-forward.md)).

Shapes: R texts of equal length L, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from plaudit.errors import UsageError
from plaudit.models.backbone import Backbone
from plaudit.models.decoding import fastest_steps, prefill
from plaudit.models.packing import pack

WINDOWS = ("sliding_window", "attention_chunk_size", "window_size", "local_attention_window", "attention_window_size")
WINDOW = 5
LENGTH = 17
STEPS = 2  # with a cache, behind prompts that are longer than the window
PROMPTS = (8, 8, 3)  # tokens of each text's prompt: the first two are the same
# Of the largest logit. Rounding to eight bits moves single tokens far where a router decides between experts, so most
# positions must agree there, and all in fp32.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 5e-2}


@torch.no_grad()
def read_untouched(model: Any) -> Tensor:
    """(R, L, V) logits of the model's own forward with eager attention, in fp32."""
    model.config._attn_implementation = "eager"
    with short_windows(model.config):
        logits: Tensor = model(input_ids=texts(model), use_cache=False).logits
    return logits.float()


@torch.no_grad()
def compare(backbone: Backbone, model: Any, untouched_RLV: Tensor) -> None:
    """Read the same texts in packed rows, and with a cache; see `read_untouched`.

    Raises:
        UsageError: the logits are others. Its message is a clause for a sentence about the model.
    """
    ids = texts(model).tolist()
    prompts = [text[:n] for text, n in zip(ids, PROMPTS, strict=True)]
    answers = [text[n:] for text, n in zip(ids, PROMPTS, strict=True)]
    with short_windows(model.config):
        packed = pack(
            [prompts[0], prompts[2]], [answers[:2], answers[2:]], dtype=backbone.dtype, device=backbone.device
        )
        hidden_BLD = backbone.upper(backbone.lower(packed.tokens), packed.tokens)
        packed_AV = [backbone.logits(states) for states in _states(hidden_BLD, packed.states_AS, packed.lengths_A)]
        with backbone.merged(None):
            decoding, first_RV = prefill(backbone, prompts, LENGTH)
            cached, steps = [first_RV], fastest_steps(decoding)
            for column in range(STEPS):
                tokens_R = torch.tensor([answer[column] for answer in answers], device=backbone.device)
                cached.append(steps.step(tokens_R).clone())  # the next step may write where this one did
    for row, (n, logits_SV) in enumerate(zip(PROMPTS, packed_AV, strict=True)):
        _agree(logits_SV, untouched_RLV[row, n - 1 :], backbone.dtype, "answers behind one prompt")
        steps_SV = torch.stack([step_RV[row] for step_RV in cached])
        _agree(steps_SV, untouched_RLV[row, n - 1 : n + STEPS], backbone.dtype, "answers that are written")


def _states(hidden_BLD: Tensor, states_AS: Tensor, lengths_A: Tensor) -> Iterator[Tensor]:
    flat = hidden_BLD.flatten(0, 1)
    for states_S, length in zip(states_AS, lengths_A.tolist(), strict=True):
        yield flat[states_S[: length + 1]]


def _agree(ours_SV: Tensor, theirs_SV: Tensor, dtype: torch.dtype, what: str) -> None:
    """Compare logits of one answer, up to a constant of each position, which changes no probability."""
    ours_SV, theirs_SV = ours_SV.float().log_softmax(-1), theirs_SV.log_softmax(-1)
    error_S = (ours_SV - theirs_SV).abs().amax(-1)
    error = error_S.max() if dtype == torch.float32 else error_S.quantile(0.75)
    if not error <= TOLERANCE[dtype] * max(1.0, float(theirs_SV.abs().max())):
        raise UsageError(f"for {what} it computes something else than alone (log-probabilities off by {error:.2g})")


def texts(model: Any) -> Tensor:
    """(R, L) ids of no special token: two texts with one prompt, and a third."""
    config = model.config.get_text_config(decoder=True)
    special = {value for key, value in model.config.to_dict().items() if key.endswith(("_id", "_index"))
               for value in (value if isinstance(value, list) else [value])}  # fmt: skip
    plain = [token for token in range(min(config.vocab_size, 1000)) if token not in special]
    rows = [[plain[(row * 101 + column * 37 + 11) % len(plain)] for column in range(LENGTH)] for row in range(3)]
    rows[1][: PROMPTS[1]] = rows[0][: PROMPTS[0]]
    return torch.tensor(rows, device=model.device)


@contextmanager
def short_windows(config: Any) -> Iterator[None]:
    """The model's windows are shorter than the texts inside the block."""
    configs = {id(c): c for c in (config, config.get_text_config(decoder=True))}.values()
    before = [
        (c, name, getattr(c, name)) for c in configs for name in WINDOWS if isinstance(getattr(c, name, None), int)
    ]
    for c, name, window in before:
        setattr(c, name, min(window, WINDOW))
    try:
        yield
    finally:
        for c, name, window in before:
            setattr(c, name, window)
