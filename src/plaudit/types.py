"""The nouns of RLHF, as everybody else in the package uses them. Standard library only.

  Prompt --sample--> Response --label--> Judgement --aggregate--> Preference --reward--> reward model --align--> policy

Identity is content: a prompt or a response has the same id wherever it is read from, so importing a file twice adds
nothing, and a label can be traced to every checkpoint that it touched. Sign conventions live in the types: a
`Preference` holds the probability that `a` beats `b`, and `swapped()` is the only way to turn it round.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from itertools import combinations
from typing import Any

COMMAND_LINE = "the command line"  # acts in the log; who sat at it, a command does not know
RESTORED = "restored a backup"  # what it does there
DEFAULT_QUESTION = "Which answer is better?"  # that a task asks where nobody says another


_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def content_id(*parts: Any) -> str:
    """16 hexadecimal digits that depend on nothing but `parts` (anything JSON can write)."""
    return hashlib.sha256(_CANONICAL.encode(parts).encode()).hexdigest()[:16]


def seed_for(seed: int, purpose: str) -> int:
    """The seed of one purpose of a run, 40 bits that depend on nothing but both.

    Without it everything that begins from one seed would begin alike: the same uniforms for the answers that are
    learned from and for those that prove it, one initial adapter for policy and reward model.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}:{purpose}".encode()).digest()[:5])


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"  # what a tool gave back to the assistant


class StopReason(StrEnum):
    """How an answer ended. PPO needs the difference between an end and a cut; so does a reader."""

    EOS = "eos"  # the model (or the person who wrote it) ended it
    LENGTH = "length"  # cut at the token limit
    FILTERED = "filtered"  # stopped by a safety filter


class Split(StrEnum):
    TRAIN = "train"
    HELDOUT = "heldout"


class TaskPurpose(StrEnum):
    """Why a task is asked. Annotators never see it."""

    WORK = "work"
    SHARED = "shared"  # of the pool that everybody answers, for agreement
    GOLD = "gold"  # the answer is known: a hidden check
    SENTINEL = "sentinel"  # the same for everybody, spread over time, to see drift
    QUALIFICATION = "qualification"  # before real work


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True)
class Prompt:
    """A conversation up to the model's turn."""

    messages: tuple[Message, ...]
    source: str = "unknown"
    tags: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)  # language, topic, audited group

    @classmethod
    def from_text(cls, text: str, source: str = "unknown", **tags: str) -> Prompt:
        """A single question."""
        return cls((Message(Role.USER, text),), source, tags)

    def __post_init__(self) -> None:
        if not self.messages or self.messages[-1].role is Role.ASSISTANT:
            raise ValueError("a prompt must end where the model's turn begins, not with an assistant message")

    @cached_property
    def id(self) -> str:
        return content_id([[m.role, m.content] for m in self.messages])

    @cached_property
    def opening_id(self) -> str:
        """Id of the conversation's opening: conversations that share it stay on one side of a split."""
        opening = next((m for m in self.messages if m.role is Role.USER), self.messages[0])
        return content_id([[opening.role, opening.content]])

    @property
    def question(self) -> str:
        """The last thing the person said."""
        return self.messages[-1].content

    def split(self, heldout_share: float, salt: int = 0) -> Split:
        """Which side of the split the prompt is on: decided by its opening's hash alone, before anything is trained."""
        digest = hashlib.sha256(f"{salt}:{self.opening_id}".encode()).digest()
        return Split.HELDOUT if int.from_bytes(digest[:8]) / 2**64 < heldout_share else Split.TRAIN


@dataclass(frozen=True)
class Response:
    """One answer to one prompt."""

    prompt_id: str
    text: str
    stop_reason: StopReason = StopReason.EOS
    tokens: int | None = None  # None: not counted (written or imported)
    run_id: str | None = None  # the run that sampled it; None: from outside
    seed: int | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)

    @cached_property
    def id(self) -> str:
        """Depends on the answer and where it came from, not on how often it was drawn."""
        return content_id(self.prompt_id, self.text, self.stop_reason, self.run_id)


@dataclass(frozen=True)
class Task:
    """One prompt and 2 to 9 responses for people to rank, or none: then they write an answer from scratch.

    A task with a single response comes from data whose answers were judged one by one.
    """

    prompt_id: str
    response_ids: tuple[str, ...]
    question: str = DEFAULT_QUESTION
    overlap: int = 1  # how many people must answer it
    gold: tuple[tuple[str, ...], ...] | None = None  # the expected ranking where the task is a check
    purpose: TaskPurpose = TaskPurpose.WORK

    def __post_init__(self) -> None:
        if len(self.response_ids) > 9:
            raise ValueError(f"a task ranks at most 9 responses, not {len(self.response_ids)}")
        if len(set(self.response_ids)) != len(self.response_ids):
            raise ValueError("a task cannot show the same response twice")
        known = {r for tier in self.gold or () for r in tier}
        if self.gold is not None and (len(known) < 2 or not known <= set(self.response_ids)):
            raise ValueError("the known answer of a task orders at least two of its responses, and no other")

    @cached_property
    def id(self) -> str:
        return content_id(self.prompt_id, sorted(self.response_ids), self.question)

    @property
    def is_writing(self) -> bool:
        return not self.response_ids


@dataclass(frozen=True)
class Assignment:
    """A task given to one annotator: `order[i]` is the index (among the task's responses) of what place i shows."""

    id: str
    task_id: str
    annotator_id: str
    order: tuple[int, ...]


