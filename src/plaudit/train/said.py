"""What a reward model is fitted to beside who beat whom: strength, ties, whole rankings, and "all bad".

Everything said about some answers is terms of three kinds, each with a weight, and the loss is their weighted mean:

- pairs. A vote's strength s, 1 to 4, may demand a margin of `margin`·(s − 1)/3 (Llama 2, arXiv 2307.09288, eq. 2) or
  scale the loss (HelpSteer2-Preference, arXiv 2410.01257). Ties are half a vote each way, or predicted (Davidson 1970).
- choices. A ranking of K is K − 1 choices of the best of what is left (Plackett–Luce), each weighing as much as a pair.
  Where a tie leaves the order open, the loss is the mean over all orders, as half a vote each way is for a pair.
- verdicts. "None is acceptable" puts every answer below an outside option of score θ, as who buys nothing prefers to
  (McFadden 1974; Train 2009, section 3.3); else the best is above it. A judgement's weigh `threshold_weight` in all.

What is learned beside the head, log ν and θ, is fitted with it by L-BFGS, stays while the adapter is trained, and is
fitted again to the final scores: two numbers with one minimum need no learning rate.

Shapes: A answers, F features, N terms of one kind, K answers of a ranking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from math import comb
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from plaudit.train.configs import RewardConfig
from plaudit.train.losses import bradley_terry_losses, choice_losses, vote_losses
from plaudit.types import Preference, Ranked

RIDGES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # on the head's squared weights
FOLDS = 5
MOST_RANKED = 9  # answers of a task
STRONGEST = 4
SCALAR_RIDGE = 1e-4  # on (log ν)² and θ², which would be infinite where nobody ties, or all answers are acceptable
Row = tuple[Any, ...]  # of a term: its fields in their order
AUTO = ("ignore", "margin", "scaled")  # ways to take strength, from which `auto` chooses


@dataclass(frozen=True)
class Objective:
    """How terms count, and what is learned beside the scores."""

    strength: str = "ignore"
    margin: float = 1.0  # that a vote of the greatest strength demands
    mean_strength: float = 1.0  # what a vote without one is taken for
    log_tie: Tensor | None = None  # log ν; None: a tie is half a vote each way
    threshold: Tensor | None = None  # θ; None: nobody said that all were bad, or it does not count

    @classmethod
    def of(cls, config: RewardConfig, strength: str, terms: Sequence[Terms]) -> Self:
        """Before anything is learned."""
        votes = [term for term in terms if isinstance(term, Pairs)]
        stated = sum(float((term.weight * (term.strength > 0)).sum()) for term in votes)
        total = sum(float((term.weight * term.strength).sum()) for term in votes)
        has_verdicts = any(isinstance(term, Verdicts) for term in terms)
        return cls(
            strength,
            config.margin,
            total / stated if stated else 1.0,
            torch.zeros(()) if config.ties == "davidson" else None,
            torch.zeros(()) if has_verdicts else None,
        )


PLAIN = Objective()


@dataclass(frozen=True)
class Terms:
    """Terms of one kind: every tensor has a row for each."""

    weight: Tensor
    prompt: Tensor  # index of the prompt that it is about
    indices: ClassVar[tuple[str, ...]] = ()  # the fields that point at answers

    def losses(self, scores_A: Tensor, objective: Objective) -> Tensor:
        raise NotImplementedError

    def weights(self, objective: Objective) -> Tensor:
        return self.weight

    def where(self, kept: Tensor) -> Self:
        return replace(self, **{f.name: getattr(self, f.name)[kept] for f in fields(self)})

    def reweighed(self, factors: Tensor) -> Self:
        """Each term's weight times the factor of its prompt."""
        return replace(self, weight=self.weight * factors[self.prompt])

    def moved(self, answers: int, prompts: int) -> Self:
        """With so many answers and prompts before those that it points at."""
        moved = {name: getattr(self, name) + answers for name in self.indices}
        return replace(self, prompt=self.prompt + prompts, **moved)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        return cls(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    @classmethod
    def of(cls, rows: Sequence[Row], device: torch.device) -> tuple[Self, ...]:
        """The terms of these rows, each in the order of the fields; none for no rows."""
        columns = [torch.tensor(column, device=device) for column in zip(*rows, strict=True)]
        whole = {"prompt", *cls.indices}
        named = zip(fields(cls), columns, strict=False)
        return (cls(**{f.name: c if f.name in whole else c.float() for f, c in named}),) if columns else ()


@dataclass(frozen=True)
class Pairs(Terms):
    first: Tensor  # index of answer a
    second: Tensor
    probability: Tensor  # that a beats b
    ties: Tensor  # share of the votes
    strength: Tensor  # 1 to 4; 0 where nobody said
    indices = ("first", "second")

    def losses(self, scores_A: Tensor, objective: Objective) -> Tensor:
        demanded = torch.zeros_like(self.strength)
        if objective.strength == "margin":
            demanded = objective.margin * (self.strength - 1).clamp(min=0) / (STRONGEST - 1)
        margin = scores_A[self.first] - scores_A[self.second]
        return vote_losses(margin, self.probability, self.ties, demanded, objective.log_tie)

    def weights(self, objective: Objective) -> Tensor:
        if objective.strength != "scaled":
            return self.weight
        return self.weight * torch.where(self.strength > 0, self.strength / objective.mean_strength, 1.0)


@dataclass(frozen=True)
class Choices(Terms):
    members: Tensor  # (N, K) indices of the answers that are left, padded by any
    present: Tensor  # (N, K) 1 for a member, 0 for padding
    chosen: Tensor  # (N, K) share of the choice that each has
    indices = ("members",)

    def losses(self, scores_A: Tensor, objective: Objective) -> Tensor:
        return choice_losses(scores_A[self.members], self.present > 0, self.chosen)


@dataclass(frozen=True)
class Verdicts(Terms):
    answer: Tensor
    acceptable: Tensor  # 1 above the threshold, 0 below
    indices = ("answer",)

    def losses(self, scores_A: Tensor, objective: Objective) -> Tensor:
        assert objective.threshold is not None
        return bradley_terry_losses(scores_A[self.answer] - objective.threshold, self.acceptable)


def total_loss(scores_A: Tensor, terms: Iterable[Terms], objective: Objective) -> Tensor:
    """The sum of the losses, each times its weight."""
    return torch.stack([(t.losses(scores_A, objective) * t.weights(objective)).sum() for t in terms]).sum()


def total_weight(terms: Iterable[Terms], objective: Objective) -> float:
    return sum(float(term.weights(objective).sum()) for term in terms)


def mean_loss(scores_A: Tensor, terms: Sequence[Terms], objective: Objective) -> Tensor:
    return total_loss(scores_A, terms, objective) / total_weight(terms, objective)


def pair_rows(
    place: dict[str, int], row: int, preferences: Sequence[Preference], rankings: Sequence[Ranked], config: RewardConfig
) -> Iterator[Row]:
    """Rows of `Pairs` about one prompt. Where whole rankings count, a pair is only what was judged as one.

    `place`: response id -> its index.
    """
    if config.ranking == "pairs":
        for p in preferences:
            yield p.weight, row, place[p.a], place[p.b], p.probability, p.ties, p.strength or 0.0
        return
    for ranked in rankings:
        if len(ranked.ranking.response_ids) == 2:
            ((a, b, share),) = ranked.ranking.pairs()
            tie = float(share == 0.5)
            yield ranked.votes, row, place[a], place[b], share, tie, 0.0 if tie else float(ranked.strength or 0)


def choice_rows(place: dict[str, int], row: int, rankings: Sequence[Ranked]) -> Iterator[Row]:
    """Rows of `Choices` about one prompt, of the rankings of more than two."""
    for ranked in rankings:
        tiers = [[place[answer] for answer in tier] for tier in ranked.ranking.tiers]
        for members, chosen, share in choices(tiers) if sum(map(len, tiers)) > 2 else ():
            padding = MOST_RANKED - len(members)
            present = [1] * len(members) + [0] * padding
            yield ranked.votes * share, row, members + members[:1] * padding, present, chosen + [0.0] * padding


def choices(tiers: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], list[float], float]]:
    """The choices that a ranking consists of: who is left, what share of the choice each has, and its weight.

    A tier of T can be told in T! orders. In all of them together, each subset of it is left equally often, and each
    answer of that is equally often chosen next. So 2^T subsets say the mean over T! orders.
    """
    for level, tier in enumerate(tiers):
        below = [answer for lower in tiers[level + 1 :] for answer in lower]
        for size in range(len(tier), 0, -1):
            if size + len(below) > 1:
                for left in combinations(tier, size):
                    share = 1 / comb(len(tier), size)
                    yield [*left, *below], [1 / size] * size + [0.0] * len(below), share


