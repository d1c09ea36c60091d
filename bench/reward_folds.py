"""How often the reward model predicts what people chose: five folds by prompt, five seeds, beside simple baselines.

Two sources, each fitted apart, since they want opposite lengths: `hh-harmless` and `oasst-ranked`, as people ranked
them (folder PLAUDIT_DATA, or `../shared/data` beside the repository), through the project's importers and its store.
A fold is every prompt whose opening has the same hash modulo five; another seed has other folds, another start of the
adapter and another order of training. A figure is the mean over folds, then over seeds, with Student's interval.

The baselines see the same folds: betting on the longer or the shorter answer (characters), logistic regression on
differences of TF-IDF (words and pairs of words), and the reward model's own first step, its head on the bare trunk.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from bench import Row
from plaudit.errors import UsageError
from plaudit.feedback.aggregate import preferences
from plaudit.feedback.importers import import_preferences
from plaudit.feedback.store import FeedbackStore
from plaudit.models.catalog import LanguageModel, load
from plaudit.models.reward_model import RewardModel
from plaudit.progress import duration_text, quiet, track
from plaudit.train.reward import Batch, Group, RewardConfig, fine_tune, group_by_prompt, make_batches, train_reward
from plaudit.types import Preference

SEEDS = (0, 1, 2, 3, 4)
FOLDS = 5
QUICK_PAIRS = 200
MODEL = "smollm2"
CONFIG = RewardConfig()
REWARD, HEAD, TFIDF, LONGER, SHORTER = "reward model", "head alone", "TF-IDF", "longer wins", "shorter wins"


@dataclass(frozen=True)
class Source:
    name: str
    file: str  # below `preferences/` in the data folder
    peer: str  # the bet on length that its people bear out
    goal: str | None = None


SOURCES = (
    Source("hh-harmless", "hh-harmless/test.jsonl.gz", SHORTER, ">= 0.67"),
    Source("oasst-ranked", "oasst-ranked/ranked_pairs.jsonl.gz", LONGER),
)

Accuracies = dict[str, float]  # of each predictor


def main(quick: bool) -> list[Row]:
    groups = {source: read_groups(source, QUICK_PAIRS if quick else None) for source in SOURCES}
    model = load(MODEL)
    found: dict[Source, list[Accuracies]] = defaultdict(list)  # a seed each
    for seed in SEEDS[:1] if quick else SEEDS:  # seeds outermost: a run that is cut has said something of every source
        for source in SOURCES:
            folds = []
            for fold, (accuracies, seconds) in enumerate(measure_folds(model, groups[source], seed, quick), start=1):
                folds.append(accuracies)
                figures = ", ".join(f"{name} {value:.3f}" for name, value in accuracies.items())
                where = f"{source.name}, seed {seed}, fold {fold} of {FOLDS}"
                print(f"{where}: {figures} ({duration_text(seconds)})", file=sys.stderr, flush=True)
            found[source].append({name: fmean(fold[name] for fold in folds) for name in folds[0]})
    return [row for source in SOURCES for row in rows_of(source, found[source])]


def rows_of(source: Source, of_seeds: Sequence[Accuracies]) -> Iterator[Row]:
    """A row for each predictor; the reward model's has the bet on length beside it."""
    peer = fmean(accuracies[source.peer] for accuracies in of_seeds)
    for name in of_seeds[0]:
        what, values = f"{source.name}: {name}", [accuracies[name] for accuracies in of_seeds]
        if name == REWARD:
            yield Row.mean(f"{what} (peer: {source.peer})", values, peer=peer, goal=source.goal)
        else:
            yield Row.mean(what, values)


def read_groups(source: Source, limit: int | None) -> list[Group]:
    """The source's preferences by prompt, through a store of their own. UsageError where the data is not."""
    folder = Path(os.environ.get("PLAUDIT_DATA") or Path(__file__).parents[2] / "shared" / "data")
    file = folder / "preferences" / source.file
    if not file.is_file():
        raise UsageError(f"There is no {file}: set PLAUDIT_DATA to the folder that holds preferences/{source.file}.")
    with TemporaryDirectory() as place, FeedbackStore.open(Path(place) / "feedback.db") as store:
        import_preferences(store, str(file), name=source.name, limit=limit)
        prompts = {prompt.id: prompt for prompt in store.prompts()}
        return group_by_prompt(preferences(store), prompts, {answer.id: answer for answer in store.responses()})


