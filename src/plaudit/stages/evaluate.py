"""The proof: the base against the aligned policy on held-out prompts, both drawn alike, by every measure there is.

Where a simulated panel judged, its hidden utility compares the answers, which the policy never saw. Where people judged
there is no such judge at hand: a reward model's win rate is then all there is, and it is no proof, least of all where
the policy was optimised for just that. A policy that no reward model guided is scored by the newest one. The run says
which of these holds.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plaudit.config import require_above, require_at_least
from plaudit.feedback.aggregate import Selection
from plaudit.progress import bar
from plaudit.report.outcome import interval_text, number_text
from plaudit.runs import Run, Source
from plaudit.stages import SOURCE, Flag, Results, Stage
from plaudit.stages.inputs import ROLE, feedback_source, open_feedback, read_at_one_moment
from plaudit.stages.lifecycle import begin, find_prompts, prompts_of, provide_model, record
from plaudit.stages.plan import WRITTEN, Draw, Material, Pass, Work, material_of, say_plan
from plaudit.stages.policies import POLICY, drawn_as, is_guided, load_policy, policy_run
from plaudit.types import Drawing, Prompt, Sampling, Split, seed_for
from plaudit.workspace import Resume, Workspace

if TYPE_CHECKING:
    from plaudit.evaluate.comparison import Side
    from plaudit.feedback.store import FeedbackStore
    from plaudit.models.catalog import LanguageModel
    from plaudit.models.pace import Shape

PROMPT_TOKENS = 256  # the newest tokens of a conversation that are read, where no training says how many


@dataclass(frozen=True)
class EvaluateConfig:
    answers: int = 4  # to each prompt, from either side
    prompts: int = 200  # at most so many held-out prompts, drawn by the seed
    max_tokens: int | None = None  # None: as in the align run
    temperature: float | None = None  # None: as in the align run
    source: str | None = None  # only prompts from here
    align: str | None = None  # id of the align (or sft) run that is put to the proof; None: the newest align run
    best_of: int = 1  # answers of which the one with the highest reward is given; without `align` those are the base's

    def __post_init__(self) -> None:
        require_at_least(1, self, "answers", "prompts", "max_tokens", "best_of")
        require_above(0, self, "temperature")


def evaluate(
    workspace: Workspace,
    config: EvaluateConfig,
    *,
    seed: int,
    resume: bool | Resume = False,
    model: LanguageModel | None = None,
) -> Run:
    """Draw answers from both sides, compare them, and write `summary.json` and `samples.json`.

    It takes a minute and keeps no checkpoint: a resumed run draws the same answers again.
    """
    with open_feedback(workspace) as store:

        def find() -> list[Prompt]:
            return _draw_prompts(find_prompts(workspace, store, Split.HELDOUT, config.source), config, seed)

        def inputs() -> dict[str, Run | Path | Source]:
            return {**_compared(workspace, config), ROLE: feedback_source(store)}

        run, config = begin(workspace, STAGE, config, seed, resume, inputs, find)
        with record(run, workspace), provide_model(workspace, model, run) as language:
            prompts = prompts_of(run, store)
            with read_at_one_moment(run, store):
                references = store.demonstrations({prompt.id for prompt in prompts})
            aligned = workspace.run(run.inputs["align"]["id"]) if "align" in run.inputs else None
            if aligned:
                load_policy(language, aligned, run)  # which layers it is in, a plan has to know
            drawing = _drawing(config, aligned, store, language)
            if model is None:
                material = material_of(language, prompts, drawing.prompt_tokens)
                say_plan(STAGE, replace(config, max_tokens=drawing.sampling.max_tokens), language, material, run)
            base, policy = _both_sides(run, workspace, aligned, prompts, drawing, config.best_of, language)
            _conclude(run, workspace, references, aligned, base, policy, config.best_of)
    return run


def work(config: EvaluateConfig, material: Material, shape: Shape) -> Work:
    """What a run will have to do, the answers' length as it is in `config` or `material`."""
    from plaudit.models.reward_model import depth_of
    from plaudit.models.sampling import rows_at_once

    prompts, longest = min(material.prompts, config.prompts), config.max_tokens or round(material.answer_tokens)
    each, read = config.answers * (1 + config.best_of), prompts * material.prompt_tokens  # answers of both sides
    rows = rows_at_once(config.answers * config.best_of, material.prompt_tokens + longest, prompts)
    tokens = prompts * each * longest * WRITTEN
    judged, own = depth_of(shape.layers, shape.split) - shape.split, tokens * config.best_of / (1 + config.best_of)
    passes = (
        Pass(2 * read, shape.layers),
        Pass(2 * read + tokens, shape.split + judged),  # the rewards of both sides
        Pass(2 * (read + own), shape.adapted, 2 * own),  # the policy's answers by policy and base
    )
    return Work((Draw(prompts * each, longest, rows),), passes, merged=1, adapters=2)


def _compared(workspace: Workspace, config: EvaluateConfig) -> dict[str, Run]:
    """The run whose policy is compared, and where no reward model guided that, the newest reward run, if any.

    UsageError where the best of several answers is asked for and there is no reward model to find it.
    """
    if config.best_of > 1 and config.align is None:
        return {"reward": workspace.finished("reward")}
    aligned = policy_run(workspace, config.align) if config.align else workspace.finished("align")
    if config.best_of > 1 and not is_guided(aligned):
        return {"align": aligned, "reward": workspace.finished("reward")}
    reward = None if is_guided(aligned) else workspace.latest("reward", required=False)
    return {"align": aligned} | ({"reward": reward} if reward else {})


