"""Stage three: optimise the model by what people prefer, near where it started.

By reinforcement learning it answers the train prompts and a reward model guides it; a direct algorithm learns from
people's judgements themselves (`stages.direct`). The policy is an adapter on the frozen trunk, so the run holds a few
megabytes in PEFT's format. A checkpoint is written whole, after every iteration or every few steps; a run that was cut
goes on from it and ends with the very adapter it would have had.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from plaudit.config import config_from, require_at_least
from plaudit.errors import UsageError
from plaudit.feedback.aggregate import Selection
from plaudit.progress import say
from plaudit.report.outcome import number_text
from plaudit.report.sparkline import courses
from plaudit.runs import Run, Source
from plaudit.stages import SOURCE, Flag, Results, Stage, direct
from plaudit.stages.guides import Guide, JudgeSettings, Kind, guides_in
from plaudit.stages.inputs import open_feedback
from plaudit.stages.lifecycle import begin, find_prompts, logger_of, prompts_of, provide_model, record
from plaudit.stages.plan import WRITTEN, Draw, Material, Pass, Work, material_of, say_plan
from plaudit.stages.policies import (
    BASE,
    POLICY,
    START,
    go_on,
    load_reference,
    policy_inputs,
    reference_in_words,
    with_start,
)
from plaudit.train.configs import ALGORITHMS, PolicyConfig, ReinforcementConfig, RlooConfig
from plaudit.types import Prompt, Split
from plaudit.workspace import Resume, Workspace

if TYPE_CHECKING:
    from plaudit.feedback.store import FeedbackStore
    from plaudit.models.catalog import LanguageModel
    from plaudit.models.pace import Shape

LAST_FIGURES = ("reward_mean", "kl_nats", "finished_share", "length_tokens")  # of the last iteration, as results


@dataclass(frozen=True)
class AlignConfig:
    algorithm: str = "rloo"
    training: PolicyConfig = field(default_factory=RlooConfig)
    source: str | None = None  # only prompts from here
    start: str | None = None  # id of the align or sft run whose policy it goes on from; None: the base
    reference: str = BASE  # what it is held near to: base, start, or the id of another such run
    reward: str | None = None  # id of the reward run that guides; None: the newest
    reward_model: str | None = None  # a sequence classifier instead: a folder or Hugging Face id
    reward_function: str | None = None  # a Python function instead: MODULE:NAME
    judge: str | None = None  # a model behind an OpenAI-compatible API instead: MODEL@URL
    rewards: list[str] = field(default_factory=list)  # several instead, with weights: see `stages.guides`
    judging: JudgeSettings = field(default_factory=JudgeSettings)
    ensemble: Literal["mean", "minimum", "lower"] = "mean"  # of a reward run's members: how their scores are combined
    ensemble_lambda: float = 1.0  # of `lower`: so many standard deviations of the members below their mean

    def __post_init__(self) -> None:
        require_at_least(0, self, "ensemble_lambda")
        if type(self.training) is not ALGORITHMS[self.algorithm].config:
            raise ValueError(f"training holds the settings of another algorithm than {self.algorithm}")
        named = self.reward or self.reward_model or self.reward_function or self.judge or self.rewards
        if ALGORITHMS[self.algorithm].is_direct and named:
            said = "thumbs" if ALGORITHMS[self.algorithm].needs_thumbs else "preferences"
            raise ValueError(f"{self.algorithm} learns from the {said} themselves; leave the reward out")
        _ = self.guides  # has checks of its own

    @property
    def guides(self) -> tuple[Guide, ...]:
        """What guides the policy: the one reward that is named, several, or the newest reward run; of a direct
        algorithm nothing does.
        """
        return () if ALGORITHMS[self.algorithm].is_direct else guides_in(vars(self))


def align_config(mapping: Mapping[str, Any]) -> AlignConfig:
    """Build the configuration strictly: what `training` may hold depends on `algorithm`.

    UsageError for an unknown algorithm.
    """
    algorithm = mapping.get("algorithm", "rloo")
    if algorithm not in ALGORITHMS:
        raise UsageError(f"There is no algorithm {algorithm}; use {' or '.join(ALGORITHMS)}.")
    training = config_from(ALGORITHMS[algorithm].config, mapping.get("training", {}), "the configuration's training")
    return config_from(AlignConfig, {**mapping, "algorithm": algorithm, "training": training})


def align(
    workspace: Workspace,
    config: AlignConfig,
    *,
    seed: int,
    resume: bool | Resume = False,
    model: LanguageModel | None = None,
) -> Run:
    """Train the adapter `policy` and leave it in the run's `adapter/`."""
    with open_feedback(workspace) as store:

        def find() -> list[Prompt]:
            if ALGORITHMS[config.algorithm].is_direct:
                return direct.find_prompts(workspace, store, config)
            return find_prompts(workspace, store, Split.TRAIN, config.source)

        def inputs() -> Mapping[str, Run | Path | Source]:
            return _guide(workspace, store, config) | policy_inputs(workspace, config)

        config = config if resume else with_start(workspace, config)
        run, config = begin(workspace, STAGE, config, seed, resume, inputs, find)
        with record(run, workspace), provide_model(workspace, model, run) as language:
            prompts = prompts_of(run, store)
            if ALGORITHMS[config.algorithm].is_direct:
                run.results |= direct.train(run, workspace, store, config, language, STAGE, says_plan=model is None)
            else:
                _train(run, workspace, store, config, prompts, language, says_plan=model is None)
            language.trunk.save_adapter(POLICY, run.adapter_dir, language.name)
            run.results |= _results(run, config, len(prompts), language)
            for line in courses(run.metrics(), sys.stderr.encoding):
                say(line)
    shutil.rmtree(run.checkpoint_dir, ignore_errors=True)  # only once the run is finished: it is all that resume has
    return run


