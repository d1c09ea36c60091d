"""The reward model: an adapter and a scalar head on the shared trunk, read at a middle layer.

Its scores are normalised to mean 0 and standard deviation 1 over the answers it learned from (lm-human-preferences does
so over the reference policy's), so that a KL coefficient means the same for every reward model.

The scalar head reads the last state and the mean of the answer's states so far, both at unit scale. On 2,303 pairs of
`hh-harmless` a linear head on both is right .69 of the time, on the last state alone .65 (docs/results.md). Because the
mean runs along the answer, the head has a value for every prefix: a critic that starts from the reward model starts as
"the reward if the answer ended here", which is what GAE needs it to be.

Shapes: A answers, S = T + 1 states of an answer of T tokens, F = 2 D features of a state; B rows, L positions, D hidden
size; M members, of which a single reward model has one (`reward_ensemble`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from plaudit.errors import UsageError
from plaudit.files import write_atomically
from plaudit.models.backbone import Backbone
from plaudit.models.catalog import LanguageModel
from plaudit.models.chat import encode_answer, encode_prompt
from plaudit.models.packing import Packed, microbatches, pack, take_states
from plaudit.models.runtime import release
from plaudit.types import Prompt, Response

TOKENS_AT_ONCE = 1024
Asked = Sequence[tuple[Prompt, Sequence[Response]]]  # prompts with their answers


class ScalarHead(nn.Module):
    """One number for each state of each answer. Weights N(0, 1/√(d+1)), bias 0 ("N implementation details")."""

    def __init__(self, hidden_size: int, seed: int) -> None:
        super().__init__()
        d = 2 * hidden_size
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(d, generator=generator) / math.sqrt(d + 1))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """(..., F) features to (...) numbers."""
        return features @ self.weight + self.bias


def default_depth(backbone: Backbone) -> int:
    """The layer to read after: two thirds of the way up, where answers are judged best (docs/results.md)."""
    return depth_of(backbone.depth, backbone.split)


def depth_of(layers: int, split: int) -> int:
    """See `default_depth`, for a model of so many layers."""
    return max(split + 1, round(layers * 2 / 3))


def prefix_features(hidden_BLD: Tensor, packed: Packed) -> Tensor:
    """(A, S, F) in fp32: each state, and the mean over the answer's states up to it. Padding is meaningless."""
    states_ASD = F.rms_norm(take_states(hidden_BLD, packed.states_AS).float(), hidden_BLD.shape[-1:])
    counts_S1 = torch.arange(1, states_ASD.shape[1] + 1, device=states_ASD.device)[:, None]
    means_ASD = F.rms_norm(states_ASD.cumsum(1) / counts_S1, states_ASD.shape[-1:])
    return torch.cat([states_ASD, means_ASD], -1)


def final_features(hidden_BLD: Tensor, packed: Packed) -> Tensor:
    """(A, F): the features of each whole answer."""
    features_ASF = prefix_features(hidden_BLD, packed)
    return features_ASF[torch.arange(len(features_ASF), device=features_ASF.device), packed.lengths_A]


@dataclass(frozen=True)
class ScoreSettings:
    """How a reward model scores: fixed when it is trained, and kept with it."""

    depth: int  # the layer its head reads after
    prompt_tokens: int = 256  # the newest tokens of the conversation that it sees
    answer_tokens: int = 256
    mean: float = 0.0  # of raw scores on answers of the reference policy
    std: float = 1.0
    tie: float | None = None  # Davidson's ν, where ties were learned: see `train.losses.vote_losses`
    threshold: float | None = None  # the score below which people found no answer acceptable, where it was learned

    temperature: float = 1.0  # raw differences divided by it are log-odds (stats.calibration.fit_temperature)
    length_slope: float = 0.0  # of the raw score, a token: what is taken off so that length does not count

    @property
    def nats_per_score(self) -> float:
        """What a difference of 1 between two scores is in log-odds."""
        return self.std / self.temperature


class Limits(Protocol):
    """How much of a conversation and of an answer is read, in tokens."""

    @property
    def prompt_tokens(self) -> int: ...
    @property
    def answer_tokens(self) -> int: ...


class Scorer(Protocol):
    """Anything that can guide reinforcement learning."""

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Response], lower_BLD: Tensor, packed: Packed
    ) -> Tensor:
        """(A,): one score an answer.

        `prompts` and `answers` are A each. `lower_BLD` and `packed` are what the policy's trunk computed for the same
        answers, for a scorer that shares it.
        """
        ...


