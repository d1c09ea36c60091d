"""Supervised fine-tuning: the model learns to write what people wrote as good answers, before or without any reward.

The policy is an adapter on the frozen trunk, as that of `align`, which may go on from it (`align --start sft-001`).
What people wrote are demonstrations: answers from scratch, better answers than those of a task, and imported ones.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from plaudit.errors import UsageError
from plaudit.progress import bar
from plaudit.report.outcome import number_text
from plaudit.runs import Run, Source
from plaudit.stages import SOURCE, Flag, Results, Stage
from plaudit.stages.inputs import ROLE, feedback_source, open_feedback, read_at_one_moment
from plaudit.stages.lifecycle import begin, logger_of, provide_model, record
from plaudit.stages.plan import Material, Pass, Work, say_plan
from plaudit.stages.policies import POLICY, START, go_on, policy_inputs, with_start
from plaudit.train.configs import SftConfig
from plaudit.types import Prompt, Split
from plaudit.workspace import Resume, Workspace

if TYPE_CHECKING:
    from plaudit.feedback.store import FeedbackStore
    from plaudit.models.catalog import LanguageModel
    from plaudit.models.pace import Shape
    from plaudit.models.supervised import Text


@dataclass(frozen=True)
class SftStageConfig:
    source: str | None = None  # only answers that were imported under this name
    start: str | None = None  # id of the align or sft run whose policy it goes on from; None: the base
    training: SftConfig = field(default_factory=SftConfig)


@dataclass(frozen=True)
class Written:
    """Good answers that people wrote, with the conversations that they answer, by side of the split."""

    train: list[tuple[Prompt, str]]
    heldout: list[tuple[Prompt, str]]


def sft(
    workspace: Workspace,
    config: SftStageConfig,
    *,
    seed: int,
    resume: bool | Resume = False,
    model: LanguageModel | None = None,
) -> Run:
    """Train the adapter `policy` on the train split, measure it on the held-out one, and leave it in `adapter/`."""
    with open_feedback(workspace) as store:
        config = config if resume else with_start(workspace, config)
        run, config = begin(workspace, STAGE, config, seed, resume, lambda: _inputs(workspace, store, config))
        with record(run, workspace), provide_model(workspace, model, run) as language:
            with read_at_one_moment(run, store):
                written = gather(workspace, store, config)
            train, heldout = (
                _encode(language, answers, config.training) for answers in (written.train, written.heldout)
            )
            if model is None:
                say_plan(STAGE, config, language, _material(train, heldout), run)
            run.results |= _train(run, workspace, config, train, heldout, language)
            language.trunk.save_adapter(POLICY, run.adapter_dir, language.name)
            run.results |= {"model": language.name, "start": config.start, "prompts": len(written.train)}
    shutil.rmtree(run.checkpoint_dir, ignore_errors=True)  # only once the run is finished: it is all that resume has
    return run


def gather(workspace: Workspace, store: FeedbackStore, config: SftStageConfig) -> Written:
    """The good answers that stand. UsageError where there are none on the train side."""
    from plaudit.feedback.exchange.checks import without_checks

    prompts = {prompt.id: prompt for prompt in without_checks(store, store.prompts())}
    sides = store.splits()
    found: dict[Split, list[tuple[Prompt, str]]] = {Split.TRAIN: [], Split.HELDOUT: []}
    for answer in sorted(store.written(), key=lambda answer: (answer.prompt_id, answer.id)):
        if answer.prompt_id in prompts and config.source in (None, answer.source):
            found[sides[answer.prompt_id]].append((prompts[answer.prompt_id], answer.text))
    if not found[Split.TRAIN]:
        where = f"{workspace.path}{f' from {config.source}' if config.source else ''}"
        raise UsageError(
            f"Nobody has written a good answer to a train prompt in {where}: bring some in by "
            f"`plaudit import FILE -w {workspace.path}`, or have some written (`plaudit tasks --write`)."
        )
    return Written(found[Split.TRAIN], found[Split.HELDOUT])


def _inputs(workspace: Workspace, store: FeedbackStore, config: SftStageConfig) -> Mapping[str, Run | Source]:
    gather(workspace, store, config)  # says what is missing before the run begins
    return {ROLE: feedback_source(store), **policy_inputs(workspace, config)}


def _encode(model: LanguageModel, answers: Sequence[tuple[Prompt, str]], config: SftConfig) -> list[Text]:
    from plaudit.models.supervised import encode_conversation

    return [
        encode_conversation(model.tokenizer, prompt, answer, config.prompt_tokens, config.answer_tokens)
        for prompt, answer in answers
    ]


def _train(
    run: Run,
    workspace: Workspace,
    config: SftStageConfig,
    train: Sequence[Text],
    heldout: Sequence[Text],
    model: LanguageModel,
) -> dict[str, Any]:
    """Train, and say how likely the held-out answers were before and became."""
    from plaudit.stages.answer_length import LONGEST, limit_for
    from plaudit.train.passes import go_through
    from plaudit.train.sft import Sft, steps_of

    objective = Sft(model, config.training, run.seed)
    go_on(run, workspace, model)
    log = logger_of(run, lambda metrics: run.count(trained=round(metrics["tokens"])))
    go_through(objective, steps_of(train, config.training, run.seed), run.checkpoint_dir, log)
    last = run.metrics()[-1:]
    results: dict[str, Any] = {
        "answers": len(train),
        "answers_heldout": len(heldout),
        "tokens": sum(text.tokens for text in train),
        "loss": last[0].get("loss") if last else None,
        "max_tokens": min(limit_for([text.answer_tokens for text in train]), LONGEST),
    }
    if heldout:
        with bar("Reading held-out answers", 2 * len(heldout), "answers") as progress:
            before, after = (objective.mean_nats(heldout, version, progress.advance) for version in (None, POLICY))
        results |= {"heldout_nats_base": before, "heldout_nats": after}
    return results


def work(config: SftStageConfig, material: Material, shape: Shape) -> Work:
    """What a run will have to do."""
    from plaudit.train.sft import TOKENS_AT_ONCE

    training = config.training
    split = 0 if training.layers == "all" else shape.split
    each, adapted, epochs = material.prompt_tokens + material.answer_tokens, shape.layers - split, training.epochs
    positions, answers = material.prompts * each, material.prompts * material.answer_tokens
    passes = (
        Pass(epochs * positions, split),
        Pass(epochs * positions, adapted, epochs * answers, learned=True),
        Pass(2 * material.heldout * each, shape.layers, 2 * material.heldout * material.answer_tokens),
    )
    return Work((), passes, at_once=TOKENS_AT_ONCE * adapted, adapters=adapted / shape.adapted)


def _material(train: Sequence[Text], heldout: Sequence[Text]) -> Material:
    read, learned = sum(len(text.ids) for text in train) / len(train), sum(text.tokens for text in train) / len(train)
    return Material(len(train), read - learned, len(heldout), 1.0, learned)


def _sentence(results: Results) -> str:
    learned = f"Learned from {results['answers']:,} answers that people wrote"
    if results.get("heldout_nats") is None:
        return f"{learned}; none is held out."
    before, after = (number_text(results[name], 2) for name in ("heldout_nats_base", "heldout_nats"))
    return f"{learned}; held-out ones cost {before} nats a token before and {after} now."


STAGE = Stage(
    sft,
    SftStageConfig,
    _sentence,
    flags=(
        Flag("training.epochs", "Passes over the answers."),
        Flag("training.learning_rate", "Of the policy.", "X"),
        SOURCE,
        START,
    ),
    reads=("demonstrations",),
    work=work,
)
