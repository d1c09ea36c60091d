"""The part of stage three that learns from preferences themselves: no reward model, and nothing is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from plaudit.report.outcome import interval_text, number_text
from plaudit.runs import Run, Source
from plaudit.stages import Results, Stage
from plaudit.stages.inputs import read_at_one_moment
from plaudit.stages.lifecycle import logger_of
from plaudit.stages.plan import Material, Pass, Work, say_plan
from plaudit.stages.policies import go_on, load_reference
from plaudit.stages.reward import (
    Feedback,
    RewardStageConfig,
    gather,
    made_by,
    material_of_feedback,
    read_feedback,
)
from plaudit.train.configs import ALGORITHMS, DpoConfig, PolicyConfig
from plaudit.types import Prompt, chosen_first
from plaudit.workspace import Workspace

if TYPE_CHECKING:
    from plaudit.feedback.store import FeedbackStore
    from plaudit.models.catalog import LanguageModel
    from plaudit.models.pace import Shape
    from plaudit.train.dpo import Dpo, Pairs


class Config(Protocol):
    """What is asked here of the configuration of `align`."""

    @property
    def algorithm(self) -> str: ...
    @property
    def source(self) -> str | None: ...
    @property
    def training(self) -> PolicyConfig: ...


def _selected(config: Config) -> RewardStageConfig:
    """Which preferences are learned from, as the reward stage would."""
    training = config.training
    assert isinstance(training, DpoConfig)
    return RewardStageConfig(config.source, training.question, training.weighted)


def find_prompts(workspace: Workspace, store: FeedbackStore, config: Config) -> list[Prompt]:
    """Those of the train split with preferences. UsageError where there are none."""
    return [group.prompt for group in gather(workspace, store, _selected(config)).train]


def inputs(workspace: Workspace, store: FeedbackStore, config: Config) -> Mapping[str, Source]:
    """The feedback, and the runs that it came from."""
    return read_feedback(workspace, store, _selected(config))


def train(
    run: Run,
    workspace: Workspace,
    store: FeedbackStore,
    config: Config,
    model: LanguageModel,
    stage: Stage,
    *,
    says_plan: bool,
) -> dict[str, Any]:
    """Train the adapter `policy`; the run's figures, those of held-out preferences among them."""
    from plaudit.train.passes import go_through
    from plaudit.train.reward import make_batches

    training = config.training
    assert isinstance(training, DpoConfig)
    with read_at_one_moment(run, store):
        feedback = gather(workspace, store, _selected(config))
        run.inputs |= made_by(workspace, feedback)
    if says_plan:
        say_plan(stage, config, model, material_of_feedback(feedback, training, model), run)
    objective: Dpo = ALGORITHMS[config.algorithm].load()(model, training, run.seed)
    go_on(run, workspace, model)
    reference = load_reference(run, workspace, model)
    pairs = objective.compare(make_batches(model, feedback.train, training, most=training.batch_prompts), reference)
    read = sum(it.batch.packed.tokens.ids_BL.numel() for it in pairs)
    steps = objective.steps(pairs, run.seed)
    log = logger_of(run, lambda metrics: run.count(trained=round(read * training.epochs / len(steps))))
    go_through(objective, steps, run.checkpoint_dir, log)
    return _figures(run, feedback, model, training) | _heldout(objective, feedback, model, reference, run.seed)


def _figures(run: Run, feedback: Feedback, model: LanguageModel, training: DpoConfig) -> dict[str, Any]:
    from plaudit.models.chat import encode_answer
    from plaudit.stages.answer_length import LONGEST, limit_for

    last = run.metrics()[-1:]
    answers = {answer.id: answer for group in feedback.train for answer in group.answers}
    preferred = {p.a for group in feedback.train for p in chosen_first(group.preferences)}
    lengths = [len(encode_answer(model.tokenizer, answers[i].text, answers[i].stop_reason)) for i in sorted(preferred)]
    return {
        **({name: last[0].get(name) for name in ("loss", "accuracy", "margin", "chosen_nats")} if last else {}),
        "preferences": sum(len(group.preferences) for group in feedback.train),
        "question": feedback.question,
        "simulated": feedback.simulated,
        "hidden_utility": feedback.by_panel,
        "max_tokens": min(limit_for(lengths), LONGEST),
    }


def _heldout(
    objective: Dpo, feedback: Feedback, model: LanguageModel, reference: str | None, seed: int
) -> dict[str, Any]:
    """How often the policy has the larger log-ratio for the answer that people preferred, on held-out prompts."""
    from plaudit.errors import UsageError
    from plaudit.stats.intervals import cluster_bootstrap
    from plaudit.train.reward import make_batches

    try:
        pairs = objective.compare(make_batches(model, feedback.heldout, objective.config), reference)
    except UsageError:  # nothing is held out
        return {}
    right, prompts = _right(objective, pairs)
    return cluster_bootstrap(right, prompts, seed=seed).flat("heldout_accuracy")


def _right(objective: Dpo, pairs: Sequence[Pairs]) -> tuple[list[float], list[str]]:
    """Of each decided pair whether it is told right, and which prompt it is about."""
    import torch

    right: list[float] = []
    prompts: list[str] = []
    with torch.no_grad():
        for number, it in enumerate(pairs):
            batch, ratio_A = it.batch, objective.ratios(it)
            decided_N = batch.probability_N != 0.5
            difference_N = ratio_A[batch.first_N] - ratio_A[batch.second_N]
            right_N = 0.5 + 0.5 * torch.sign(difference_N) * torch.sign(batch.probability_N - 0.5)
            right += right_N[decided_N].tolist()
            prompts += [f"{number}:{row}" for row in batch.row_N[decided_N].tolist()]
    return right, prompts


def work(config: Config, material: Material, shape: Shape) -> Work:
    """What a run will have to do."""
    from plaudit.train.reward import TOKENS_AT_ONCE

    training = config.training
    assert isinstance(training, DpoConfig)
    split = 0 if training.layers == "all" else shape.split
    answers = material.answers * material.answer_tokens
    positions, adapted = material.prompts * (material.prompt_tokens + answers), shape.layers - split
    held = material.heldout * (material.prompt_tokens + answers)
    passes = (
        Pass(positions, shape.layers, material.prompts * answers),  # the reference
        Pass(training.epochs * positions, adapted, training.epochs * material.prompts * answers, learned=True),
        Pass(held, shape.layers + adapted, 2 * material.heldout * answers),
    )
    most = training.keep_mb * 2**20 / (shape.hidden * shape.number_bytes)
    return Work(
        (), passes, at_once=TOKENS_AT_ONCE * adapted, kept=min(positions, most), adapters=adapted / shape.adapted
    )


def sentence(algorithm: str, results: Results) -> str:
    """What was done, and the figure that matters."""
    learned = f"Aligned the model by {algorithm} on {results['preferences']:,} preferences"
    if results.get("heldout_accuracy") is None:
        return f"{learned}; none is held out."
    nats = number_text(results.get("chosen_nats") or 0.0, 1)
    return (
        f"{learned}; it prefers what people did in {interval_text(results, 'heldout_accuracy')} of held-out ones, and "
        f"preferred answers became {nats} nats likelier."
    )
