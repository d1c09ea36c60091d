"""Stage two: from judgements to preferences to a reward model, with what it is worth on held-out prompts."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from plaudit.errors import UsageError, require_finite
from plaudit.feedback.simulated.utility import is_member, utilities
from plaudit.progress import bar, say
from plaudit.report.outcome import interval_text, percent
from plaudit.runs import Run, RunStatus, Source
from plaudit.stages import SOURCE, Flag, Results, Stage
from plaudit.stages.inputs import ROLE, feedback_source, open_feedback, read_at_one_moment
from plaudit.stages.lifecycle import begin, logger_of, provide_model, record
from plaudit.stages.plan import SOME, Material, Pass, Work, material_of, say_plan
from plaudit.train.configs import RewardConfig, StoredDataConfig
from plaudit.types import AnnotatorKind, Judgement, Preference, Ranked, Split
from plaudit.workspace import Resume, Workspace

if TYPE_CHECKING:
    from plaudit.evaluate.reward_accuracy import HeldOut
    from plaudit.feedback.aggregate import Selection
    from plaudit.feedback.store import FeedbackStore
    from plaudit.models.catalog import LanguageModel
    from plaudit.models.pace import Shape
    from plaudit.models.reward_model import RewardModel, ScoreSettings
    from plaudit.train.reward import Group

BASELINES = {
    "longer_wins_accuracy": "betting on the longer answer",
    "text_statistics_accuracy": "text statistics",
    "tfidf_accuracy": "words alone",
    "with_length_accuracy": "with what length is worth",
}  # what is said beside its accuracy
SCORES_FILE = "scores.json"  # the run's scores of the held-out answers, by response id


@dataclass(frozen=True)
class RewardStageConfig:
    source: str | None = None  # only preferences on prompts from here
    question: str | None = None  # only answers to it; None: the project's question
    weighted: bool = False  # training votes count by how reliable their annotator is (docs/decisions/0006)
    training: RewardConfig = field(default_factory=RewardConfig)


@dataclass(frozen=True)
class Feedback:
    """What the reward model learns from and is judged by, and who said it."""

    question: str
    train: list[Group]
    heldout: list[Group]
    judgements: list[Judgement]  # those behind both
    simulated: bool  # whether any of them is by a simulated annotator
    by_panel: bool  # whether all of them are by a panel of ours, whose hidden utility is known
    weights: dict[str, float] | None  # annotator id -> weight of a training vote; None: all count alike

    @property
    def groups(self) -> list[Group]:
        return [*self.train, *self.heldout]


def reward(
    workspace: Workspace,
    config: RewardStageConfig,
    *,
    seed: int,
    resume: bool | Resume = False,
    model: LanguageModel | None = None,
) -> Run:
    """Train a reward model on the preferences of the train split, and measure it on those of the held-out one.

    A resumed run reads the feedback anew. It goes on from its checkpoint where what it learns from is what it was.
    """
    with open_feedback(workspace) as store:
        run, config = begin(workspace, STAGE, config, seed, resume, lambda: read_feedback(workspace, store, config))
        with record(run, workspace), provide_model(workspace, model, run) as language:
            with read_at_one_moment(run, store):
                feedback = gather(workspace, store, config)
                run.inputs |= made_by(workspace, feedback)
            if model is None:
                say_plan(STAGE, config, language, material_of_feedback(feedback, config.training, language), run)
            trained = _train(run, feedback.train, config.training, language)
            held = _held_out(run, store, feedback, trained, language)
            _measure(run, held, feedback)
            run.results |= _beyond_pairs(held, feedback, trained)
            run.results |= _about(feedback, language)
    shutil.rmtree(run.checkpoint_dir, ignore_errors=True)  # only once the run is finished: it is all that resume has
    return run


def gather(workspace: Workspace, store: FeedbackStore, config: RewardStageConfig) -> Feedback:
    """The preferences by prompt and side of the split. UsageError when there is nothing to learn from."""
    from plaudit.feedback.aggregate import preferences, rankings, select_judgements

    selection, weights = selected(store, config)

    def groups(side: Split, weights: Mapping[str, float] | None) -> list[Group]:
        chosen = replace(selection, split=side)
        ranked = rankings(store, chosen, weights) if config.training.needs_rankings else []
        said = [r for r in ranked if r.acceptable is not None or len(r.ranking.response_ids) > 1]
        return groups_of(store, preferences(store, chosen, weights), said)

    train = groups(Split.TRAIN, weights)
    heldout = groups(Split.HELDOUT, None)  # judged alike, however it was trained
    if not any(not preference.is_tie for group in train for preference in group.preferences):
        where = f"{workspace.path}{f' from {config.source}' if config.source else ''}"
        raise UsageError(
            f"There are no preferences to learn from in {where}: "
            f"bring some in by `plaudit import FILE -w {workspace.path}`, or collect some by `plaudit sample` and "
            "`plaudit panel`."
        )
    compared = select_judgements(store, selection).judgements
    judgements = [judgement for judgement in compared if len(judgement.ranking.response_ids) > 1]
    return feedback_of(store, selection, train, heldout, judgements, weights)


def selected(store: FeedbackStore, config: RewardStageConfig) -> tuple[Selection, dict[str, float] | None]:
    """What is learned from, and annotator id -> weight of a vote of theirs. UsageError as `question_asked`."""
    from plaudit.feedback.aggregate import Selection, question_asked

    selection = Selection(source=config.source, question=question_asked(store, config.question))
    if not config.weighted:
        return selection, None
    from plaudit.feedback.quality.reliability import annotator_weights  # brings numpy

    return selection, annotator_weights(store, str(selection.question))


def feedback_of(
    store: FeedbackStore,
    selection: Selection,
    train: list[Group],
    heldout: list[Group],
    judgements: list[Judgement],
    weights: dict[str, float] | None,
) -> Feedback:
    """With who said it."""
    kind = {annotator.id: annotator.kind for annotator in store.annotators()}
    simulated = any(kind[judgement.annotator_id] is AnnotatorKind.SIMULATED for judgement in judgements)
    by_panel = all(is_member(judgement.annotator_id) for judgement in judgements)
    return Feedback(str(selection.question), train, heldout, judgements, simulated, by_panel, weights)


def groups_of(store: FeedbackStore, preferences: list[Preference], rankings: list[Ranked]) -> list[Group]:
    """Them by prompt, with the prompts and answers that they are about."""
    from plaudit.train.reward import group_by_prompt

    prompt_ids = {p.prompt_id for p in preferences} | {ranked.prompt_id for ranked in rankings}
    prompts = {prompt.id: prompt for prompt in store.prompts(prompt_ids=prompt_ids)}
    answers = {answer.id: answer for answer in store.responses(prompt_ids)}
    return group_by_prompt(preferences, prompts, answers, rankings)


def work(config: RewardStageConfig, material: Material, shape: Shape) -> Work:
    """What a run will have to do."""
    from plaudit.models.reward_model import depth_of
    from plaudit.train.reward import TOKENS_AT_ONCE

    training = config.training
    depth = training.depth or depth_of(shape.layers, shape.split)
    each = material.prompt_tokens + material.answers * material.answer_tokens
    positions, judged = material.prompts * each, depth - shape.split
    passes = (
        Pass(positions, depth),  # the lower layers, and the features that the head is fitted to
        Pass(training.members * training.epochs * positions, judged, learned=True),
        Pass(training.members * positions, judged),  # the scale of the scores
        Pass(material.heldout * each, depth),
    )
    most = training.keep_mb * 2**20 / (shape.hidden * shape.number_bytes)
    adapters = training.members * judged / shape.adapted
    return Work((), passes, at_once=TOKENS_AT_ONCE * judged, kept=min(positions, most), adapters=adapters)


def material_of_feedback(feedback: Feedback, config: RewardConfig | StoredDataConfig, model: LanguageModel) -> Material:
    from plaudit.models.chat import encode_answer

    groups, answers = feedback.groups, [answer for group in feedback.groups for answer in group.answers]
    some = answers[:: max(1, len(answers) // SOME)]
    tokens = sum(len(encode_answer(model.tokenizer, a.text, a.stop_reason, config.answer_tokens)) for a in some)
    return replace(
        material_of(model, [group.prompt for group in groups], config.prompt_tokens),
        prompts=len(feedback.train),
        heldout=len(feedback.heldout),
        answers=len(answers) / len(groups),
        answer_tokens=tokens / len(some),
    )


def read_feedback(workspace: Workspace, store: FeedbackStore, config: RewardStageConfig) -> Mapping[str, Source]:
    """The feedback, and the runs that it came from: who sampled the answers, and which panels ranked those."""
    read = feedback_source(store)
    return {ROLE: read, **made_by(workspace, gather(workspace, store, config))}


def made_by(workspace: Workspace, feedback: Feedback) -> dict[str, Source]:
    """The runs that the feedback came from, as inputs."""
    sampled = {answer.run_id for group in feedback.groups for answer in group.answers}
    drawn = [run for run in workspace.runs("sample") if run.id in sampled and run.status is RunStatus.FINISHED]
    ranked = [
        run
        for run in workspace.runs("panel")
        if run.status is RunStatus.FINISHED and run.inputs["sample"]["id"] in sampled and feedback.simulated
    ]
    return {run.id: {"id": run.id, "digest": run.digest()} for run in (*drawn, *ranked)}


def _train(run: Run, groups: list[Group], config: RewardConfig, model: LanguageModel) -> RewardModel:
    from plaudit.train.ensemble import set_aside, train_reward
    from plaudit.train.reward import make_batches

    learned, aside = set_aside(groups, config.validation_share)
    batches = make_batches(model, learned, config)
    validation = make_batches(model, aside, config) if aside else []
    trained, _ = train_reward(
        model,
        batches,
        config,
        run.seed,
        validation=validation,
        log=logger_of(run, lambda metrics: None),
        checkpoint=run.checkpoint_dir,
    )
    if config.strength != "ignore":
        run.results["strength"] = batches[0].objective.strength
    _say_unheard(groups, config, trained)
    trained.save(run.adapter_dir, model.name)
    run.costs.tokens_trained = round(sum(row.get("tokens", 0) for row in run.metrics()))
    run.results |= {"prompts_validation": len(aside), "members": len(trained.members)}
    return trained


def _say_unheard(groups: list[Group], config: RewardConfig, trained: RewardModel) -> None:
    """What was asked for and changes nothing, because nobody has said such a thing."""
    if config.strength != "ignore" and all(p.strength is None for group in groups for p in group.preferences):
        say("No preference on the train side says how strong it is, so `training.strength` changes nothing.")
    if config.all_bad != "ignore" and trained.settings.threshold is None:
        say("Nobody has said on the train side that all answers were bad, so there is no threshold.")


def _held_out(
    run: Run, store: FeedbackStore, feedback: Feedback, trained: RewardModel, model: LanguageModel
) -> HeldOut:
    """Score the held-out answers."""
    from plaudit.evaluate.reward_accuracy import HeldOut
    from plaudit.models.chat import encode_answer
    from plaudit.models.reward_ensemble import mean_of, spread_of

    groups = feedback.heldout
    answers = [answer for group in groups for answer in group.answers]
    with bar("Scoring held-out answers", len(groups), "prompts") as progress:
        of_members = trained.member_scores(model, [(group.prompt, group.answers) for group in groups], progress.advance)
    scores = mean_of(of_members)
    if len(of_members) > 1 and scores:
        run.results["reward_disagreement"] = fmean(spread_of(of_members).values())
    require_finite(
        scores.values(), lambda i: f"The score of held-out answer {list(scores)[i]}", "nothing is learned by it"
    )
    held = {group.prompt.id for group in groups}
    tasks = {task.id for task in store.tasks() if task.prompt_id in held}
    return HeldOut(
        preferences=[preference for group in groups for preference in group.preferences],
        scores=scores,
        nats_per_score=trained.settings.nats_per_score,
        lengths={a.id: len(encode_answer(model.tokenizer, a.text, a.stop_reason)) for a in answers},
        judgements=[judgement for judgement in feedback.judgements if judgement.task_id in tasks],
        utility=utilities(store, answers) if feedback.by_panel else None,
        temperature=trained.settings.temperature,
        others=_others(feedback, trained.settings, scores, model),
    )


def _others(
    feedback: Feedback, settings: ScoreSettings, scores: Mapping[str, float], model: LanguageModel
) -> dict[str, dict[str, float]]:
    """What is put beside the reward model: baselines, and its own scores with what length is worth left in."""
    from plaudit.evaluate.baselines import baseline_scores
    from plaudit.models.chat import encode_answer

    answers = {answer.id: answer for group in feedback.groups for answer in group.answers}
    learned = [preference for group in feedback.train for preference in group.preferences]
    others = baseline_scores(learned, {id_: answer.text for id_, answer in answers.items()}, scores)
    if slope := settings.length_slope / settings.std:
        read = {id_: encode_answer(model.tokenizer, answers[id_].text, answers[id_].stop_reason, settings.answer_tokens)
                for id_ in scores}  # fmt: skip
        others["with_length"] = {id_: score + slope * len(read[id_]) for id_, score in scores.items()}
    return others


def _measure(run: Run, held: HeldOut, feedback: Feedback) -> None:
    """What the reward model is worth on the held-out preferences, into the run."""
    from plaudit.evaluate.reward_accuracy import measure

    run.write_json(SCORES_FILE, held.scores)
    details, figures = measure(held, run.seed)
    run.write_json("evaluation.json", details | {"annotator_weights": feedback.weights})
    run.results |= figures


def _beyond_pairs(held: HeldOut, feedback: Feedback, trained: RewardModel) -> dict[str, Any]:
    """What it is worth in predicting ties, and that no answer is acceptable, where it has learned that."""
    from plaudit.evaluate.beyond_pairs import threshold_figures, tie_figures

    settings = trained.settings
    figures: dict[str, Any] = {}
    if settings.tie is not None:
        figures |= tie_figures(held.preferences, held.scores, settings.std, settings.tie)
    if settings.threshold is not None:
        rankings = [ranked for group in feedback.heldout for ranked in group.rankings]
        figures |= threshold_figures(rankings, held.scores, settings.threshold)
    return figures


def _about(feedback: Feedback, model: LanguageModel) -> dict[str, Any]:
    return {
        "question": feedback.question,
        "simulated": feedback.simulated,
        "hidden_utility": feedback.by_panel,
        "prompts_train": len(feedback.train),
        "prompts_heldout": len(feedback.heldout),
        "answers": sum(len(group.answers) for group in feedback.groups),
        "preferences": sum(len(group.preferences) for group in feedback.groups),
        "judgements": len(feedback.judgements),
        "annotators": len({judgement.annotator_id for judgement in feedback.judgements}),
        "model": model.name,
    }


def _sentence(results: Results) -> str:
    learned = f"The reward model learned from {results['prompts_train']:,} prompts' preferences"
    if "reward_accuracy" not in results:
        return f"{learned}. {results['heldout']}"
    skill = results.get("reward_skill")
    beside = f", {percent(skill)} of the way from a coin to the hidden utility" if skill is not None else ""
    others = [f"{what}: {results[key]:.2f}" for key, what in BASELINES.items() if results.get(key) is not None]
    return (
        f"{learned} and predicts held-out ones with accuracy {interval_text(results, 'reward_accuracy')}{beside}; "
        f"{', '.join(others)}.{_more(results)}"
    )


def _more(results: Results) -> str:
    """What else it learned, with a space before it."""
    more = ""
    if "tie_log_loss_nats" in results:
        more += (
            f" A win, a tie or a loss: log loss {results['tie_log_loss_nats']:.3f}; "
            f"{results['tie_log_loss_unread_nats']:.3f} for who only knows how many are ties."
        )
    if "threshold_accuracy" in results:
        more += (
            f" Whether any answer is acceptable: right {results['threshold_accuracy']:.2f} of the time; always saying "
            f"the same: {results['threshold_accuracy_unread']:.2f}."
        )
    return more


STAGE = Stage(
    reward,
    RewardStageConfig,
    _sentence,
    flags=(
        SOURCE,
        Flag("question", "Only answers to this question; nothing: the project's.", "TEXT"),
        Flag("weighted", "Let votes count by their annotator's reliability."),
        Flag("training.members", "Adapters and heads on the one trunk, whose scores are combined."),
    ),
    reads=("judgements",),
    reads_anew=True,
    work=work,
)