def verdict_rows(place: dict[str, int], row: int, rankings: Sequence[Ranked], weight: float) -> Iterator[Row]:
    """Rows of `Verdicts` about one prompt, from the judgements that say whether any answer is acceptable."""
    for ranked in rankings:
        if ranked.acceptable is not None:
            about = ranked.ranking.tiers[0] if ranked.acceptable else ranked.ranking.response_ids
            for answer in about:
                yield weight * ranked.votes / len(about), row, place[answer], float(ranked.acceptable)


def minimise(parameters: Sequence[Tensor], loss: Callable[[], Tensor]) -> None:
    """By L-BFGS, for a convex loss."""
    solver = torch.optim.LBFGS(list(parameters), max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        value = loss()
        value.backward()
        return value

    solver.step(closure)


def fit(features_AF: Tensor, terms: Sequence[Terms], config: RewardConfig) -> tuple[Tensor, Objective]:
    """(F,) weights of the head, and the objective with what was learned beside it.

    The ridge where none is given, and the way to take strength for `auto`, are those with the least held-out loss, by
    folds of the training prompts. One yardstick measures all ways: the loss in which strength is ignored.
    """
    ways = AUTO if config.strength == "auto" else (config.strength,)
    ridges = RIDGES if config.ridge is None else (config.ridge,)
    tried = [(Objective.of(config, way, terms), ridge) for way in ways for ridge in ridges]
    folds = {fold for term in terms for fold in (term.prompt % FOLDS).unique().tolist()}
    if len(tried) == 1 or len(folds) < FOLDS:
        best = tried[0][0], RIDGES[-2] if config.ridge is None else config.ridge
    else:
        best = min(tried, key=lambda pair: heldout_loss(features_AF, terms, *pair))
    return fit_terms(features_AF, terms, *best)


def heldout_loss(features_AF: Tensor, terms: Sequence[Terms], objective: Objective, ridge: float) -> float:
    found = 0.0
    for k in range(FOLDS):
        train = [term.where(term.prompt % FOLDS != k) for term in terms]
        test = [term.where(term.prompt % FOLDS == k) for term in terms]
        w_F, learned = fit_terms(features_AF, train, objective, ridge)
        found += float(total_loss(features_AF @ w_F, test, replace(learned, strength="ignore")))
    return found


def fit_terms(
    features_AF: Tensor, terms: Sequence[Terms], objective: Objective, ridge: float
) -> tuple[Tensor, Objective]:
    """(F,) weights w of least mean loss plus ridge · |w|², and the objective with what was learned beside them."""
    w_F = torch.zeros(features_AF.shape[1], device=features_AF.device, requires_grad=True)
    learned = _learn(lambda: features_AF @ w_F, [w_F], terms, objective, ridge)
    return w_F.detach(), learned


def settle(scores_A: Tensor, terms: Sequence[Terms], objective: Objective) -> Objective:
    """Log ν and θ that suit these scores as they are, without what a strength demands of them."""
    return _learn(lambda: scores_A, [], terms, replace(objective, strength="ignore"), 0.0)


def _learn(
    scores: Callable[[], Tensor], weights: list[Tensor], terms: Sequence[Terms], objective: Objective, ridge: float
) -> Objective:
    device = terms[0].weight.device
    log_tie, threshold = (
        None if value is None else torch.tensor(float(value), device=device, requires_grad=True)
        for value in (objective.log_tie, objective.threshold)
    )
    scalars = [scalar for scalar in (log_tie, threshold) if scalar is not None]
    told = replace(objective, log_tie=log_tie, threshold=threshold)

    def loss() -> Tensor:
        value = mean_loss(scores(), terms, told)
        for penalty, part in [(ridge, weights), (SCALAR_RIDGE, scalars)]:
            value = value + penalty * sum(parameter.square().sum() for parameter in part)
        return value

    if weights or scalars:
        minimise([*weights, *scalars], loss)
    log_tie, threshold = (None if value is None else value.detach() for value in (log_tie, threshold))
    return replace(objective, log_tie=log_tie, threshold=threshold)
