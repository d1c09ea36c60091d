"""How often the reward model predicts what people chose: five folds by prompt, five seeds, beside simple baselines.

Two sources, each fitted apart, since they want opposite lengths: `hh-harmless` and `oasst-ranked`, as people ranked
them (folder PLAUDIT_DATA, or `../shared/data` beside the repository), through the project's importers and its store.
A fold is every prompt whose opening has the same hash modulo five; another seed has other folds, another start of the
adapter and another order of training. A figure is the mean over folds, then over seeds, with Student's interval.
`oasst-ranked`, which is there for comparison, is measured with one seed. An interrupted bench goes on where it was.

What the scores say in odds is measured, too: the expected calibration error of all folds' held-out pairs together, at
the temperature that each fold's validation prompts chose, where `CONFIG` sets some aside, and without one.

The baselines see the same folds: betting on the longer or the shorter answer (characters), logistic regression on
differences of TF-IDF (words and pairs of words), and the reward model's own first step, its head on the bare trunk.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bench import Partial, Row
from plaudit.errors import UsageError
from plaudit.feedback.aggregate import preferences
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.store import FeedbackStore
from plaudit.models.catalog import LanguageModel, load
from plaudit.models.packing import microbatches
from plaudit.models.reward_model import EncodedGroup, encode_group, final_features, pack_groups
from plaudit.models.runtime import release
from plaudit.progress import duration_text, quiet, track
from plaudit.stats.calibration import calibrate
from plaudit.train.configs import RewardConfig
from plaudit.train.ensemble import set_aside, settle
from plaudit.train.fine_tuning import fine_tune, margins
from plaudit.train.reward import (
    Batch,
    Group,
    group_by_prompt,
    make_batch,
    score_settings,
    start_head,
    untrained_reward,
)
from plaudit.types import Preference

SEEDS = (0, 1, 2, 3, 4)
FOLDS = 5
QUICK_PAIRS = 200
MODEL = "smollm2"
TOKENS_AT_ONCE = 1024  # as in training
CONFIG = RewardConfig()
REWARD, HEAD, TFIDF, LONGER, SHORTER = "reward model", "head alone", "TF-IDF", "longer wins", "shorter wins"


@dataclass(frozen=True)
class Source:
    name: str
    file: str  # below `preferences/` in the data folder
    peer: str  # the bet on length that its people bear out
    seeds: tuple[int, ...]
    goal: str | None = None


SOURCES = (
    Source("hh-harmless", "hh-harmless/test.jsonl.gz", SHORTER, SEEDS, ">= 0.67"),
    Source("oasst-ranked", "oasst-ranked/ranked_pairs.jsonl.gz", LONGER, SEEDS[:1]),
)

CALIBRATED, UNCALIBRATED, ODDS = "calibration error", "calibration error without a temperature", "odds"
Accuracies = dict[str, Any]  # of each predictor; of a fold also ODDS: margins in nats as fitted, outcomes, temperature


def main(quick: bool) -> list[Row]:
    model = load(MODEL)
    return [row for source in SOURCES for row in rows_of(source, measure(model, source, quick))]


def measure(model: LanguageModel, source: Source, quick: bool) -> list[Accuracies]:
    """The mean over folds, for each seed. A fold that an earlier, interrupted bench has measured is not done again."""
    groups = read(model, read_groups(source, QUICK_PAIRS if quick else None))
    found = []
    for seed in SEEDS[:1] if quick else source.seeds:
        folds = Partial(f"reward-folds {source.name} {seed}{' quick' * quick}")
        left = [k for k in range(1 if quick else FOLDS) if str(k) not in folds]
        for k, accuracies, seconds in measure_folds(model, groups, seed, left):
            folds[str(k)] = accuracies
            figures = ", ".join(f"{name} {value:.3f}" for name, value in accuracies.items() if name != ODDS)
            where = f"{source.name}, seed {seed}, fold {k + 1} of {FOLDS}"
            print(f"{where}: {figures} ({duration_text(seconds)})", file=sys.stderr, flush=True)
        found.append({name: fmean(fold[name] for fold in folds.values()) for name in folds["0"] if name != ODDS})
        found[-1] |= calibration_errors([fold[ODDS] for fold in folds.values()])
    return found


def calibration_errors(of_folds: Sequence[dict[str, Any]]) -> Accuracies:
    """Of the pairs of all folds together: of one fold alone, chance makes more of it than there is."""
    outcome = np.concatenate([odds["outcome"] for odds in of_folds])
    plain = np.concatenate([odds["margin"] for odds in of_folds])
    cooled = np.concatenate([np.array(odds["margin"]) / odds["temperature"] for odds in of_folds])
    return {CALIBRATED: calibrate(cooled, outcome).ece, UNCALIBRATED: calibrate(plain, outcome).ece}


def rows_of(source: Source, of_seeds: Sequence[Accuracies]) -> Iterator[Row]:
    """A row for each predictor; the reward model's has the bet on length beside it."""
    peer = fmean(accuracies[source.peer] for accuracies in of_seeds)
    for name in of_seeds[0]:
        what, values = f"{source.name}: {name}", [accuracies[name] for accuracies in of_seeds]
        if name == REWARD:
            yield Row.mean(f"{what} (peer: {source.peer})", values, peer=peer, goal=source.goal)
        elif name == CALIBRATED:
            yield Row.mean(what, values, goal="<= 0.04")
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


