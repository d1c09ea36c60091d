"""Whether the quality figures find what is there: known competence, known labels, and planted annotators.

`ukpconvarg1` (folder PLAUDIT_DATA, or `../shared/data` beside the repository): 84,445 votes of 3,815 crowd workers on
which of two arguments convinces more, taken into a store as judgements. Compared are this project's reliability with
the competence that the authors published, and its consensus with their gold labels, three-way as they are (a1, equal,
a2).
Both were made by the authors with MACE, a model near the one used here: agreement says that the model was found again
from its votes, not that it is true. So votes held out at random are predicted as well, which no model has made.

crowd-kit's aggregators run on the same votes: those that finish, see CROWD_KIT. A panel of thirteen simulated
annotators (`feedback/simulated/panel.py`), of whom one likes length, one takes what is shown first and one guesses,
ranks 150 tasks of four answers, five a task, with a quarter of all choices against the hidden utility; the rates are
over seeds.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import uuid
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench import Row
from plaudit.errors import UsageError
from plaudit.feedback.quality.annotators import FlagKind, annotator_qualities
from plaudit.feedback.quality.choices import Choices, read_choices
from plaudit.feedback.quality.reliability import fit_reliability, fit_weights
from plaudit.feedback.simulated.panel import Habit, Panel
from plaudit.feedback.store import FeedbackStore
from plaudit.stats.scored_pairs import rank_correlation
from plaudit.types import Annotator, AnnotatorKind, Judgement, Prompt, Ranking, Response, Task

SEEDS = tuple(range(20))
QUICK_SEEDS = 3
QUICK_PAIRS = 2_000
HELD_OUT = 0.2  # of the votes, five times over
# Left out: Wawa and ZeroBasedSkill do not run beside today's scikit-learn, MMSR had not finished after eight minutes,
# and GLAD takes half a minute an iteration (after three it was right .891 of the time, as the majority is).
CROWD_KIT = ("MajorityVote", "DawidSkene", "OneCoinDawidSkene", "MACE")
PLANTED = {Habit.RANDOM: FlagKind.SPAMMER, Habit.LEFT: FlagKind.POSITION, Habit.LENGTH: FlagKind.LENGTH}


def main(quick: bool) -> list[Row]:
    return [*convincing_rows(quick), *panel_rows(SEEDS[:QUICK_SEEDS] if quick else SEEDS)]


@dataclass(frozen=True)
class Convincing:
    """The store's choices beside what the authors published. gold: (U,), −1 where there is none."""

    choices: Choices
    gold: np.ndarray
    competence: np.ndarray  # (R,)


def convincing_rows(quick: bool) -> Iterator[Row]:
    data = read_convincing(QUICK_PAIRS if quick else None)
    reliability = fit_reliability(data.choices)
    known = data.gold >= 0
    print(f"{len(data.choices.unit):,} votes read", file=sys.stderr, flush=True)

    def right(label: np.ndarray) -> float:
        return float((label == data.gold)[known].mean())

    for name, figure in (("knowing", reliability.knowing), ("accuracy", reliability.accuracy),
                         ("competence", reliability.competence)):  # fmt: skip
        goal = ">= 0.8" if name == "knowing" and not quick else None
        what = f"ukpconvarg1: Spearman of {name} with the authors' MACE competence"
        yield Row(what, rank_correlation(figure, data.competence), goal=goal)
    theirs = crowd_kit_labels(data.choices, CROWD_KIT[:2] if quick else CROWD_KIT)
    accuracies = {name: right(labels) for name, labels in theirs.items()}
    print(accuracies, file=sys.stderr, flush=True)
    ours = right(reliability.consensus.posterior.argmax(1))
    best = max(accuracies, key=accuracies.__getitem__)
    for name in dict.fromkeys(("MajorityVote", best)):
        peer = accuracies[name]
        yield Row(f"ukpconvarg1: consensus right by their gold (peer: crowd-kit {name})", ours, peer=peer,
                  goal=f">= {peer:.4f}")  # fmt: skip
    votes = weighted(data.choices, reliability.weights)
    plain = weighted(data.choices, np.ones(len(data.competence)))
    yield Row("ukpconvarg1: weighted votes right by their gold (peer: plain votes)", right(votes.argmax(1)),
              peer=right(plain.argmax(1)))  # fmt: skip
    yield from held_out_rows(data.choices)


