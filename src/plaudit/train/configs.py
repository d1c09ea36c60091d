"""What every kind of training can be told, and the table of algorithms. Nothing here loads torch.

The defaults are those that the figures of docs/results.md were measured with, where it names no others. A new algorithm
is a file beside this one, its configuration here, and a line in `ALGORITHMS`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, Literal

from plaudit.config import require_above, require_at_least, require_share
from plaudit.types import Sampling


@dataclass(frozen=True)
class RewardConfig:
    depth: int | None = None  # layer that the head reads after; default: two thirds of the way up
    rank: int = 16  # of the adapter
    alpha: float = 32.0
    ridge: float | None = None  # of the head's first fit, on its squared weights; default: by cross-validation
    epochs: int = 1  # InstructGPT's; a few hundred answers bear two
    learning_rate: float = 1e-3  # of the adapter
    head_learning_rate: float = 5e-5  # small: the head is fitted already, and reads more than a thousand features
    batch_prompts: int = 8  # prompts whose pairs make one step
    prompt_tokens: int = 256  # the newest tokens of a conversation that are read
    answer_tokens: int = 256
    keep_mb: int = 1024  # memory for the lower layers' output; what does not fit is computed again
    strength: Literal["ignore", "margin", "scaled", "auto"] = "ignore"  # how a vote's strength counts (train/said.py)
    margin: float = 1.0  # of scores before they are normalised, that a vote of strength 4 demands; of 1, none
    ranking: Literal["pairs", "plackett-luce"] = "pairs"  # what a ranking of more than two is
    ties: Literal["half", "davidson"] = "half"  # half a vote each way, or predicted
    all_bad: Literal["ignore", "threshold"] = "ignore"  # whether a score is learned below which no answer is acceptable
    threshold_weight: float = 0.25  # of a judgement's verdicts on that, beside 1 for its order
    validation_share: float = 0.0  # of the training prompts: for the curve, for when to stop, and for the temperature
    validations: int = 4  # looks at those, an epoch
    patience: int = 4  # looks in a row without a lower loss, after which training stops
    members: int = 1  # adapters and heads, each on a bootstrap of the prompts of its own
    average: bool = False  # make one reward model of the members, by their mean weights
    length_residual: bool = False  # take off the score what it owes to an answer's length

    def __post_init__(self) -> None:
        require_at_least(1, self, "depth", "rank", "batch_prompts", "prompt_tokens", "answer_tokens")
        require_at_least(1, self, "validations", "patience", "members")
        require_share(self, "validation_share")
        if self.validation_share == 1:
            raise ValueError("validation_share must leave something to train on, so it must be below 1")
        if self.average and self.members == 1:
            raise ValueError("average makes one reward model of several, so it needs 2 members or more")
        require_at_least(0, self, "ridge", "epochs", "keep_mb", "margin")
        require_above(0, self, "alpha", "learning_rate", "head_learning_rate", "threshold_weight")

    @property
    def needs_rankings(self) -> bool:
        """Whether pairs do not say enough."""
        return self.ranking != "pairs" or self.all_bad != "ignore"

    @property
    def is_plain(self) -> bool:
        """Whether only who beat whom counts, a tie being half a vote each way."""
        return not self.needs_rankings and self.strength == "ignore" and self.ties == "half"


@dataclass(frozen=True)
class RolloutConfig:
    prompts: int = 8  # prompts an iteration
    answers: int = 4  # answers to each
    max_tokens: int | None = None  # default: what nearly all answers that people preferred need
    temperature: float = 1.0
    prompt_tokens: int = 256  # the newest tokens of a conversation that are read
    unfinished_penalty: float = 1.0  # taken from the score of an answer that was cut (the missing-EOS rule)
    score_clip: float = 5.0  # scores are kept within this many standard deviations
    rows: int = 2  # prompts, with all their answers, in one micro-batch

    def __post_init__(self) -> None:
        require_at_least(1, self, "prompts", "answers", "prompt_tokens", "rows")
        require_at_least(0, self, "unfinished_penalty")
        require_above(0, self, "score_clip")
        require_at_least(1, self, "max_tokens")
        _ = Sampling(temperature=self.temperature)  # has a check of its own

    @property
    def sampling(self) -> Sampling:
        """How answers are drawn, once it is known how long they may be."""
        assert self.max_tokens is not None
        return Sampling(self.max_tokens, self.temperature)


@dataclass(frozen=True)
class PolicyConfig:
    """What everything that trains a policy needs to know."""

    learning_rate: float = 5e-4  # of the policy
    rank: int = 16  # of the adapters
    alpha: float = 32.0
    layers: Literal["upper", "all"] = "upper"  # that the policy's adapter is in; the upper half costs half
    max_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        require_at_least(1, self, "rank")
        require_above(0, self, "learning_rate", "alpha", "max_grad_norm")

    @property
    def start(self) -> int | None:
        """The lowest layer that the policy's adapter is in; None: the lowest of the upper ones."""
        return 0 if self.layers == "all" else None


