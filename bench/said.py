"""Does what people say beside "better" help: strength, ties, whole rankings, "all bad"? Used against dropped, 5 seeds.

Answers are the four to each of the first 120 questions of `finegrained-qa` (folder PLAUDIT_DATA, or `../shared/data`
beside the repository), read with their question alone. They are judged twice: by the people of that data set, who tie
and rank four; and by a simulated panel, whose hidden utility is a random direction of the features that the head reads,
another one each seed, so that it could be found. Of a sixth of the panel's tasks no answer is acceptable.

The head alone is fitted, as `plaudit reward` does before it trains the adapter, its ridge by cross-validation in each
case. A fifth of the questions is held out, another one each seed. A figure is the held-out loss in nats of each way,
or its difference from the way that drops what was said, seed by seed: below 0 it helped. Student's interval over seeds.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from bench import Row
from bench.reward_folds import fold_of
from plaudit.errors import UsageError
from plaudit.evaluate.beyond_pairs import three_way_losses, threshold_figures
from plaudit.feedback.aggregate import aggregate, rank
from plaudit.feedback.simulated.panel import Panel
from plaudit.models.catalog import LanguageModel, load
from plaudit.models.packing import microbatches
from plaudit.models.reward_model import encode_group, final_features, pack_groups
from plaudit.models.runtime import release
from plaudit.progress import track
from plaudit.train.configs import RewardConfig
from plaudit.train.reward import Group, group_by_prompt, make_terms, score_settings
from plaudit.train.said import Objective, fit
from plaudit.types import Judgement, Preference, Prompt, Ranking, Response, Task

SEEDS = (0, 1, 2, 3, 4)
MODEL = "smollm2"
FILE = "preferences/finegrained-qa/dev_feedback.json.gz"
QUESTIONS, QUICK_QUESTIONS = 120, 60
TOKENS_AT_ONCE = 2048
TIE_MARGIN = 0.5  # of the panel, so that it ties about as often as people do
ALL_BAD_SHARE = 1 / 6
CPU = torch.device("cpu")

Losses = dict[str, float]  # of a way to learn, by what is measured


@dataclass(frozen=True)
class Answered:
    """A question, its answers, and how people rank them."""

    prompt: Prompt
    answers: tuple[Response, ...]
    ranking: Ranking

    @property
    def task(self) -> Task:
        return Task(self.prompt.id, tuple(answer.id for answer in self.answers))


@dataclass(frozen=True)
class Way:
    """A way to learn from what was said."""

    name: str
    config: RewardConfig
    hear: Callable[[Group], Group] = lambda group: group  # what of it reaches training


PLAIN = RewardConfig()
STRENGTH = [Way(name, RewardConfig(strength=name)) for name in ("ignore", "margin", "scaled", "auto")]
TIES = [
    Way(
        "dropped", PLAIN, lambda group: replace(group, preferences=tuple(p for p in group.preferences if not p.is_tie))
    ),
    Way("half", PLAIN),
    Way("davidson", RewardConfig(ties="davidson")),
]
RANKINGS = [
    Way("one pair of each", PLAIN, lambda group: replace(group, preferences=_one(group))),
    Way("pairs", PLAIN),
    Way("plackett-luce", RewardConfig(ranking="plackett-luce")),
]
ALL_BAD = [Way("ignore", PLAIN)] + [
    Way(f"threshold, weight {weight}", RewardConfig(all_bad="threshold", threshold_weight=weight))
    for weight in (0.25, 1.0)
]


def _one(group: Group) -> tuple[Preference, ...]:
    """A pair at random, which depends on the prompt alone; the others are thrown away."""
    return (random.Random(group.prompt.id).choice(group.preferences),) if group.preferences else ()


def main(quick: bool) -> list[Row]:
    asked = read_file(QUICK_QUESTIONS if quick else QUESTIONS)
    features = read_features(load(MODEL), asked)
    seeds = SEEDS[:1] if quick else SEEDS
    rows: list[Row] = []
    for title, ways, judge in (
        ("people, ties", TIES, lambda seed: people(asked)),
        ("people, rankings of four", RANKINGS, lambda seed: people(asked)),
        ("panel, ties", TIES, lambda seed: panel(asked, features, seed, answers=2)),
        ("panel, rankings of four", RANKINGS, lambda seed: panel(asked, features, seed, answers=4)),
        ("panel, strength", STRENGTH, lambda seed: panel(asked, features, seed, answers=2)),
        ("panel, all bad", ALL_BAD, lambda seed: panel(asked, features, seed, answers=2)),
    ):
        found = {way.name: [measure(way, judge(seed), features, seed) for seed in seeds] for way in ways}
        rows += rows_of(title, found)
        print("\n".join(f"{row.what}: {row.value:.4f}" for row in rows_of(title, found)), file=sys.stderr, flush=True)
    return rows


def rows_of(title: str, found: Mapping[str, Sequence[Losses]]) -> Iterator[Row]:
    """What the first way reaches, and by how much each other one differs from it."""
    (first, base), *others = found.items()
    for what in base[0]:
        unit = "nats" if "loss" in what else ""
        yield Row.mean(f"{title}: {what}, {first}", [losses[what] for losses in base], unit)
        for name, losses in others:
            differences = [own[what] - its[what] for own, its in zip(losses, base, strict=True)]
            yield Row.mean(f"{title}: {what}, {name} less {first}", differences, unit)
    for name, losses in others:
        for what in [what for what in losses[0] if what not in base[0]]:
            yield Row.mean(f"{title}: {what}, {name}", [own[what] for own in losses])


def read_file(limit: int) -> list[Answered]:
    folder = Path(os.environ.get("PLAUDIT_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (folder / FILE).is_file():
        raise UsageError(f"There is no {folder / FILE}: set PLAUDIT_DATA to the folder that holds {FILE}.")
    with gzip.open(folder / FILE, "rt", encoding="utf-8") as file:
        return [answered(record) for record in json.load(file)[:limit]]


def answered(record: Mapping[str, object]) -> Answered:
    """The six choices as a ranking, by wins less losses: 22 of 500 contradict themselves, the others say just that."""
    prompt = Prompt.from_text(str(record["question"]), "finegrained-qa")
    answers = tuple(Response(prompt.id, str(record[f"prediction {k}"])) for k in (1, 2, 3, 4))
    balance = dict.fromkeys((answer.id for answer in answers), 0.0)
    choices = record["preference"]
    assert isinstance(choices, list)
    for (a, b), choice in zip(combinations(answers, 2), choices, strict=True):
        balance[a.id] += {0: 0, 1: 1, 2: -1}[choice]
        balance[b.id] -= {0: 0, 1: 1, 2: -1}[choice]
    return Answered(prompt, answers, Ranking.from_scores(balance))


@torch.no_grad()
def read_features(model: LanguageModel, asked: Sequence[Answered]) -> dict[str, Tensor]:
    """Response id -> (F,) what the head reads on the bare trunk."""
    settings = score_settings(model, PLAIN)
    encoded = [encode_group(model, one.prompt, one.answers, settings) for one in asked]
    found: dict[str, Tensor] = {}
    for indices in track(microbatches([e.tokens for e in encoded], TOKENS_AT_ONCE), "Reading", unit="batches"):
        packed = pack_groups(model.trunk, [encoded[i] for i in indices])
        states = model.trunk.upper(model.trunk.lower(packed.tokens), packed.tokens, depth=settings.depth)
        answers = [answer for i in indices for answer in asked[i].answers]
        found |= {a.id: own.clone() for a, own in zip(answers, final_features(states, packed), strict=True)}
        release()
    return found


def people(asked: Sequence[Answered]) -> list[Group]:
    judgements = [Judgement(one.prompt.id, one.task.id, "people", one.ranking) for one in asked]
    return grouped(asked, [one.task for one in asked], judgements)


def panel(asked: Sequence[Answered], features: Mapping[str, Tensor], seed: int, answers: int) -> list[Group]:
    """A simulated panel's judgements, one a task, of as many answers a task."""
    direction = torch.randn(next(iter(features.values())).shape, generator=torch.Generator().manual_seed(seed))
    raw = {answer.id: float(features[answer.id] @ direction) for one in asked for answer in one.answers}
    spread = float(np.std(list(raw.values())))
    utility = {answer: value / spread for answer, value in raw.items()}
    tasks = [
        Task(one.prompt.id, tuple(answer.id for answer in one.answers[i : i + answers]))
        for one in asked
        for i in range(0, 4, answers)
    ]
    members = Panel(utility, seed=seed, tie_margin=TIE_MARGIN)
    judgements = members.rank(tasks, [answer for one in asked for answer in one.answers], overlap=1)
    best = {task.id: max(utility[answer] for answer in task.response_ids) for task in tasks}
    bound = float(np.quantile(list(best.values()), ALL_BAD_SHARE))
    said = [replace(judgement, all_bad=best[judgement.task_id] < bound) for judgement in judgements]
    return grouped(asked, tasks, said)