def _draw_prompts(prompts: list[Prompt], config: EvaluateConfig, seed: int) -> list[Prompt]:
    """At most `config.prompts` of them, in their order."""
    if len(prompts) <= config.prompts:
        return prompts
    chance = random.Random(seed_for(seed, "prompts to evaluate"))
    return [prompts[i] for i in sorted(chance.sample(range(len(prompts)), config.prompts))]


def _drawing(config: EvaluateConfig, aligned: Run | None, store: FeedbackStore, model: LanguageModel) -> Drawing:
    from plaudit.stages.answer_length import usual_limit

    if aligned:
        usual = drawn_as(aligned)
    else:
        limit = usual_limit(store, Selection(Split.TRAIN, config.source), model)
        usual = Drawing(config.answers, Sampling(limit), PROMPT_TOKENS)
    max_tokens = usual.sampling.max_tokens if config.max_tokens is None else config.max_tokens
    temperature = usual.sampling.temperature if config.temperature is None else config.temperature
    return Drawing(config.answers, Sampling(max_tokens, temperature), usual.prompt_tokens)


def _both_sides(
    run: Run,
    workspace: Workspace,
    aligned: Run | None,
    prompts: Sequence[Prompt],
    drawing: Drawing,
    best_of: int,
    model: LanguageModel,
) -> tuple[Side, Side]:
    from plaudit.evaluate.answers import answer, best_of_each
    from plaudit.models.sampling import chunks
    from plaudit.stages.scorers import scorer_of

    guided = aligned if aligned and is_guided(aligned) else run  # which of both says what the reward model is
    scorer = scorer_of(workspace, guided, model, run) if is_guided(guided) else None
    more = replace(drawing, answers=drawing.answers * best_of)
    name = POLICY if aligned else None
    sides = []
    with bar("Answering held-out prompts", 2 * len(prompts), "prompts") as progress:
        for adapter, how, who in ((None, drawing, "base"), (name, more, "policy")):
            parts = chunks(model, prompts, how)
            seed = seed_for(run.seed, f"evaluate the {who}")
            sides.append(answer(model, adapter, scorer, parts, how, seed, progress))
    run.count(generated=sum(response.tokens or 0 for side in sides for response in side.responses))
    return sides[0], best_of_each(sides[1], best_of)


def _conclude(
    run: Run,
    workspace: Workspace,
    references: Mapping[str, Sequence[str]],
    aligned: Run | None,
    base: Side,
    policy: Side,
    best_of: int,
) -> None:
    """Compare, and write what was found."""
    from plaudit.evaluate.comparison import BY_OTHER_REWARD, BY_REWARD_ONLY, UNJUDGED, compare, sample_pairs
    from plaudit.stages.scorers import reward_run_of

    reward = (aligned and reward_run_of(workspace, aligned)) or reward_run_of(workspace, run)
    told = [built.results for built in (aligned, reward) if built]
    hidden = any(results.get("hidden_utility") for results in told)
    is_optimised = best_of > 1 or (aligned is not None and is_guided(aligned))
    proof = BY_REWARD_ONLY if is_optimised else BY_OTHER_REWARD if reward else UNJUDGED
    figures: dict[str, Any] = compare(base, policy, references, hidden_utility=hidden, seed=run.seed, proof=proof)
    by = aligned.config.get("algorithm", aligned.stage) if aligned else ""
    best = f"best of {best_of}" if best_of > 1 else ""
    summary = figures | {
        "reward_accuracy": reward.results.get("reward_accuracy") if reward else None,
        "simulated": any(results.get("simulated") for results in told),
        "prompts_heldout": len(base.prompts),
        "algorithm": ", ".join(part for part in (by, best) if part),
        "model": told[0]["model"],
        "seed": run.seed,
    }
    run.write_json("summary.json", summary)
    run.write_json("samples.json", sample_pairs(base, policy, references, hidden_utility=hidden, seed=run.seed))
    run.results |= {name: value for name, value in summary.items() if not isinstance(value, (dict, list))}


def _sentence(results: Results) -> str:
    by = str(results.get("algorithm", ""))
    whose = f"the {by} answers" if by.startswith("best of") else "the aligned model's answers"
    on = f"On {results['prompts_heldout']} held-out prompts {whose}"
    if results.get("win_rate") is None and results.get("reward_win_rate") is None:
        kl = number_text(results["kl_nats"], 1)
        return f"{on} were drawn beside the base's, {kl} nats from it; nothing was there to judge them."
    if results.get("win_rate") is None:
        return f"{on} score higher by the reward model in {interval_text(results, 'reward_win_rate')} of comparisons."
    return f"{on} win {interval_text(results, 'win_rate')} of comparisons with the base's."


STAGE = Stage(
    evaluate,
    EvaluateConfig,
    _sentence,
    flags=(
        Flag("align", "The align or sft run to prove. Default: the newest align run.", "ID"),
        Flag("best_of", "Give of so many answers the one with the highest reward; without --align, the base's."),
        Flag("answers", "Answers to each prompt."),
        Flag("prompts", "At most so many prompts."),
        SOURCE,
    ),
    reads=("demonstrations",),
    has_checkpoint=False,
    work=work,
)