def weighted(choices: Choices, weights: np.ndarray, kept: np.ndarray | None = None) -> np.ndarray:
    """Votes a unit and label, each as heavy as its voter: (U, 3)."""
    weight = weights[choices.rater] * (1.0 if kept is None else kept)
    units = len(choices.tasks.expected)
    return np.bincount(choices.unit * 3 + choices.choice, weight, units * 3).reshape(units, 3)


def held_out_rows(choices: Choices) -> Iterator[Row]:
    """Predict a fifth of the votes from the rest: by the direction of the pair's share, and by its log loss."""
    found = [held_out(choices, seed) for seed in range(5)]
    for i, (what, unit) in enumerate(
        (("votes held out that went the aggregate's way", ""), ("their log loss", "nats"))
    ):
        plain, weighed = ([of_seed[kind][i] for of_seed in found] for kind in (0, 1))
        yield Row.mean(f"ukpconvarg1: {what}, weighted (peer: plain)", weighed, unit, peer=float(np.mean(plain)))


def held_out(choices: Choices, seed: int) -> list[tuple[float, float]]:
    """(share predicted, log loss in nats) by plain and by weighted votes."""
    out = np.random.default_rng(seed).random(len(choices.unit)) < HELD_OUT
    fitted = fit_weights(choices.among(np.bincount(choices.judgement, ~out) > 0))  # a judgement is one choice here
    asked = out & (choices.choice != 1)
    first = choices.choice[asked] == 0
    results = []
    for weights in (np.ones(len(choices.annotators)), fitted):
        votes = weighted(choices, weights, ~out)
        share = (votes[:, 0] + votes[:, 1] / 2 + 0.5) / (votes.sum(1) + 1)  # half a vote each way beforehand
        p = share[choices.unit[asked]]
        went = (np.sign(p - 0.5) * np.where(first, 1, -1) + 1).mean() / 2
        results.append((float(went), float(-np.log(np.where(first, p, 1 - p)).mean())))
    return results


def read_convincing(limit: int | None) -> Convincing:
    """The published votes through a store of their own. UsageError where the data is not."""
    folder = Path(os.environ.get("PLAUDIT_DATA") or Path(__file__).parents[2] / "shared" / "data")
    file = folder / "preferences" / "ukpconvarg1" / "ukpconvarg1_full.jsonl.gz"
    if not file.is_file():
        raise UsageError(f"There is no {file}: set PLAUDIT_DATA to the folder that holds preferences/ukpconvarg1.")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines][:limit]
    with TemporaryDirectory() as place, FeedbackStore.open(Path(place) / "feedback.db") as store:
        fill(store, pairs)
        choices = read_choices(store)
    competence = {str(v["annotator"]): v["mace_competence"] for pair in pairs for v in pair["votes"]}
    return Convincing(choices, choices.tasks.expected, np.array([competence[name] for name in choices.annotators]))