def grouped(asked: Sequence[Answered], tasks: Sequence[Task], judgements: Sequence[Judgement]) -> list[Group]:
    answers = {answer.id: answer for one in asked for answer in one.answers}
    rankings = rank(judgements, {task.id: task for task in tasks})
    return group_by_prompt(
        aggregate(judgements, tasks), {one.prompt.id: one.prompt for one in asked}, answers, rankings
    )


def measure(
    way: Way, groups: Sequence[Group], features: Mapping[str, Tensor], seed: int, *, learn_from_one_fold: bool = False
) -> Losses:
    """The held-out losses of the head that was fitted in this way, to four folds of five or to one."""
    is_learned = {group.prompt.id: (fold_of(group, seed) > 0) != learn_from_one_fold for group in groups}
    learned_from = [group for group in groups if is_learned[group.prompt.id]]
    train = [way.hear(group) for group in learned_from]
    heldout = [group for group in groups if not is_learned[group.prompt.id]]
    read = torch.stack([features[answer.id] for group in train for answer in group.answers])
    w_F, learned = fit(read, make_terms(train, way.config, CPU), way.config)
    scores = {answer.id: float(features[answer.id] @ w_F) for group in heldout for answer in group.answers}
    tied = fmean(p.ties for group in learned_from for p in group.preferences)
    return losses_of(scores, learned, tied, heldout)


