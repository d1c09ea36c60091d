"""Stage two: a reward model from preferences, by Bradley–Terry on a LoRA adapter and a scalar head.

What else people said, such as how strongly they preferred an answer, counts where it is asked for (`said`).

Two steps. The head is fitted first on the frozen trunk, which is convex and takes seconds, its ridge penalty chosen by
cross-validation; then head and adapter are trained together for a few passes (`fine_tuning`). Starting the adapter
behind a fitted head keeps it from distorting good features to make up for a random one (Kumar et al. 2022, arXiv
2202.10054).

All answers to a prompt go through the trunk in one row, and all their pairs are in one batch element; the pairs of one
ranking of K share one vote, 1 over K(K−1)/2 each (InstructGPT, arXiv 2203.02155, section 3.5). The layers below the
adapters are computed once and kept, since nothing there ever changes.

Shapes: A answers, N pairs, B rows, L positions, D hidden size, F features of the head.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor

from plaudit.errors import UsageError, require_finite
from plaudit.models.backbone import Backbone
from plaudit.models.catalog import LanguageModel
from plaudit.models.lora import LoraSettings
from plaudit.models.packing import Packed, microbatches
from plaudit.models.reward_model import (
    EncodedGroup,
    RewardModel,
    ScalarHead,
    ScoreSettings,
    default_depth,
    encode_group,
    pack_groups,
)
from plaudit.models.runtime import release
from plaudit.progress import bar
from plaudit.train.configs import RewardConfig, StoredDataConfig
from plaudit.train.losses import bradley_terry_loss
from plaudit.train.said import (
    FOLDS,
    PLAIN,
    RIDGES,
    Choices,
    Objective,
    Pairs,
    Row,
    Terms,
    Verdicts,
    choice_rows,
    fit,
    mean_loss,
    minimise,
    pair_rows,
    settle,
    total_weight,
    verdict_rows,
)
from plaudit.types import Preference, Prompt, Ranked, Response, seed_for

TOKENS_AT_ONCE = 1024  # of a micro-batch


@dataclass(frozen=True)
class Group:
    """A prompt, its answers, and the preferences among them."""

    prompt: Prompt
    answers: tuple[Response, ...]
    preferences: tuple[Preference, ...]
    rankings: tuple[Ranked, ...] = ()  # as they were given, for what learns from more than pairs


def group_by_prompt(
    preferences: Sequence[Preference],
    prompts: Mapping[str, Prompt],
    responses: Mapping[str, Response],
    rankings: Sequence[Ranked] = (),
) -> list[Group]:
    """Preferences and rankings gathered by prompt, with the answers that they are about."""
    by_prompt: dict[str, tuple[list[Preference], list[Ranked]]] = defaultdict(lambda: ([], []))
    for preference in preferences:
        by_prompt[preference.prompt_id][0].append(preference)
    for ranked in rankings:
        by_prompt[ranked.prompt_id][1].append(ranked)
    groups = []
    for prompt_id, (about, ranked_here) in by_prompt.items():
        ids = dict.fromkeys(response_id for p in about for response_id in (p.a, p.b))
        ids |= dict.fromkeys(response_id for ranked in ranked_here for response_id in ranked.ranking.response_ids)
        answers = tuple(responses[i] for i in ids)
        groups.append(Group(prompts[prompt_id], answers, tuple(about), tuple(ranked_here)))
    return groups


@dataclass
class Batch:
    """Some groups packed into rows, with their pairs as indices into the answers."""

    packed: Packed
    first_N: Tensor  # index of answer a
    second_N: Tensor  # index of answer b
    probability_N: Tensor  # that a beats b
    weight_N: Tensor  # judgements' say: votes, those of one ranking sharing one
    row_N: Tensor  # which of the batch's prompts the pair is about
    lower_BLD: Tensor | None = None  # kept while there is room
    features_AF: Tensor | None = None  # on the bare trunk: what the head is first fitted to
    terms: tuple[Terms, ...] = ()  # all that was said, where that is more than the pairs above
    objective: Objective = PLAIN  # how the terms count, which is known once the head is fitted

    def hidden(self, backbone: Backbone) -> Tensor:
        """(B, L, D): the lower layers' output, which never changes."""
        return backbone.lower(self.packed.tokens) if self.lower_BLD is None else self.lower_BLD

    @property
    def weight(self) -> float:
        """How much was said."""
        return total_weight(self.terms, self.objective) if self.terms else float(self.weight_N.sum())

    def reweighed(self, factors_B: Tensor) -> Batch:
        """What was said about each prompt times its factor, as a bootstrap does."""
        terms = tuple(term.reweighed(factors_B) for term in self.terms)
        return replace(self, weight_N=self.weight_N * factors_B[self.row_N], terms=terms)

    def loss(self, scores_A: Tensor) -> Tensor:
        if self.terms:
            return mean_loss(scores_A, self.terms, self.objective)
        margin_N = scores_A[self.first_N] - scores_A[self.second_N]
        return bradley_terry_loss(margin_N, self.probability_N, self.weight_N)


