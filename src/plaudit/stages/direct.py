"""The part of stage three that learns from judgements themselves: no reward model, and nothing is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from plaudit.report.outcome import interval_text, number_text
from plaudit.runs import Run, Source
from plaudit.stages import Results, Stage
from plaudit.stages.inputs import ROLE, feedback_source, read_at_one_moment
from plaudit.stages.lifecycle import logger_of
from plaudit.stages.plan import Material, Pass, Work, say_plan
from plaudit.stages.policies import go_on, load_reference
from plaudit.stages.reward import (
    Feedback,
    RewardStageConfig,
    gather,
    made_by,
    material_of_feedback,
)
from plaudit.stages.thumbs import count_thumbs, gather_thumbs, thumbs_in
from plaudit.train.configs import ALGORITHMS, DirectConfig, PolicyConfig
from plaudit.types import Prompt, chosen_first
from plaudit.workspace import Workspace

if TYPE_CHECKING:
    from plaudit.feedback.store import FeedbackStore
    from plaudit.models.catalog import LanguageModel
    from plaudit.models.pace import Shape
    from plaudit.train.passes import DirectObjective


class Config(Protocol):
    """What is asked here of the configuration of `align`."""

    @property
    def algorithm(self) -> str: ...
    @property
    def source(self) -> str | None: ...
    @property
    def training(self) -> PolicyConfig: ...


def _gather(workspace: Workspace, store: FeedbackStore, config: Config) -> Feedback:
    """What is learned from, chosen as the reward stage would. UsageError where there is none of it."""
    training = config.training
    assert isinstance(training, DirectConfig)
    asked = RewardStageConfig(config.source, training.question, training.weighted)
    return (gather_thumbs if training.learns_from == "thumbs" else gather)(workspace, store, asked)


def find_prompts(workspace: Workspace, store: FeedbackStore, config: Config) -> list[Prompt]:
    """Those of the train split that something was said about. UsageError where there are none."""
    return [group.prompt for group in _gather(workspace, store, config).train]


def inputs(workspace: Workspace, store: FeedbackStore, config: Config) -> Mapping[str, Source]:
    """The feedback, and the runs that it came from."""
    read = feedback_source(store)
    return {ROLE: read, **made_by(workspace, _gather(workspace, store, config))}


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
    """Train the adapter `policy`; the run's figures, those of held-out judgements among them."""
    from plaudit.train.passes import go_through

    training = config.training
    assert isinstance(training, DirectConfig)
    with read_at_one_moment(run, store):
        feedback = _gather(workspace, store, config)
        run.inputs |= made_by(workspace, feedback)
    if says_plan:
        say_plan(stage, config, model, material_of_feedback(feedback, training, model), run)
    objective: DirectObjective = ALGORITHMS[config.algorithm].load()(model, training, run.seed)
    go_on(run, workspace, model)
    reference = load_reference(run, workspace, model)
    read = objective.read(feedback.train, reference, most=training.batch_prompts)
    positions = sum(it.batch.packed.tokens.ids_BL.numel() for it in read)
    steps = objective.steps(read, run.seed)
    log = logger_of(run, lambda metrics: run.count(trained=round(positions * training.epochs / len(steps))))
    go_through(objective, steps, run.checkpoint_dir, log)
    figures = _figures(run, feedback, model, training) | objective.stated
    return figures | _heldout(objective, feedback, reference, run.seed)


def _figures(run: Run, feedback: Feedback, model: LanguageModel, training: DirectConfig) -> dict[str, Any]:
    from plaudit.models.chat import encode_answer
    from plaudit.stages.answer_length import LONGEST, limit_for

    last = run.metrics()[-1:]
    answers = {answer.id: answer for group in feedback.train for answer in group.answers}
    if training.learns_from == "thumbs":
        counts = count_thumbs(feedback)
        preferred = {i for thumb in thumbs_in(feedback.train) if thumb.acceptable for i in thumb.ranking.response_ids}
    else:
        counts = {"preferences": sum(len(group.preferences) for group in feedback.train)}
        preferred = {p.a for group in feedback.train for p in chosen_first(group.preferences)}
    lengths = [len(encode_answer(model.tokenizer, answers[i].text, answers[i].stop_reason)) for i in sorted(preferred)]
    return {
        **({name: last[0].get(name) for name in ("loss", "accuracy", "margin", "chosen_nats")} if last else {}),
        **counts,
        "question": feedback.question,
        "simulated": feedback.simulated,
        "hidden_utility": feedback.by_panel,
        "max_tokens": min(limit_for(lengths), LONGEST),
    }


def _heldout(objective: DirectObjective, feedback: Feedback, reference: str | None, seed: int) -> dict[str, Any]:
    """How often the policy agrees with what people said about held-out prompts."""
    from plaudit.errors import UsageError
    from plaudit.stats.intervals import cluster_bootstrap

    try:
        read = objective.read(feedback.heldout, reference)
    except UsageError:  # nothing is held out
        return {}
    right, prompts = objective.told_right(read)
    return cluster_bootstrap(right, prompts, seed=seed).flat("heldout_accuracy")


def work(config: Config, material: Material, shape: Shape) -> Work:
    """What a run will have to do."""
    from plaudit.train.reward import TOKENS_AT_ONCE

    training = config.training
    assert isinstance(training, DirectConfig)
    split = 0 if training.layers == "all" else shape.split
    answers = material.answers * material.answer_tokens
    positions, adapted = material.prompts * (material.prompt_tokens + answers), shape.layers - split
    held = material.heldout * (material.prompt_tokens + answers)
    passes = [
        Pass(positions, shape.layers, material.prompts * answers),  # the reference
        Pass(training.epochs * positions, adapted, training.epochs * material.prompts * answers, learned=True),
        Pass(held, shape.layers + adapted, 2 * material.heldout * answers),
    ]
    if training.learns_from == "thumbs":  # each answer is read behind another prompt, too
        passes += [
            Pass(positions + held, shape.layers, (material.prompts + material.heldout) * answers),
            Pass(training.epochs * positions + held, adapted, training.epochs * material.prompts * answers),
        ]
    most = training.keep_mb * 2**20 / (shape.hidden * shape.number_bytes)
    return Work(
        (), tuple(passes), at_once=TOKENS_AT_ONCE * adapted, kept=min(positions, most), adapters=adapted / shape.adapted
    )


def sentence(algorithm: str, results: Results) -> str:
    """What was done, and the figure that matters."""
    thumbs = results.get("thumbs")
    said = f"{results['preferences']:,} preferences" if thumbs is None else f"{thumbs:,} thumbs"
    up = "" if thumbs is None else f", {results['thumbs_up']:,} of them up"
    learned = f"Aligned the model by {algorithm} on {said}{up}"
    if results.get("heldout_accuracy") is None:
        return f"{learned}; none is held out."
    nats, share = number_text(results.get("chosen_nats") or 0.0, 1), interval_text(results, "heldout_accuracy")
    if thumbs is None:
        return (
            f"{learned}; it prefers what people did in {share} of held-out ones, and "
            f"preferred answers became {nats} nats likelier."
        )
    return (
        f"{learned}; it agrees with {share} of held-out ones (always saying the same: "
        f"{results['heldout_accuracy_unread']:.2f}), and good answers became {nats} nats likelier."
    )