def fill(store: FeedbackStore, pairs: Sequence[dict[str, Any]]) -> None:
    """Prompts are debates, answers are arguments; an argument is known by its id, whatever it says."""
    prompts = {pair["debate"]: Prompt.from_text(f"{pair['title']}: {pair['stance']}", debate=pair["debate"])
               for pair in pairs}  # fmt: skip
    answers, tasks, said = {}, [], []
    for pair in pairs:
        prompt_id = prompts[pair["debate"]].id
        names = pair["id"].split("_")
        shown = tuple(Response(prompt_id, pair[side], run_id=f"{pair['debate']} {name}")
                      for side, name in zip(("arg1", "arg2"), names, strict=True))  # fmt: skip
        answers |= {answer.id: answer for answer in shown}
        ids = tuple(answer.id for answer in shown)
        gold = None if pair["gold"] is None else _tiers(ids, pair["gold"])
        tasks.append(Task(prompt_id, ids, overlap=len(pair["votes"]), gold=gold))
        said += [_judgement(tasks[-1], vote) for vote in pair["votes"]]
    store.add_prompts(prompts.values())
    store.add_responses(answers.values())
    store.add_tasks(tasks)
    store.add_annotators([Annotator(name, AnnotatorKind.DATASET) for name in {j.annotator_id for j in said}])
    store.submit_all(said)


def _judgement(task: Task, vote: dict[str, Any]) -> Judgement:
    name = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{task.id} {vote['annotator']}"))
    return Judgement(
        name, task.id, str(vote["annotator"]), Ranking(_tiers(task.response_ids, vote["value"])), task.response_ids
    )


def _tiers(pair: Sequence[str], label: str) -> tuple[tuple[str, ...], ...]:
    a, b = pair
    return {"a1": ((a,), (b,)), "equal": ((a, b),), "a2": ((b,), (a,))}[label]


def crowd_kit_labels(choices: Choices, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Label (U,) of every unit by each of crowd-kit's aggregators, −1 where there were no votes."""
    import pandas
    from crowdkit import aggregation

    votes = pandas.DataFrame({"task": choices.unit, "worker": choices.rater, "label": choices.choice.astype(int)})
    labels = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            found = getattr(aggregation, name)().fit_predict(votes)
            labels[name] = found.reindex(range(len(choices.tasks.expected)), fill_value=-1).to_numpy()
    return labels


def panel_rows(seeds: Sequence[int]) -> Iterator[Row]:
    found = [member for seed in seeds for member in flags_of_panel(seed)]
    for habit, kind in PLANTED.items():
        hits = [kind in flags for member, flags in found if member is habit]
        yield Row(f"simulated panel: flagged as {kind} who {habit}", float(np.mean(hits)), goal=">= 0.9")
    odd = [bool(flags) for member, flags in found if member in PLANTED]
    yield Row(f"simulated panel: planted annotators with any flag, of {len(odd)}", float(np.mean(odd)), goal=">= 1")
    honest = [bool(flags) for member, flags in found if member is Habit.UTILITY]
    yield Row(
        f"simulated panel: honest annotators with any flag, of {len(honest)}", float(np.mean(honest)), goal="<= 0"
    )


def flags_of_panel(seed: int) -> list[tuple[Habit, set[FlagKind]]]:
    """What each member was planted as, and is flagged as."""
    random = np.random.default_rng([seed, 3])
    with TemporaryDirectory() as place, FeedbackStore.open(Path(place) / "feedback.db") as store:
        prompts = [Prompt.from_text(f"Question {i}?", source="simulated") for i in range(150)]
        answers = [
            [Response(prompt.id, " ".join(["word"] * int(random.integers(5, 60))) + f" {k}") for k in range(4)]
            for prompt in prompts
        ]
        tasks = [Task(p.id, tuple(r.id for r in four), overlap=5) for p, four in zip(prompts, answers, strict=True)]
        store.add_prompts(prompts)
        store.add_responses(answer for four in answers for answer in four)
        store.add_tasks(tasks)
        panel = Panel({r.id: float(random.normal()) for four in answers for r in four}, seed=seed)
        panel.answer_tasks(store, tasks)
        choices = read_choices(store)
        found = {one.annotator: one for one in annotator_qualities(choices, fit_reliability(choices), {})}
    return [
        (habit, {flag.kind for flag in found[annotator.id].flags})
        for habit, annotator in zip(panel.habits, panel.annotators, strict=True)
    ]
