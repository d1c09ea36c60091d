"""The reward model: an adapter and a scalar head on the shared trunk, read at a middle layer.

Its scores are normalised to mean 0 and standard deviation 1 over the answers it learned from (lm-human-preferences does
so over the reference policy's), so that a KL coefficient means the same for every reward model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from plaudit.errors import UsageError
from plaudit.files import write_atomically
from plaudit.models.adapters import load_adapter, save_adapter
from plaudit.models.catalog import LanguageModel
from plaudit.models.conversation import Packed, encode_answer, encode_prompt, microbatches, pack
from plaudit.models.heads import ScalarHead, final_features
from plaudit.models.process import release
from plaudit.models.trunk import Trunk
from plaudit.types import Prompt, Response

TOKENS_AT_ONCE = 1024


@dataclass(frozen=True)
class Reading:
    """How a reward model reads: fixed when it is trained, needed to score as it was trained."""

    depth: int  # the layer its head reads after
    prompt_tokens: int = 256  # the newest tokens of the conversation that it sees
    answer_tokens: int = 256
    mean: float = 0.0  # of raw scores on answers of the reference policy
    std: float = 1.0


class Scorer(Protocol):
    """Anything that can guide reinforcement learning."""

    def score(self, prompts: Sequence[Prompt], answers: Sequence[Response], lower: Tensor, packed: Packed) -> Tensor:
        """One score an answer, (A,). `prompts` and `answers` are A each; `lower` and `packed` are what the
        policy's trunk computed for the same answers, for those that share it."""
        ...


class RewardModel:
    """Predicts what people prefer: `score` for answers, higher is better."""

    def __init__(self, trunk: Trunk, adapter: str, head: ScalarHead, reading: Reading) -> None:
        self.trunk, self.adapter, self.head, self.reading = trunk, adapter, head, reading

    def features(self, lower: Tensor, packed: Packed) -> Tensor:
        """(A, 2D): what the head reads of each whole answer."""
        with self.trunk.using(self.adapter):
            hidden = self.trunk.upper(lower, packed.tokens, depth=self.reading.depth)
        return final_features(hidden, packed)

    def raw(self, lower: Tensor, packed: Packed) -> Tensor:
        """(A,) scores before normalisation, differentiable: what Bradley–Terry is fitted to."""
        scores: Tensor = self.head(self.features(lower, packed))
        return scores

    @torch.no_grad()
    def score(self, prompts: Sequence[Prompt], answers: Sequence[Response], lower: Tensor, packed: Packed) -> Tensor:
        """See `Scorer`: (A,) normalised scores."""
        return (self.raw(lower, packed) - self.reading.mean) / self.reading.std

    @torch.no_grad()
    def score_texts(
        self,
        model: LanguageModel,
        groups: Sequence[tuple[Prompt, Sequence[Response]]],
        advance: Advance = lambda n: None,
    ) -> dict[str, float]:
        """Response id -> normalised score, for prompts with their answers."""
        encoded = [encode_group(model, prompt, answers, self.reading) for prompt, answers in groups]
        scores: dict[str, float] = {}
        for indices in microbatches([g.tokens for g in encoded], TOKENS_AT_ONCE):
            packed = pack_groups(self.trunk, [encoded[i] for i in indices])
            answers = [response for i in indices for response in groups[i][1]]
            found = self.score([], answers, self.trunk.lower(packed.tokens), packed)
            scores |= {r.id: s for r, s in zip(answers, found.tolist(), strict=True)}
            advance(len(indices))
            release()
        return scores

    def save(self, folder: Path, base_model: str) -> None:
        """A PEFT adapter, with the head and how to read beside it."""
        save_adapter(self.trunk, self.adapter, folder, base_model)
        head = {name: tensor.detach().cpu().contiguous() for name, tensor in self.head.state_dict().items()}
        write_atomically(folder / "head.safetensors", save(head))
        write_atomically(folder / "reward.json", json.dumps(asdict(self.reading), indent=2) + "\n")

    @classmethod
    def load(cls, trunk: Trunk, folder: Path, adapter: str = "reward") -> RewardModel:
        """Add a saved reward model's adapter to the trunk.

        Raises:
            UsageError: the folder holds no reward model, or one for another trunk.
        """
        try:
            reading = Reading(**json.loads((folder / "reward.json").read_text()))
            weights = load_file(folder / "head.safetensors")
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(f"There is no reward model in {folder} ({error}): run `plaudit reward` first.") from error
        load_adapter(trunk, adapter, folder)
        head = ScalarHead(trunk.hidden_size, seed=0)
        head.load_state_dict(weights)
        return cls(trunk, adapter, head.to(trunk.device), reading)


class Advance(Protocol):
    def __call__(self, n: int, /) -> None: ...


@dataclass(frozen=True)
class EncodedGroup:
    """A prompt and its answers as token ids."""

    prompt: list[int]
    answers: list[list[int]]

    @property
    def tokens(self) -> int:
        return len(self.prompt) + sum(map(len, self.answers))


def encode_group(model: LanguageModel, prompt: Prompt, answers: Iterable[Response], reading: Reading) -> EncodedGroup:
    return EncodedGroup(
        encode_prompt(model.tokenizer, prompt, reading.prompt_tokens),
        [encode_answer(model.tokenizer, r.text, r.stop_reason, reading.answer_tokens) for r in answers],
    )


def pack_groups(trunk: Trunk, groups: Sequence[EncodedGroup]) -> Packed:
    return pack([g.prompt for g in groups], [g.answers for g in groups], dtype=trunk.dtype, device=trunk.device)