class RewardModel:
    """Predicts what people prefer: `score` for answers, higher is better."""

    def __init__(self, trunk: Backbone, adapter: str, head: ScalarHead, settings: ScoreSettings) -> None:
        self.trunk, self.adapter, self.head, self.settings = trunk, adapter, head, settings

    def features(self, lower_BLD: Tensor, packed: Packed) -> Tensor:
        """(A, F): what the head reads of each whole answer."""
        with self.trunk.using(self.adapter):
            hidden_BLD = self.trunk.upper(lower_BLD, packed.tokens, depth=self.settings.depth)
        return final_features(hidden_BLD, packed)

    def raw(self, lower_BLD: Tensor, packed: Packed) -> Tensor:
        """(A,) scores before normalisation, differentiable: what Bradley–Terry is fitted to."""
        scores_A: Tensor = self.head(self.features(lower_BLD, packed))
        return scores_A

    @property
    def members(self) -> Sequence[RewardModel]:
        """Those whose scores are combined: of a single reward model itself."""
        return (self,)

    @torch.no_grad()
    def normalised(self, lower_BLD: Tensor, packed: Packed) -> Tensor:
        """(M, A): each member's normalised scores."""
        raw_MA = torch.stack([m.raw(lower_BLD, packed) for m in self.members])
        means_M1 = torch.tensor([[m.settings.mean] for m in self.members], device=raw_MA.device)
        return (raw_MA - self.settings.length_slope * packed.lengths_A - means_M1) / self.settings.std

    def combine(self, scores_MA: Tensor) -> Tensor:
        """(A,): one score an answer, of its members'."""
        return scores_MA[0]

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Response], lower_BLD: Tensor, packed: Packed
    ) -> Tensor:
        """See `Scorer`: (A,) normalised scores."""
        return self.combine(self.normalised(lower_BLD, packed))

    def score_texts(self, model: LanguageModel, groups: Asked, advance: Advance = lambda n: None) -> dict[str, float]:
        """Response id -> normalised score, for prompts with their answers."""
        return {id_: score for ids, scores_MA in self._score_batches(model, groups, advance)
                for id_, score in zip(ids, self.combine(scores_MA).tolist(), strict=True)}  # fmt: skip

    def member_scores(
        self, model: LanguageModel, groups: Asked, advance: Advance = lambda n: None
    ) -> list[dict[str, float]]:
        """As `score_texts`, of each member by itself."""
        found: list[dict[str, float]] = [{} for _ in self.members]
        for ids, scores_MA in self._score_batches(model, groups, advance):
            for scores, scores_A in zip(found, scores_MA.tolist(), strict=True):
                scores |= dict(zip(ids, scores_A, strict=True))
        return found

    def _score_batches(
        self, model: LanguageModel, groups: Asked, advance: Advance
    ) -> Iterator[tuple[list[str], Tensor]]:
        """Ids of some answers with their scores (M, A), batch by batch."""
        encoded = [encode_group(model, prompt, answers, self.settings) for prompt, answers in groups]
        for indices in microbatches([g.tokens for g in encoded], TOKENS_AT_ONCE):
            packed = pack_groups(self.trunk, [encoded[i] for i in indices])
            scores_MA = self.normalised(self.trunk.lower(packed.tokens), packed)
            yield [response.id for i in indices for response in groups[i][1]], scores_MA
            advance(len(indices))
            release()

    def save(self, folder: Path, base_model: str) -> None:
        """A PEFT adapter, with the head and how to read beside it."""
        self.trunk.save_adapter(self.adapter, folder, base_model)
        head = {name: tensor.detach().cpu().contiguous() for name, tensor in self.head.state_dict().items()}
        write_atomically(folder / "head.safetensors", save(head))
        write_atomically(folder / "reward.json", json.dumps(asdict(self.settings), indent=2) + "\n")

    @classmethod
    def load(cls, trunk: Backbone, folder: Path, adapter: str = "reward") -> RewardModel:
        """Add a saved reward model's adapter to the trunk.

        Raises:
            UsageError: the folder holds no reward model, or one for another trunk.
        """
        try:
            settings = ScoreSettings(**json.loads((folder / "reward.json").read_text()))
            weights = load_file(folder / "head.safetensors")
        except (OSError, ValueError, TypeError, SafetensorError) as error:
            raise UsageError(f"There is no reward model in {folder} ({error}): run `plaudit reward` first.") from error
        head = ScalarHead(trunk.hidden_size, seed=0)
        if {key: t.shape for key, t in weights.items()} != {key: t.shape for key, t in head.state_dict().items()}:
            raise UsageError(f"The head in {folder} is of another model, or parts of it are missing: train it anew.")
        trunk.load_adapter(adapter, folder)
        head.load_state_dict(weights)
        return cls(trunk, adapter, head.to(trunk.device), settings)


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


def encode_group(model: LanguageModel, prompt: Prompt, answers: Iterable[Response], limits: Limits) -> EncodedGroup:
    return EncodedGroup(
        encode_prompt(model.tokenizer, prompt, limits.prompt_tokens),
        [encode_answer(model.tokenizer, r.text, r.stop_reason, limits.answer_tokens) for r in answers],
    )


def pack_groups(trunk: Backbone, groups: Sequence[EncodedGroup]) -> Packed:
    return pack([g.prompt for g in groups], [g.answers for g in groups], dtype=trunk.dtype, device=trunk.device)