def work(config: AlignConfig, material: Material, shape: Shape) -> Work:
    """What a run will have to do, the answers' length as it is in `config` or `material`."""
    from plaudit.models.reward_model import depth_of

    training, algorithm = config.training, ALGORITHMS[config.algorithm]
    if not isinstance(training, ReinforcementConfig):
        return direct.work(config, material, shape)
    rollout = training.rollout
    answers, longest = rollout.prompts * rollout.answers, rollout.max_tokens or round(material.answer_tokens)
    tokens, prompt_positions = answers * longest * WRITTEN, rollout.prompts * material.prompt_tokens
    split = 0 if training.layers == "all" else shape.split
    positions, judged, adapted = prompt_positions + tokens, depth_of(shape.layers, split) - split, shape.layers - split
    n, learned = training.iterations, training.iterations * training.passes
    passes = [
        Pass(n * prompt_positions, shape.layers),
        Pass(n * positions, shape.layers + judged, n * tokens),  # the reference's log-probabilities, and the rewards
        Pass(learned * positions, adapted, learned * tokens, learned=True),
    ]
    if algorithm.has_critic:
        passes += [Pass(n * positions, judged), Pass(learned * positions, judged, learned=True)]
    return Work(
        (Draw(n * answers, longest, answers),),
        tuple(passes),
        merged=adapted / shape.adapted,
        at_once=positions * rollout.rows / rollout.prompts * adapted,
        kept=positions,
        adapters=(2 * adapted + algorithm.has_critic * judged) / shape.adapted,
    )


def _guide(workspace: Workspace, store: FeedbackStore, config: AlignConfig) -> dict[str, Run | Path | Source]:
    """What says which answers are good: the reward runs that guide, by role, or the preferences themselves."""
    if ALGORITHMS[config.algorithm].is_direct:
        return dict(direct.inputs(workspace, store, config))
    guides = [guide for guide in config.guides if guide.kind is Kind.RUN]
    return {guide.role: workspace.finished("reward", guide.name) for guide in guides}