def fold_of(group: Group, seed: int) -> int:
    """Conversations that open alike share a fold."""
    digest = hashlib.sha256(f"{seed}:{group.prompt.opening_id}".encode()).hexdigest()
    return int(digest, 16) % FOLDS


@dataclass(frozen=True)
class Read:
    """A prompt with all of it that no fold and no seed changes: the most costly part, computed once."""

    group: Group
    encoded: EncodedGroup
    lower: Tensor  # (L, D) hidden states where the adapters begin
    features: Tensor  # (A, 2D) what the head reads on the bare trunk


@torch.no_grad()
def read(model: LanguageModel, groups: Sequence[Group]) -> list[Read]:
    settings = score_settings(model, CONFIG)
    encoded = [encode_group(model, group.prompt, group.answers, settings) for group in groups]
    found: dict[int, Read] = {}
    for indices in track(microbatches([e.tokens for e in encoded], TOKENS_AT_ONCE), "Reading", unit="batches"):
        packed = pack_groups(model.trunk, [encoded[i] for i in indices])
        lower = model.trunk.lower(packed.tokens)
        features = final_features(model.trunk.upper(lower, packed.tokens, depth=settings.depth), packed)
        parts = features.split([len(groups[i].answers) for i in indices])
        for i, states, part in zip(indices, lower, parts, strict=True):
            found[i] = Read(groups[i], encoded[i], states[: encoded[i].tokens].clone(), part.clone())
        release()
    return [found[i] for i in range(len(groups))]


def batches_of(model: LanguageModel, fold: Sequence[Read]) -> list[Batch]:
    batches = []
    for indices in microbatches([one.encoded.tokens for one in fold], TOKENS_AT_ONCE):
        chosen = [fold[i] for i in indices]
        batch = make_batch(model.trunk, [one.group for one in chosen], [one.encoded for one in chosen])
        batch.lower_BLD = pad_sequence([one.lower for one in chosen], batch_first=True)
        batch.features_AF = torch.cat([one.features for one in chosen])
        batches.append(batch)
    return batches


def measure_folds(
    model: LanguageModel, groups: Sequence[Read], seed: int, only: Sequence[int]
) -> Iterator[tuple[int, Accuracies, float]]:
    """Fold, accuracies on it when fitted to the others, and the seconds that took, of the folds in `only`."""
    folds = [[one for one in groups if fold_of(one.group, seed) == k] for k in range(FOLDS)]
    aside = {group.prompt.id for group in set_aside([one.group for one in groups], CONFIG.validation_share)[1]}
    learned = [batches_of(model, [one for one in fold if one.group.prompt.id not in aside]) for fold in folds]
    validation = [batches_of(model, [one for one in fold if one.group.prompt.id in aside]) for fold in folds]
    for k in only:
        began = time.monotonic()
        train, looked_at = ([b for fold in parts[:k] + parts[k + 1 :] for b in fold] for parts in (learned, validation))
        accuracies = reward_accuracies(model, train, looked_at, [*learned[k], *validation[k]], seed)
        fitted = [one.group for fold in folds[:k] + folds[k + 1 :] for one in fold]
        accuracies |= text_accuracies(fitted, [one.group for one in folds[k]])
        yield k, accuracies, time.monotonic() - began


def reward_accuracies(
    model: LanguageModel, train: Sequence[Batch], validation: Sequence[Batch], heldout: Sequence[Batch], seed: int
) -> Accuracies:
    """Of the reward model, and of its head before the adapter was trained: `train_reward`, halted halfway to look."""
    with quiet():
        reward = untrained_reward(model, CONFIG, seed)
        start_head(reward, train, CONFIG)
        with torch.no_grad():
            head = accuracy([reward.head(batch.features_AF) for batch in heldout], heldout)
        fine_tune(reward, train, CONFIG, seed, validation)
        settle(reward, train, validation, length_residual=False)
        with torch.no_grad():
            scores = [reward.raw(batch.hidden(reward.trunk), batch.packed) for batch in heldout]
    model.trunk.drop_adapter(reward.adapter)
    margin_N, outcome_N, _ = margins(scores, heldout)
    odds = {"margin": margin_N.tolist(), "outcome": outcome_N.tolist(), "temperature": reward.settings.temperature}
    return {REWARD: accuracy(scores, heldout), HEAD: head, ODDS: odds}


def accuracy(scores: Sequence[Tensor], batches: Sequence[Batch]) -> float:
    margin = torch.cat([s[batch.first_N] - s[batch.second_N] for s, batch in zip(scores, batches, strict=True)])
    return share_right(margin.cpu().numpy(), torch.cat([batch.probability_N for batch in batches]).cpu().numpy())


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