def untrained_reward(model: LanguageModel, config: RewardConfig, seed: int, adapter: str = "reward") -> RewardModel:
    """A new adapter that changes nothing yet, and a random head."""
    backbone, settings = model.trunk, score_settings(model, config)
    lora = LoraSettings(config.rank, config.alpha)
    backbone.add_adapter(adapter, lora, seed_for(seed, adapter), depth=settings.depth)
    head = ScalarHead(backbone.hidden_size, seed_for(seed, f"{adapter} head"))
    return RewardModel(backbone, adapter, head.to(backbone.device), settings)


def score_settings(model: LanguageModel, config: RewardConfig) -> ScoreSettings:
    """How a reward model with this configuration scores. UsageError for a depth that has no adapted layer below it."""
    backbone = model.trunk
    depth = default_depth(backbone) if config.depth is None else config.depth
    if not backbone.split < depth <= backbone.depth:
        raise UsageError(
            f"training.depth must lie between {backbone.split + 1} and {backbone.depth} for this model, not {depth}."
        )
    return ScoreSettings(depth, config.prompt_tokens, config.answer_tokens)


def make_batches(
    model: LanguageModel,
    groups: Sequence[Group],
    config: RewardConfig | StoredDataConfig,
    tokens: int = TOKENS_AT_ONCE,
    most: int | None = None,
) -> list[Batch]:
    """The groups as micro-batches of rows of similar length, at most `most`, ready to train on.

    Raises:
        UsageError: there is nothing to learn from.
    """
    if not any(not p.is_tie for g in groups for p in g.preferences):
        raise UsageError(
            "There are no preferences to learn from: collect some (`plaudit panel`), or `plaudit import` some."
        )
    encoded = [encode_group(model, g.prompt, g.answers, config) for g in groups]
    counts = config if isinstance(config, RewardConfig) else None
    return [
        make_batch(model.trunk, [groups[i] for i in indices], [encoded[i] for i in indices], counts)
        for indices in microbatches([e.tokens for e in encoded], tokens, most)
    ]


def make_batch(
    backbone: Backbone, groups: Sequence[Group], encoded: Sequence[EncodedGroup], config: RewardConfig | None = None
) -> Batch:
    index = {(g.prompt.id, r.id): None for g in groups for r in g.answers}
    place = {key: i for i, key in enumerate(index)}
    pairs = [
        (place[g.prompt.id, p.a], place[g.prompt.id, p.b], p.probability, p.weight, row)
        for row, g in enumerate(groups)
        for p in g.preferences
    ]
    kinds = (torch.int64, torch.int64, torch.float32, torch.float32, torch.int64)
    columns = zip(*pairs, strict=True) if pairs else ([] for _ in kinds)
    first_N, second_N, probability_N, weight_N, row_N = (
        torch.tensor(column, dtype=kind, device=backbone.device) for column, kind in zip(columns, kinds, strict=True)
    )
    terms = () if config is None or config.is_plain else make_terms(groups, config, backbone.device)
    packed = pack_groups(backbone, encoded)
    return Batch(packed, first_N, second_N, probability_N, weight_N, row_N, terms=terms)


def make_terms(groups: Sequence[Group], config: RewardConfig, device: torch.device) -> tuple[Terms, ...]:
    """All that the configuration lets count, of what was said about the groups' answers."""
    pairs, choices, verdicts = list[Row](), list[Row](), list[Row]()
    before = 0
    for row, group in enumerate(groups):
        place = {answer.id: before + i for i, answer in enumerate(group.answers)}
        before += len(place)
        pairs += pair_rows(place, row, group.preferences, group.rankings, config)
        if config.ranking == "plackett-luce":
            choices += choice_rows(place, row, group.rankings)
        if config.all_bad == "threshold":
            verdicts += verdict_rows(place, row, group.rankings, config.threshold_weight)
    return (*Pairs.of(pairs, device), *Choices.of(choices, device), *Verdicts.of(verdicts, device))


def join_terms(batches: Sequence[Batch]) -> tuple[Terms, ...]:
    """All that was said about all batches' answers."""
    found: dict[type[Terms], list[Terms]] = defaultdict(list)
    answers = prompts = 0
    for batch in batches:
        for term in batch.terms:
            found[type(term)].append(term.moved(answers, prompts))
        answers += len(batch.packed.targets_AT)
        prompts += len(batch.packed.tokens.ids_BL)
    return tuple(kind.join(parts) for kind, parts in found.items())


