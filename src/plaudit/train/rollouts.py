"""Experience for reinforcement learning, and the session around the loop: what PPO and RLOO share below the algorithm.

A rollout is sampled, scored and compared with the reference in one place, with one copy of the weights: the layers
below the adapters run once, and reference, reward, critic and policy each continue from there. Everything random is
drawn from (seed, iteration), so a run resumed from its checkpoint takes the very steps it would have taken.

Shapes: A answers, T tokens of the longest answer in a micro-batch, N answer tokens, B rows, L positions, D hidden size.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from plaudit.errors import PlauditError
from plaudit.files import write_atomically
from plaudit.models.catalog import LanguageModel
from plaudit.models.conversation import Packed, encode_prompt, pack
from plaudit.models.reward_model import Scorer
from plaudit.models.sampling import Sampled, Sampling, sample
from plaudit.models.trunk import Trunk
from plaudit.types import Prompt, Response, StopReason


@dataclass(frozen=True)
class RolloutConfig:
    prompts: int = 8  # prompts an iteration
    answers: int = 4  # answers to each
    max_tokens: int = 48
    temperature: float = 1.0
    prompt_tokens: int = 256  # the newest tokens of a conversation that are read
    unfinished_penalty: float = 1.0  # taken from the score of an answer that was cut (the missing-EOS rule)
    score_clip: float = 5.0  # scores are kept within this many standard deviations
    rows: int = 2  # prompts, with all their answers, in one micro-batch

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.max_tokens, self.temperature)


@dataclass(frozen=True)
class ReinforcementConfig:
    """What every algorithm needs to know. The defaults are those that the demo's figures were measured with."""

    iterations: int = 24
    learning_rate: float = 5e-4  # of the policy
    rank: int = 16  # of the adapters
    alpha: float = 32.0
    kl_coefficient: float = 0.08  # β: reward per nat of KL from the reference
    kl_target_nats: float = 9.0  # of a whole answer; the coefficient adapts towards it
    kl_horizon_episodes: float = 500
    max_grad_norm: float = 1.0
    rollout: RolloutConfig = field(default_factory=RolloutConfig)


@dataclass
class Rollout:
    """One micro-batch of experience. All (A, T) fields are 0 where `packed.present` is false."""

    answers: list[Response]
    packed: Packed
    lower: Tensor  # (B, L, D) hidden states below the adapters: shared by all models, never differentiated
    reference: Tensor  # (A, T) log-probabilities under the bare trunk, nats
    sampled: Tensor  # (A, T) log-probabilities under the policy that wrote the answers, as it wrote them, nats
    scores: Tensor  # (A,) reward model's score after clipping and the missing-EOS rule
    raw_scores: Tensor  # (A,) reward model's score as it came

    @property
    def kl_nats(self) -> Tensor:
        """(A,) single-sample estimate (k1) of each whole answer's KL from the reference."""
        return (self.sampled - self.reference).sum(1)


def draw_prompts(prompts: Sequence[Prompt], count: int, seed: int, iteration: int) -> list[Prompt]:
    """The prompts of one iteration: every prompt once in each pass through them, in an order that changes by pass."""
    chosen = []
    for position in range(iteration * count, (iteration + 1) * count):
        order = list(range(len(prompts)))
        random.Random(f"{seed}:{position // len(prompts)}").shuffle(order)
        chosen.append(prompts[order[position % len(prompts)]])
    return chosen


def collect(
    model: LanguageModel,
    policy: str,
    scorer: Scorer,
    prompts: Sequence[Prompt],
    config: RolloutConfig,
    seed: int,
) -> list[Rollout]:
    """Sample answers to `prompts` with the adapter `policy`, score them, and compare them with the reference."""
    generator = torch.Generator().manual_seed(seed)
    encoded = [encode_prompt(model.tokenizer, p, config.prompt_tokens) for p in prompts]
    drawn = sample(model.trunk, encoded, config.answers, config.sampling, model.end_ids, generator, adapter=policy)
    starts = range(0, len(prompts), config.rows)
    parts = [slice(start, start + config.rows) for start in starts]
    return [evaluate(model, scorer, prompts[p], encoded[p], drawn[p], config) for p in parts]


