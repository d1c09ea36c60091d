"""What is trained, as everybody above sees it: one language model with named versions of itself.

The algorithms, the sampler and the reward model know no more of a model than this. `Trunk` (frozen weights and LoRA
adapters) stands behind it; whatever else is to be trained, such as all weights, would stand behind it too.

Shapes: B rows, L columns, D hidden size, N selected positions; (...) any.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from plaudit.models.lora import LoraSettings
from plaudit.models.packing import Tokens

REFERENCE: str | None = None  # the name of the model as it was before any training


class Backbone(Protocol):
    """A language model that runs as any of its named versions: a policy, a reward model, a critic, the reference."""

    adapters: dict[str, LoraSettings]

    @property
    def split(self) -> int:
        """How many layers at the bottom are the same for all versions that there are."""
        ...

    @property
    def device(self) -> torch.device: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def depth(self) -> int:
        """How many layers there are."""
        ...

    def add_adapter(
        self, name: str, settings: LoraSettings, seed: int, depth: int | None = None, start: int | None = None
    ) -> None:
        """A new version `name` that is the reference as yet, with what can be trained in layers `start` to `depth`.

        By default those are the upper layers. Where it begins further down than any other, `split` is lower from now
        on, and what `lower` gave before is of no use any more.
        """
        ...

    def drop_adapter(self, name: str) -> None: ...

    def adapter_parameters(self, name: str) -> dict[str, nn.Parameter]:
        """What is trained of the version `name`, by path."""
        ...

    def save_adapter(self, name: str, folder: Path, base_model: str) -> None:
        """Write what is trained of the version `name`, in a format that others can load."""
        ...

    def load_adapter(self, name: str, folder: Path) -> None:
        """Add what `save_adapter` wrote as the version `name`. UsageError where it is of another model, or nothing."""
        ...

    def fill_adapter(self, name: str, folder: Path) -> None:
        """Put what `save_adapter` wrote into the version `name`, which is there. UsageError as `load_adapter`."""
        ...

    def using(self, name: str | None) -> AbstractContextManager[None]:
        """Run as the version `name` inside the block."""
        ...

    def merged(self, name: str | None) -> AbstractContextManager[None]:
        """As `using`, for sampling: whatever makes many small steps faster is done once."""
        ...

    def lower(self, tokens: Tokens, cache: Any = None) -> Tensor:
        """(B, L, D) hidden states where the versions begin to differ; not differentiable."""
        ...

    def upper(self, hidden_BLD: Tensor, tokens: Tokens, depth: int | None = None, cache: Any = None) -> Tensor:
        """(B, L, D) hidden states after layer `depth` (default: all and the final norm)."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., V) next-token logits for hidden states (..., D)."""
        ...

    def token_logprobs(
        self, hidden_ND: Tensor, targets_N: Tensor, temperature: float = 1.0, learns_entropy: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Log-probability of each target and the entropy, both (N,), nats, fp32, of softmax(logits / temperature)."""
        ...