def losses_of(scores: Mapping[str, float], learned: Objective, tied: float, heldout: Sequence[Group]) -> Losses:
    """`tied`: the share of ties in training, which is all that is said of them where they were not learned."""
    pairs = [p for group in heldout for p in group.preferences]
    margin = np.array([scores[p.a] - scores[p.b] for p in pairs])
    chance, ties = np.array([p.probability for p in pairs]), np.array([p.ties for p in pairs])
    two_way = chance * np.logaddexp(0, -margin) + (1 - chance) * np.logaddexp(0, margin)
    found = {"log loss of pairs with a winner": float(two_way[ties == 0].mean())}
    if learned.log_tie is None:
        three_way = np.where(ties == 1, -np.log(tied), two_way - np.log(1 - tied))
    else:
        three_way = three_way_losses(margin, chance, ties, float(learned.log_tie.exp()))
    found["log loss of win, tie or loss"] = float(three_way.mean())
    if learned.threshold is not None:
        rankings = [ranked for group in heldout for ranked in group.rankings]
        figures = threshold_figures(rankings, scores, float(learned.threshold))
        found |= {f"whether any is acceptable, {name}": figures[key] for name, key in
                  (("right", "threshold_accuracy"), ("always the same", "threshold_accuracy_unread"))}  # fmt: skip
    return found