@torch.no_grad()
def evaluate(
    model: LanguageModel,
    scorer: Scorer,
    prompts: Sequence[Prompt],
    encoded: Sequence[list[int]],
    drawn: Sequence[Sequence[Sampled]],
    config: RolloutConfig,
) -> Rollout:
    """One micro-batch: the lower layers once, then reference and reward model from there."""
    trunk = model.trunk
    packed = pack(encoded, [[a.ids for a in group] for group in drawn], dtype=trunk.dtype, device=trunk.device)
    lower = trunk.lower(packed.tokens)
    reference, _ = answer_logprobs(trunk, None, lower, packed, config.temperature)
    sampled = torch.zeros_like(reference)
    sampled[packed.present] = torch.tensor([p for g in drawn for a in g for p in a.logprobs], device=sampled.device)
    answers = [as_response(model, p, a) for p, group in zip(prompts, drawn, strict=True) for a in group]
    raw = scorer.score([p for p in prompts for _ in range(config.answers)], answers, lower, packed).float()
    cut = torch.tensor([r.stop_reason is not StopReason.EOS for r in answers], device=raw.device)
    scores = raw.clamp(-config.score_clip, config.score_clip) - config.unfinished_penalty * cut
    return Rollout(answers, packed, lower, reference, sampled, scores, raw)


def as_response(model: LanguageModel, prompt: Prompt, answer: Sampled) -> Response:
    """A sampled answer as text."""
    ids = [i for i in answer.ids if i not in model.end_ids]
    text = model.tokenizer.decode(ids, skip_special_tokens=True)
    return Response(prompt.id, text.strip(), answer.stop_reason, tokens=len(answer.ids))


def answer_logprobs(
    trunk: Trunk, adapter: str | None, lower: Tensor, packed: Packed, temperature: float
) -> tuple[Tensor, Tensor]:
    """(A, T) log-probabilities of the answers' tokens, differentiable, and (A, T) entropies of their distributions."""
    with trunk.using(adapter):
        hidden = trunk.upper(lower, packed.tokens)
    logprobs, entropy = trunk.token_logprobs(packed.select(hidden), packed.targets[packed.present], temperature)
    return packed.spread(logprobs), packed.spread(entropy)


def summarise(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """What to log of one iteration's experience. Means over answers; lengths in tokens, KL in nats."""
    answers = [a for r in rollouts for a in r.answers]
    tokens = sum(a.tokens or 0 for a in answers)
    return {
        "reward_mean": float(torch.cat([r.raw_scores for r in rollouts]).mean()),
        "score_mean": float(torch.cat([r.scores for r in rollouts]).mean()),
        "kl_nats": float(torch.cat([r.kl_nats for r in rollouts]).mean()),
        "finished_share": sum(a.stop_reason is StopReason.EOS for a in answers) / len(answers),
        "length_tokens": tokens / len(answers),
    }


def save_checkpoint(
    folder: Path,
    tensors: Mapping[str, Tensor],
    optimizers: Mapping[str, torch.optim.Optimizer],
    state: dict[str, float],
) -> None:
    """All that a resumed run needs, in one file that is replaced whole: a kill leaves the previous one."""
    everything = {f"parameter/{name}": t.detach().cpu().contiguous() for name, t in tensors.items()}
    for name, optimizer in optimizers.items():
        for index, moments in optimizer.state_dict()["state"].items():
            everything |= {f"{name}/{index}/{key}": t.detach().cpu().contiguous() for key, t in moments.items()}
    write_atomically(folder / "state.safetensors", save(everything, metadata={"state": json.dumps(state)}))


def load_checkpoint(
    folder: Path, tensors: Mapping[str, Tensor], optimizers: Mapping[str, torch.optim.Optimizer]
) -> dict[str, float] | None:
    """Put a checkpoint back in place and return its state; None where there is none yet.

    Raises:
        PlauditError: the checkpoint is of another model or configuration.
    """
    path = folder / "state.safetensors"
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        state: dict[str, float] = json.loads(file.metadata()["state"])
        stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    if {f"parameter/{name}" for name in tensors} != {key for key in stored if key.startswith("parameter/")}:
        raise PlauditError(f"The checkpoint in {folder} is of another model or configuration: start a new run.")
    for name, tensor in tensors.items():
        tensor.data.copy_(stored[f"parameter/{name}"])
    for name, optimizer in optimizers.items():
        moments: dict[int, dict[str, Tensor]] = {}
        for key, tensor in stored.items():
            if key.startswith(f"{name}/"):
                _, index, kind = key.split("/")
                moments.setdefault(int(index), {})[kind] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    return state


LogMetrics = Callable[[dict[str, float]], None]
