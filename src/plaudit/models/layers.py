"""Some layers of a transformers model, run by the model's own forward.

The model itself prepares what its layers are given (scaled embeddings, masks by the kind of layer, rotary angles by the
kind of layer), whatever the family. Each layer's `forward` is only asked first whether its turn has come: below
`start` and from `stop` on a layer hands through what it is given.

Shapes: B rows, L positions, D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from plaudit.errors import UsageError
from plaudit.models.attention import Layout, attending
from plaudit.models.packing import Tokens


class Layers:
    """The layers of a causal language model.

    Args:
        model: a transformers model, whose layers' `forward` is replaced.

    Raises:
        UsageError: it has no list of decoder layers.
    """

    def __init__(self, model: Any) -> None:
        self.path, self.list, self.decoder = find_layers(model)
        self.longest = longest_text(model)
        self.start, self.stop = 0, len(self.list)
        self.given: Tensor | None = None  # (B, L, D) what layer `start` is to read instead of what it gets
        self.reached: Tensor | None = None  # (B, L, D) after layer `stop` - 1
        self.layout: Layout | None = None
        for index, layer in enumerate(self.list):
            layer.forward = self._in_turn(index, layer.forward)

    def _in_turn(self, index: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(hidden_states: Tensor, *arguments: Any, **named: Any) -> Any:
            if index == self.start:
                self.reached = hidden_states = hidden_states if self.given is None else self.given
            if not self.start <= index < self.stop:
                return hidden_states
            assert self.layout is not None
            attended = self.layout.attended
            self.reached = forward(hidden_states, *arguments, **named)
            if self.layout.attended == attended:
                raise UsageError(
                    f"its layer {index} keeps a state or computes attention by itself, so answers behind one prompt "
                    "would see each other"
                )
            if not isinstance(self.reached, Tensor):
                raise UsageError(f"its layer {index} gives more than hidden states")
            return self.reached

        return run

    def run(
        self, tokens: Tokens, start: int, stop: int, given_BLD: Tensor | None = None, cache: Any = None
    ) -> tuple[Tensor, Tensor]:
        """(B, L, D) hidden states after layer `stop` - 1, and (B, L, D) what the model's own final norm makes of them.

        Layer `start` reads `given_BLD`, or else what the layers below it give: the embeddings, where there are none.

        Raises:
            UsageError: a text is longer than the model reads it in one way; see `longest_text`.
        """
        if self.longest is not None and (length := int(tokens.positions_BL.max()) + 1) > self.longest:
            raise UsageError(
                f"A text of {length} tokens is longer than the {self.longest} that this model reads in one way: lower "
                "prompt_tokens or max_tokens."
            )
        self.start, self.stop, self.given = start, stop, given_BLD
        try:
            with attending(tokens) as self.layout:
                final_BLD = self.decoder(
                    input_ids=tokens.ids_BL,
                    position_ids=tokens.positions_BL,
                    attention_mask=torch.ones_like(tokens.columns_BP),  # a mask of two dimensions says: nothing special
                    past_key_values=cache,
                    use_cache=cache is not None,
                ).last_hidden_state
            assert self.reached is not None
            return self.reached, final_BLD
        finally:
            self.given = self.reached = self.layout = None


def find_layers(model: Any) -> tuple[str, Any, Any]:
    """The path of the list of decoder layers ("model.layers"), the list, and the model without a head that runs it."""
    config = model.config.get_text_config(decoder=True)
    for path, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == getattr(config, "num_hidden_layers", None):
            parents = [model.get_submodule(path.rsplit(".", n)[0]) for n in range(1, path.count(".") + 1)]
            decoders = [parent for parent in parents if isinstance(parent, PreTrainedModel)]
            if decoders and type(decoders[0].config) is type(config):  # an encoder of images has its own configuration
                return path, module, decoders[0]
    raise UsageError("it has no list of decoder layers")


def longest_text(model: Any) -> int | None:
    """Tokens up to which a text is read alike whatever stands beside it; None where there is no such limit.

    Learned positions end somewhere. Rotary angles of the kinds `dynamic` and `longrope` are others for all rows as soon
    as one text is longer than those that the model was first trained on.
    """
    config = model.config.get_text_config(decoder=True)
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope, *(kind for kind in rope.values() if isinstance(kind, dict))]  # one a kind of layer
    of_positions = getattr(config, "max_position_embeddings", None)
    trained = getattr(config, "original_max_position_embeddings", None) or of_positions
    changing = [kind for kind in kinds if kind.get("rope_type") in ("dynamic", "longrope")]
    limits = [kind.get("original_max_position_embeddings") or trained for kind in changing]
    if not any("rotary" in name for name, _ in model.named_modules()):
        limits.append(of_positions)
    return min((limit for limit in limits if limit), default=None)