def _train(
    run: Run,
    workspace: Workspace,
    store: FeedbackStore,
    config: AlignConfig,
    prompts: Sequence[Prompt],
    model: LanguageModel,
    *,
    says_plan: bool,
) -> None:
    from plaudit.stages.answer_length import say_what_was_cut, with_length
    from plaudit.stages.scorers import means_of, prepare_scorer, reward_run_of, score_gap
    from plaudit.train.loop import reinforce

    assert isinstance(config.training, ReinforcementConfig)
    scorer = prepare_scorer(workspace, run, store, prompts, model)
    run.results |= score_gap(workspace, run, store, scorer, model)
    guide = reward_run_of(workspace, run)
    asked = Selection(Split.TRAIN, config.source, guide.results.get("question") if guide else None)
    training = with_length(run, config.training, store, asked, model)
    if says_plan:
        material = material_of(model, prompts, training.rollout.prompt_tokens)
        say_plan(STAGE, replace(config, training=training), model, material, run)
    learner = ALGORITHMS[config.algorithm].load()(model, scorer, training, run.seed)
    go_on(run, workspace, model)
    reference = load_reference(run, workspace, model)

    def count(metrics: Mapping[str, float]) -> None:
        drawn = round(metrics["length_tokens"] * training.rollout.prompts * training.rollout.answers)
        run.count(generated=drawn, trained=drawn * training.passes)

    log = logger_of(run, count, lambda: means_of(scorer))
    reinforce(model, learner, scorer, prompts, run.seed, run.checkpoint_dir, log, reference)
    last = run.metrics()[-1:]
    say_what_was_cut(last[0].get("finished_share") if last else None, training.rollout.max_tokens)


def _results(run: Run, config: AlignConfig, prompts: int, model: LanguageModel) -> dict[str, Any]:
    rows = run.metrics()
    results: dict[str, Any] = {"algorithm": config.algorithm, "prompts": prompts, "model": model.name}
    if isinstance(config.training, ReinforcementConfig):
        guided = [run.inputs[g.role]["id"] + (f" × {g.weight:g}" if config.rewards else "") for g in config.guides]
        results |= {name: rows[-1].get(name) if rows else None for name in LAST_FIGURES}
        results |= {"iterations": config.training.iterations, "guided_by": " + ".join(guided)}
    return results | {"start": config.start, "reference": reference_in_words(config)}


def _sentence(results: Results) -> str:
    algorithm = results["algorithm"].upper()
    if "iterations" not in results:
        return direct.sentence(algorithm, results)
    reward, kl = results.get("reward_mean"), results.get("kl_nats")
    reached = (
        f"; reward {number_text(reward, 2)} at {number_text(kl, 1)} nats from {results.get('reference', 'the base')}"
        if reward is not None and kl is not None
        else ""
    )
    return f"Aligned the model by {algorithm} in {results['iterations']} iterations{reached}."


STAGE = Stage(
    align,
    AlignConfig,
    _sentence,
    flags=(
        Flag("algorithm", f"{' or '.join(ALGORITHMS)}.", "NAME"),
        Flag("training.iterations", "Optimisation steps, of reinforcement learning."),
        Flag("training.learning_rate", "Of the policy.", "X"),
        Flag("training.layers", "Which the policy's adapter is in: upper (the upper half) or all.", "WHICH"),
        SOURCE,
        START,
        Flag("reference", "What the policy is held near to: base, start, or the ID of an align or sft run.", "WHICH"),
        Flag(
            "reward_model", "A sequence classifier instead of a reward run: a folder or Hugging Face id.", "PATH_OR_ID"
        ),
        Flag("reward_function", "A Python function instead of a reward run.", "MODULE:NAME"),
        Flag("judge", "A model behind an OpenAI-compatible API instead of a reward run.", "MODEL@URL"),
        Flag("rewards", "Several rewards, each on its own scale; may be repeated.", "REWARD[=WEIGHT]"),
    ),
    deciding=("algorithm",),
    reads=("judgements",),
    parse_mapping=align_config,
    work=work,
)