def read_lower(backbone: Backbone, batches: Sequence[Batch], keep_mb: int) -> Iterator[tuple[Batch, Tensor]]:
    """Each batch with its lower layers' output, which is kept in it as long as all that is kept fits into `keep_mb`."""
    kept_bytes = sum(b.lower_BLD.nbytes for b in batches if b.lower_BLD is not None)
    for batch in batches:
        lower_BLD = batch.hidden(backbone)
        if batch.lower_BLD is None and kept_bytes + lower_BLD.nbytes <= keep_mb * 2**20:
            batch.lower_BLD, kept_bytes = lower_BLD, kept_bytes + lower_BLD.nbytes
        yield batch, lower_BLD


@torch.no_grad()
def read_answers(reward: RewardModel, batches: Sequence[Batch], config: RewardConfig) -> None:
    """Keep what the frozen trunk makes of the answers: features, and the lower layers' output while there is room."""
    unread = [batch for batch in batches if batch.features_AF is None]
    if not unread:
        return
    with bar("Reading the answers", sum(len(b.packed.targets_AT) for b in unread), "answers") as progress:
        for batch, lower_BLD in read_lower(reward.trunk, unread, config.keep_mb):
            batch.features_AF = reward.features(lower_BLD, batch.packed)
            progress.advance(len(batch.packed.targets_AT))
            release()
    sums = torch.cat([batch.features_AF for batch in unread if batch.features_AF is not None]).sum(1).tolist()
    require_finite(
        sums, lambda i: f"What the model makes of answer {i + 1}", "look for a model that overflows in its dtype"
    )


def start_head(reward: RewardModel, batches: Sequence[Batch], config: RewardConfig) -> None:
    """Fit the head alone to the frozen trunk's features, which are read where they are not yet."""
    read_answers(reward, batches, config)
    features = [batch.features_AF for batch in batches if batch.features_AF is not None]
    if not config.is_plain:
        w_F, objective = fit(torch.cat(features), join_terms(batches), config)
        reward.head.weight.data.copy_(w_F)
        for batch in batches:
            batch.objective = objective
        return
    difference_NF = torch.cat([f[b.first_N] - f[b.second_N] for f, b in zip(features, batches, strict=True)])
    probability_N = torch.cat([b.probability_N for b in batches])
    weight_N = torch.cat([b.weight_N for b in batches])
    offsets = [0, *accumulate(len(b.packed.tokens.ids_BL) for b in batches)]
    prompt_N = torch.cat([b.row_N + offset for b, offset in zip(batches, offsets, strict=False)])
    drawn_N = weight_N > 0  # a prompt that a bootstrap left out is in no fold
    difference_NF, probability_N, weight_N, prompt_N = (
        column[drawn_N] for column in (difference_NF, probability_N, weight_N, prompt_N)
    )
    ridge = config.ridge
    if ridge is None:
        ridge = choose_ridge(difference_NF, probability_N, weight_N, prompt_N)
    reward.head.weight.data.copy_(fit_head(difference_NF, probability_N, weight_N, ridge))


def settle_said(settings: ScoreSettings, raw_A: Tensor, batches: Sequence[Batch]) -> ScoreSettings:
    """With the tie parameter and the threshold that suit the raw scores of all answers, where there are any."""
    terms = join_terms(batches)
    if not terms:
        return settings
    learned = settle(raw_A, terms, batches[0].objective)
    tie = None if learned.log_tie is None else math.exp(float(learned.log_tie))
    threshold = None if learned.threshold is None else (float(learned.threshold) - settings.mean) / settings.std
    return replace(settings, tie=tie, threshold=threshold)


def fit_head(difference_NF: Tensor, probability_N: Tensor, weight_N: Tensor, ridge: float) -> Tensor:
    """(F,) weights w that minimise the Bradley–Terry loss of `difference_NF @ w` plus ridge · |w|², by L-BFGS.

    `difference_NF`: features of a less those of b. `probability_N`: that a beats b. `weight_N`: votes.
    """
    w_F = torch.zeros(difference_NF.shape[1], device=difference_NF.device, requires_grad=True)
    minimise(
        [w_F],
        lambda: bradley_terry_loss(difference_NF @ w_F, probability_N, weight_N) + ridge * w_F.square().sum(),
    )
    return w_F.detach()


def choose_ridge(difference_NF: Tensor, probability_N: Tensor, weight_N: Tensor, prompt_N: Tensor) -> float:
    """The penalty of `RIDGES` with the least loss on held-out prompts, by five folds. `prompt_N`: its index.

    Few preferences want a strong penalty and many a weak one, by a factor of a hundred; no fixed value serves both.
    """
    fold_N = prompt_N % FOLDS
    if len(fold_N.unique()) < FOLDS:
        return RIDGES[-2]

    def heldout_loss(ridge: float) -> float:
        total = 0.0
        for k in range(FOLDS):
            train, test = fold_N != k, fold_N == k
            w_F = fit_head(difference_NF[train], probability_N[train], weight_N[train], ridge)
            loss = bradley_terry_loss(difference_NF[test] @ w_F, probability_N[test], weight_N[test])
            total += float(loss * weight_N[test].sum())
        return total

    return min(RIDGES, key=heldout_loss)
