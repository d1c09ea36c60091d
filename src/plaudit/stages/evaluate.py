"""The proof: the base against the aligned policy on held-out prompts, both drawn alike, by every measure there is.

Where a simulated panel judged, its hidden utility compares the answers, which the policy never saw. Where people judged
there is no such judge at hand: the reward model's win rate is then all there is, and it is no proof, because the policy
was optimised for just that. The run says which of the two holds.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from plaudit.config import require_above, require_at_least
from plaudit.progress import bar
from plaudit.report.outcome import interval_text
from plaudit.runs import Run
from plaudit.stages import SOURCE, Flag, Results, Stage
from plaudit.stages.inputs import ROLE, feedback_source, open_feedback, read_at_one_moment
from plaudit.stages.lifecycle import begin, find_prompts, prompts_of, provide_model, record
from plaudit.stages.plan import WRITTEN, Draw, Material, Pass, Work, material_of, say_plan
from plaudit.stages.sessions import require_same
from plaudit.types import Drawing, Prompt, Sampling, Split, seed_for
from plaudit.workspace import Resume, Workspace

if TYPE_CHECKING:
    from plaudit.evaluate.comparison import Side
    from plaudit.models.catalog import LanguageModel
    from plaudit.models.pace import Shape


@dataclass(frozen=True)
class EvaluateConfig:
    answers: int = 4  # to each prompt, from either side
    prompts: int = 200  # at most so many held-out prompts, drawn by the seed
    max_tokens: int | None = None  # None: as in the align run
    temperature: float | None = None  # None: as in the align run
    source: str | None = None  # only prompts from here
    align: str | None = None  # id of the align run that is put to the proof; None: the newest

    def __post_init__(self) -> None:
        require_at_least(1, self, "answers", "prompts", "max_tokens")
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

        align = config.align
        run, config = begin(
            workspace, STAGE, config, seed, resume,
            lambda: {"align": workspace.finished("align", align), ROLE: feedback_source(store)},
            find,
        )  # fmt: skip
        with record(run, workspace), provide_model(workspace, model, run) as language:
            prompts = prompts_of(run, store)
            with read_at_one_moment(run, store):
                references = store.demonstrations({prompt.id for prompt in prompts})
            aligned = workspace.run(run.inputs["align"]["id"])
            drawing = _drawing(config, aligned)
            require_same(aligned, run)
            language.trunk.load_adapter("policy", aligned.adapter_dir)  # which layers it is in, a plan has to know
            if model is None:
                material = material_of(language, prompts, drawing.prompt_tokens)
                say_plan(STAGE, replace(config, max_tokens=drawing.sampling.max_tokens), language, material, run)
            base, policy = _both_sides(run, workspace, aligned, prompts, drawing, language)
            _conclude(run, workspace, references, aligned, base, policy)
    return run


def work(config: EvaluateConfig, material: Material, shape: Shape) -> Work:
    """What a run will have to do, the answers' length as it is in `config` or `material`."""
    from plaudit.models.reward_model import depth_of
    from plaudit.models.sampling import rows_at_once

    prompts, longest = min(material.prompts, config.prompts), config.max_tokens or round(material.answer_tokens)
    rows = rows_at_once(config.answers, material.prompt_tokens + longest, prompts)
    tokens, read = prompts * config.answers * longest * WRITTEN, prompts * material.prompt_tokens
    judged = depth_of(shape.layers, shape.split) - shape.split
    passes = (
        Pass(2 * read, shape.layers),
        Pass(2 * (read + tokens), shape.split + judged),  # the rewards of both sides
        Pass(2 * (read + tokens), shape.adapted, 2 * tokens),  # the policy's answers by policy and base
    )
    return Work((Draw(2 * prompts * config.answers, longest, rows),), passes, merged=1, adapters=2)


def _draw_prompts(prompts: list[Prompt], config: EvaluateConfig, seed: int) -> list[Prompt]:
    """At most `config.prompts` of them, in their order."""
    if len(prompts) <= config.prompts:
        return prompts
    chance = random.Random(seed_for(seed, "prompts to evaluate"))
    return [prompts[i] for i in sorted(chance.sample(range(len(prompts)), config.prompts))]


def _drawing(config: EvaluateConfig, aligned: Run) -> Drawing:
    trained = aligned.config["training"]["rollout"]
    max_tokens = trained["max_tokens"] if config.max_tokens is None else config.max_tokens
    temperature = trained["temperature"] if config.temperature is None else config.temperature
    return Drawing(config.answers, Sampling(max_tokens, temperature), trained["prompt_tokens"])


def _both_sides(
    run: Run, workspace: Workspace, aligned: Run, prompts: Sequence[Prompt], drawing: Drawing, model: LanguageModel
) -> tuple[Side, Side]:
    from plaudit.evaluate.answers import answer
    from plaudit.models.sampling import chunks
    from plaudit.stages.scorers import scorer_of

    scorer = scorer_of(workspace, aligned, model, run)
    parts = chunks(model, prompts, drawing)
    with bar("Answering held-out prompts", 2 * len(prompts), "prompts") as progress:
        base = answer(model, None, scorer, parts, drawing, seed_for(run.seed, "evaluate the base"), progress)
        policy = answer(model, "policy", scorer, parts, drawing, seed_for(run.seed, "evaluate the policy"), progress)
    run.count(generated=sum(response.tokens or 0 for response in (*base.responses, *policy.responses)))
    return base, policy


def _conclude(
    run: Run, workspace: Workspace, references: Mapping[str, Sequence[str]], aligned: Run, base: Side, policy: Side
) -> None:
    """Compare, and write what was found."""
    from plaudit.evaluate.comparison import compare, sample_pairs
    from plaudit.stages.scorers import reward_run_of

    reward = reward_run_of(workspace, aligned)
    hidden = bool(reward and reward.results.get("hidden_utility"))
    figures: dict[str, Any] = compare(base, policy, references, hidden_utility=hidden, seed=run.seed)
    reward_accuracy = reward.results.get("reward_accuracy") if reward else None
    summary = figures | {
        "reward_accuracy": reward_accuracy,
        "simulated": bool(reward and reward.results["simulated"]),
        "prompts_heldout": len(base.prompts),
        "algorithm": aligned.config["algorithm"],
        "model": aligned.results["model"],
        "seed": run.seed,
    }
    run.write_json("summary.json", summary)
    run.write_json("samples.json", sample_pairs(base, policy, references, hidden_utility=hidden, seed=run.seed))
    run.results |= {name: value for name, value in summary.items() if not isinstance(value, (dict, list))}


def _sentence(results: Results) -> str:
    on = f"On {results['prompts_heldout']} held-out prompts the aligned model's answers"
    if results.get("win_rate") is None:
        return f"{on} score higher by the reward model in {interval_text(results, 'reward_win_rate')} of comparisons."
    return f"{on} win {interval_text(results, 'win_rate')} of comparisons with the base's."


STAGE = Stage(
    evaluate,
    EvaluateConfig,
    _sentence,
    flags=(
        Flag("align", "The align run to prove. Default: the newest.", "ID"),
        Flag("answers", "Answers to each prompt."),
        Flag("prompts", "At most so many prompts."),
        SOURCE,
    ),
    reads=("demonstrations",),
    has_checkpoint=False,
    work=work,
)