@dataclass(frozen=True)
class Ranking:
    """A weak ordering: tiers from best to worst, each a set of response ids that are as good as each other."""

    tiers: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        everything = [r for tier in self.tiers for r in tier]
        if not everything or not all(self.tiers):
            raise ValueError("a ranking orders responses, in tiers that are not empty")
        if len(set(everything)) != len(everything):
            raise ValueError("a response stands in a ranking once")

    @classmethod
    def from_scores(cls, scores: Mapping[str, float]) -> Ranking:
        """Best first; equal scores share a tier."""
        levels = sorted(set(scores.values()), reverse=True)
        return cls(tuple(tuple(sorted(r for r, s in scores.items() if s == level)) for level in levels))

    @property
    def response_ids(self) -> tuple[str, ...]:
        return tuple(r for tier in self.tiers for r in tier)

    def pairs(self) -> Iterable[tuple[str, str, float]]:
        """Every unordered pair once, as `(a, b, share)`: 1.0 where a stands above b, 0.5 for a tie. K(K−1)/2."""
        level = {r: i for i, tier in enumerate(self.tiers) for r in tier}
        for a, b in combinations(sorted(level), 2):
            yield a, b, 0.5 if level[a] == level[b] else float(level[a] < level[b])


@dataclass(frozen=True)
class Judgement:
    """What one annotator said about one task. Append-only: an edit is a new judgement that supersedes this one."""

    id: str  # made by whoever submits (UUID), so that submitting twice is submitting once
    task_id: str
    annotator_id: str
    ranking: Ranking
    order: tuple[str, ...] = ()  # response ids as they were shown, first to last
    strength: int | None = None  # 1 (barely) to 4 (far better), pairs only
    ratings: Mapping[str, Mapping[str, int]] = field(default_factory=dict, hash=False)  # response -> attribute -> 1..7
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)  # response id -> safety flags
    reason: str = ""
    better_answer: str = ""
    seconds: float | None = None
    supersedes: str | None = None
    all_bad: bool = False  # none of the answers is acceptable, however they rank
    guidelines_version: int | None = None  # that the annotator had read
    surplus: bool = False  # decided by the store: it came when others had filled all places
    source: str | None = None  # the data set that it came with; None: said here


@dataclass(frozen=True)
class Demonstration:
    """An answer that a person wrote as a good one: from scratch, or better than those of a task."""

    id: str  # made by whoever submits, or of the content where it came with a data set
    prompt_id: str
    text: str
    source: str = "unknown"
    annotator_id: str | None = None
    task_id: str | None = None
    seconds: float | None = None
    supersedes: str | None = None


@dataclass(frozen=True, slots=True)
class Preference:
    """What all judgements on one pair say together: `probability` that response `a` beats response `b`."""

    prompt_id: str
    a: str
    b: str
    probability: float
    votes: float = 1.0  # effective number of votes behind it
    source: str = "unknown"
    share: float = 1.0  # of a judgement that a vote is: a ranking of K answers is one judgement and K(K−1)/2 votes
    strength: float | None = None  # 1 (barely) to 4 (far better): mean of the votes with a winner that say one
    ties: float = 0.0  # share of the votes that are ties; half of it is in `probability`

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"probability {self.probability} is outside 0 to 1")
        if not 0.0 <= self.ties <= 1.0:
            raise ValueError(f"a share of {self.ties} ties is outside 0 to 1")
        if not self.votes > 0:
            raise ValueError("a preference has votes behind it")
        if not 0 < self.share <= 1:
            raise ValueError(f"a vote is a share of a judgement, not {self.share} of it")
        if self.a == self.b:
            raise ValueError("a response cannot be preferred to itself")

    def swapped(self) -> Preference:
        """The same preference, told from the other side."""
        return replace(self, a=self.b, b=self.a, probability=1.0 - self.probability)

    @property
    def weight(self) -> float:
        """How many judgements' say it has: what it counts in training (InstructGPT, arXiv 2203.02155, section 3.5)."""
        return self.votes * self.share

    @property
    def is_tie(self) -> bool:
        return self.probability == 0.5


@dataclass(frozen=True, slots=True)
class Ranked:
    """A ranking of a prompt's answers as somebody gave it, for what learns from more than its pairs."""

    prompt_id: str
    ranking: Ranking
    votes: float = 1.0  # the annotator's weight
    strength: int | None = None
    acceptable: bool | None = None  # whether any of the answers is; None: nobody was asked


def chosen_first(preferences: Sequence[Preference]) -> list[Preference]:
    """Each preference told from the side of its winner; ties are left out."""
    return [p if p.probability > 0.5 else p.swapped() for p in preferences if not p.is_tie]


class AnnotatorKind(StrEnum):
    PERSON = "person"
    DATASET = "dataset"  # of imported labels: one of those that the data set names, or all together where it names none
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class Annotator:
    """Somebody whose judgements are kept apart from other people's."""

    id: str  # a person's name, `simulated-NN`, or whom an import names (`labelled.annotator`)
    kind: AnnotatorKind = AnnotatorKind.PERSON
    note: str = ""  # what a reader of the results should know, such as a simulated annotator's planted habit


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn."""

    max_tokens: int = 64
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError("max_tokens must be at least 1")
        if not 0 < self.temperature < math.inf:
            raise ValueError("temperature must be above 0: answers are drawn, not decoded greedily")


@dataclass(frozen=True)
class Drawing:
    """How answers are drawn."""

    answers: int  # to each prompt
    sampling: Sampling
    prompt_tokens: int  # the newest tokens of a conversation that are read

    def __post_init__(self) -> None:
        for name in ("answers", "prompt_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