def split_folds(groups: Sequence[Group], seed: int) -> list[list[Group]]:
    """Every group in one fold; conversations that open alike share it."""
    folds: list[list[Group]] = [[] for _ in range(FOLDS)]
    for group in groups:
        digest = hashlib.sha256(f"{seed}:{group.prompt.opening_id}".encode()).hexdigest()
        folds[int(digest, 16) % FOLDS].append(group)
    return folds


def measure_folds(
    model: LanguageModel, groups: Sequence[Group], seed: int, quick: bool
) -> Iterator[tuple[Accuracies, float]]:
    """The accuracies on each fold (the first alone when `quick`), fitted to the others, and the seconds that took."""
    folds = split_folds(groups, seed)
    batches = [make_batches(model, fold, CONFIG) for fold in folds]
    for batch in track([batch for fold in batches for batch in fold], "Reading the answers", unit="batches"):
        batch.lower = model.trunk.lower(batch.packed.tokens)  # the most costly part, and the same for every fit
    for k in range(1 if quick else FOLDS):
        began = time.monotonic()
        train = [batch for fold in batches[:k] + batches[k + 1 :] for batch in fold]
        accuracies = reward_accuracies(model, train, batches[k], seed)
        accuracies |= text_accuracies([group for fold in folds[:k] + folds[k + 1 :] for group in fold], folds[k])
        yield accuracies, time.monotonic() - began


def reward_accuracies(model: LanguageModel, train: Sequence[Batch], heldout: Sequence[Batch], seed: int) -> Accuracies:
    """Of the reward model, and of its head before the adapter was trained: `train_reward`, halted halfway to look."""
    with quiet():
        reward, _ = train_reward(model, train, replace(CONFIG, epochs=0), seed)
        head = accuracy_on(reward, heldout)
        fine_tune(reward, train, CONFIG, seed)
        both = accuracy_on(reward, heldout)
    model.trunk.drop_adapter(reward.adapter)
    return {REWARD: both, HEAD: head}


@torch.no_grad()
def accuracy_on(reward: RewardModel, batches: Sequence[Batch]) -> float:
    scores = [reward.raw(batch.hidden(reward.trunk), batch.packed) for batch in batches]
    margin = torch.cat([s[batch.first] - s[batch.second] for s, batch in zip(scores, batches, strict=True)])
    return share_right(margin.cpu().numpy(), torch.cat([batch.probability for batch in batches]).cpu().numpy())


def text_accuracies(train: Sequence[Group], heldout: Sequence[Group]) -> Accuracies:
    """Of what needs no language model: words, and length."""
    fitted, asked = labelled_pairs(train), labelled_pairs(heldout)
    words = TfidfVectorizer(ngram_range=(1, 2)).fit([text for a, b, _ in fitted for text in (a, b)])

    def difference(pairs: Sequence[tuple[str, str, float]]) -> np.ndarray:
        return words.transform([a for a, _, _ in pairs]) - words.transform([b for _, b, _ in pairs])

    # No intercept: a pair told from the other side must be the opposite.
    regression = LogisticRegression(fit_intercept=False, max_iter=1000)
    regression.fit(difference(fitted), [p > 0.5 for _, _, p in fitted])
    probability = [p for _, _, p in asked]
    longer = share_right([len(a) - len(b) for a, b, _ in asked], probability)
    tfidf = share_right(regression.decision_function(difference(asked)), probability)
    return {TFIDF: tfidf, LONGER: longer, SHORTER: 1 - longer}


def labelled_pairs(groups: Sequence[Group]) -> list[tuple[str, str, float]]:
    """(text of a, text of b, probability that a beats b) of every preference."""

    def pair(group: Group, preference: Preference) -> tuple[str, str, float]:
        text = {answer.id: answer.text for answer in group.answers}
        return text[preference.a], text[preference.b], preference.probability

    return [pair(group, preference) for group in groups for preference in group.preferences]


def share_right(margin: ArrayLike, probability: ArrayLike) -> float:
    """Share of pairs whose margin (a less b) has the winner's sign; no margin is half right. There are no ties."""
    return float(np.mean(1 + np.sign(margin) * np.sign(np.asarray(probability) - 0.5)) / 2)