@dataclass(frozen=True)
class ReinforcementConfig(PolicyConfig):
    """What every algorithm of reinforcement learning needs to know."""

    iterations: int = 24
    warmup: int = 0  # iterations at the beginning in which every learning rate rises to its own
    decay: Literal["none", "linear", "cosine"] = "none"  # of every learning rate, towards 0 after the last iteration
    kl_coefficient: float = 0.08  # β: reward per nat of KL from the reference
    kl_target_nats: float = 9.0  # of a whole answer; the coefficient adapts towards it
    kl_horizon_episodes: float = 500.0
    rollout: RolloutConfig = field(default_factory=RolloutConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(1, self, "iterations")
        require_at_least(0, self, "kl_coefficient", "warmup")
        require_above(0, self, "kl_target_nats", "kl_horizon_episodes")

    @property
    def passes(self) -> int:
        """How often an iteration's answers are learned from."""
        return 1


@dataclass(frozen=True)
class GroupedConfig(ReinforcementConfig):
    """Of the algorithms without a critic, which compare an answer with the others to its prompt."""

    skip_equal: bool = False  # leave out prompts whose answers all have the same score, whatever their KL
    mask_cut: bool = False  # leave answers that were cut out of the loss (overlong filtering, arXiv 2503.14476)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rollout.answers < 2:
            raise ValueError(
                f"rollout.answers must be at least 2, not {self.rollout.answers}: an answer is compared with others"
            )


@dataclass(frozen=True)
class RlooConfig(GroupedConfig):
    """Nothing of its own: that is much of its charm.

    Prompts whose answers are equally good are not skipped: where all scores have reached their clip, the KL in the
    reward is what brings the policy back.
    """


@dataclass(frozen=True)
class GrpoConfig(GroupedConfig):
    """GRPO as it was published, but for the KL; its sequels are options, of which `train/grpo.py` tells."""

    skip_equal: bool = True  # `group` would make of the KL alone as much as of the score
    epochs: int = 1  # passes over each iteration's answers, an optimisation step each
    scale: Literal["group", "batch", "none"] = "group"  # whose standard deviation an advantage is divided by
    average: Literal["answer", "token", "constant"] = "answer"  # over what the loss is a mean
    clip: float = 0.2
    clip_high: float | None = None  # how far a probability may rise; default: as far as it may fall
    kl_penalty: Literal["k1", "k2", "k3"] = "k1"  # k1: in the reward; k2 and k3: in the loss

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(1, self, "epochs")
        require_above(0, self, "clip", "clip_high")

    @property
    def passes(self) -> int:
        return self.epochs


@dataclass(frozen=True)
class PpoConfig(ReinforcementConfig):
    epochs: int = 2  # passes over each iteration's experience
    minibatches: int = 1  # optimisation steps in a pass, among which its micro-batches are dealt out
    critic_learning_rate: float = 2e-4
    critic_head_learning_rate: float = 2e-5  # reads more than a thousand features at once
    gamma: float = 1.0
    lam: float = 0.95
    clip: float = 0.2
    clip_high: float | None = None  # how far a probability may rise; default: as far as it may fall
    dual_clip: float | None = None  # as much a ratio counts at most where the advantage is negative, such as 3
    value_clip: float = 0.5  # in standard deviations of the score
    kl_penalty: Literal["k1", "k2", "k3"] = "k1"  # k1: in the reward; k2 and k3: in the loss
    entropy_bonus: float = 0.0  # taken from the loss for each nat of a token's entropy
    stop_kl_nats: float | None = None  # of a token, from the policy before the iteration: beyond it its passes end
    critic_warmup: int = 1  # iterations in which only the critic learns

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(1, self, "epochs", "minibatches")
        require_at_least(0, self, "critic_warmup", "entropy_bonus")
        require_above(0, self, "critic_learning_rate", "critic_head_learning_rate", "clip", "clip_high", "value_clip")
        require_above(0, self, "stop_kl_nats")
        require_above(1, self, "dual_clip")
        micro = math.ceil(self.rollout.prompts / self.rollout.rows)
        if self.minibatches > micro:
            raise ValueError(
                f"minibatches must be at most {micro}, not {self.minibatches}: "
                f"{self.rollout.prompts} prompts in micro-batches of {self.rollout.rows} make no more"
            )
        require_share(self, "gamma", "lam")

    @property
    def passes(self) -> int:
        return self.epochs


@dataclass(frozen=True)
class StoredDataConfig(PolicyConfig):
    """What every way to learn from texts that are there already needs to know; nothing is drawn meanwhile."""

    learning_rate: float = 3e-4  # falls to zero after the last step
    warmup_share: float = 0.1  # of the steps, in which it rises
    epochs: int = 1
    batch_prompts: int = 8  # prompts whose texts make one step
    prompt_tokens: int = 256  # the newest tokens of a conversation that are read
    answer_tokens: int = 256
    save_every: int = 10  # steps between two checkpoints

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(1, self, "epochs", "batch_prompts", "prompt_tokens", "answer_tokens", "save_every")
        require_share(self, "warmup_share")


@dataclass(frozen=True)
class SftConfig(StoredDataConfig):
    epochs: int = 2
    answer_tokens: int = 512


@dataclass(frozen=True)
class DirectConfig(StoredDataConfig):
    """What every way to learn from people's judgements themselves needs to know."""

    learns_from: ClassVar[Literal["preferences", "thumbs"]] = "preferences"  # thumbs: on single answers
    beta: float = 0.1  # how near to the reference: log-odds per nat between two answers (ipo: its τ)
    question: str | None = None  # only answers to it; None: the project's question
    weighted: bool = False  # votes count by how reliable their annotator is (docs/decisions/0006)
    keep_mb: int = 1024  # memory for the lower layers' output; what does not fit is computed again

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(0, self, "keep_mb")
        require_above(0, self, "beta")


@dataclass(frozen=True)
class DpoConfig(DirectConfig):
    loss: Literal["dpo", "ipo"] = "dpo"


@dataclass(frozen=True)
class KtoConfig(DirectConfig):
    learns_from = "thumbs"
    good_to_bad: float = 1.0  # what good answers weigh together, beside bad ones (arXiv 2402.01306, section 4.2)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_above(0, self, "good_to_bad")


@dataclass(frozen=True)
class Algorithm:
    """An algorithm as everybody else knows it."""

    config: type[PolicyConfig]
    learner: str  # module and class, such as `plaudit.train.rloo:Rloo`
    has_critic: bool = False  # a second adapter to train, which takes time

    @property
    def is_direct(self) -> bool:
        """Whether it learns from judgements themselves: no reward model guides it, and it draws nothing."""
        return issubclass(self.config, StoredDataConfig)

    @property
    def needs_thumbs(self) -> bool:
        """Whether it learns from answers that were judged one by one."""
        return issubclass(self.config, DirectConfig) and self.config.learns_from == "thumbs"

    def load(self) -> Any:
        """The class of the learner. Loads torch.

        A `train.loop.Learner`, made with (model, scorer, config, seed), or of a direct algorithm a
        `train.passes.DirectObjective`, made with (model, config, seed).
        """
        module, _, name = self.learner.partition(":")
        return getattr(import_module(module), name)


ALGORITHMS: dict[str, Algorithm] = {
    "rloo": Algorithm(RlooConfig, "plaudit.train.rloo:Rloo"),
    "ppo": Algorithm(PpoConfig, "plaudit.train.ppo:Ppo", has_critic=True),
    "grpo": Algorithm(GrpoConfig, "plaudit.train.grpo:Grpo"),
    "dpo": Algorithm(DpoConfig, "plaudit.train.dpo:Dpo"),
    "kto": Algorithm(KtoConfig, "plaudit.train.kto:Kto"),
}
