"""The first stage: draw answers to the workspace's prompts, from the base model or from an aligned policy.

A chunk of prompts at a time is drawn and stored whole, and each chunk has random numbers of its own, so a run that was
cut goes on with the very answers that it would have drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from plaudit.progress import bar
from plaudit.report.outcome import percent
from plaudit.runs import Run
from plaudit.stages import SOURCE, Flag, Results, Stage
from plaudit.stages.inputs import open_feedback
from plaudit.stages.lifecycle import begin, find_prompts, prompts_of, provide_model, record
from plaudit.stages.plan import Draw, Material, Pass, Work, material_of, say_plan
from plaudit.stages.policies import load_policy, policy_run
from plaudit.types import Drawing, Prompt, Response, Sampling, Split, StopReason, seed_for
from plaudit.workspace import Resume, Workspace

if TYPE_CHECKING:
    from plaudit.feedback.store import FeedbackStore
    from plaudit.models.catalog import LanguageModel
    from plaudit.models.pace import Shape
    from plaudit.models.sampling import Chunk


@dataclass(frozen=True)
class SampleConfig:
    answers: int = 4  # to each prompt
    max_tokens: int = 64
    temperature: float = 1.0
    prompt_tokens: int = 256  # the newest tokens of a conversation that are read
    split: Literal["all", "train", "heldout"] = "all"
    source: str | None = None  # only prompts from here
    policy: str | None = None  # id of the align or sft run whose policy answers; None: the base model
    hint: str = ""  # an instruction that some answers are drawn with; nobody who judges them, or learns, sees it
    hinted: int = 0  # how many of each prompt's answers are drawn with the hint: people need a contrast to judge

    def __post_init__(self) -> None:
        _ = self.drawing  # has checks of its own
        if not 0 <= self.hinted <= self.answers or bool(self.hint) != bool(self.hinted):
            raise ValueError(
                "hint and hinted go together: an instruction, and how many of the answers are drawn with it"
            )

    @property
    def drawing(self) -> Drawing:
        return Drawing(self.answers, Sampling(self.max_tokens, self.temperature), self.prompt_tokens)

    @property
    def side(self) -> Split | None:
        return None if self.split == "all" else Split(self.split)


def sample(
    workspace: Workspace,
    config: SampleConfig,
    *,
    seed: int,
    resume: bool | Resume = False,
    model: LanguageModel | None = None,
) -> Run:
    """Draw `config.answers` answers to each prompt and put them into the feedback store under the run's id."""
    with open_feedback(workspace) as store:

        def find() -> list[Prompt]:
            return find_prompts(workspace, store, config.side, config.source)

        # The feedback itself is no recorded input: this stage writes into it. The prompts are in prompts.json.
        run, config = begin(workspace, STAGE, config, seed, resume, lambda: _policy_run(workspace, config), find)
        with record(run, workspace), provide_model(workspace, model, run) as language:
            prompts = prompts_of(run, store)
            if config.policy:
                load_policy(language, workspace.run(config.policy), run)  # a plan has to know which layers it is in
            if model is None:
                say_plan(STAGE, config, language, material_of(language, prompts, config.prompt_tokens), run)
            _draw_missing(run, store, language, prompts, config)
            _conclude(run, store, prompts, language)
    return run


def work(config: SampleConfig, material: Material, shape: Shape) -> Work:
    """What a run will have to do."""
    from plaudit.models.sampling import rows_at_once

    positions = material.prompt_tokens + config.max_tokens
    counts = [n for n in (config.answers - config.hinted, config.hinted) if n]
    draws = [
        Draw(material.prompts * n, config.max_tokens, rows_at_once(n, positions, material.prompts)) for n in counts
    ]
    prefill = Pass(len(counts) * material.prompts * material.prompt_tokens, shape.layers)
    return Work(tuple(draws), (prefill,), merged=bool(config.policy), adapters=bool(config.policy))


def _policy_run(workspace: Workspace, config: SampleConfig) -> Mapping[str, Run | Path]:
    return {"policy": policy_run(workspace, config.policy)} if config.policy else {}


def _draw_missing(
    run: Run, store: FeedbackStore, model: LanguageModel, prompts: Sequence[Prompt], config: SampleConfig
) -> None:
    """Draw and store the chunks that are not stored yet."""
    from plaudit.models.sampling import chunks

    policy = "policy" if config.policy else None
    parts = chunks(model, prompts, config.drawing)
    stored = {response.prompt_id for response in store.responses(run_id=run.id)}
    missing = [part for part in parts if part.prompts[0].id not in stored]
    total = sum(len(part.prompts) for part in parts)
    run.drop_metrics_after(missing[0].number if missing else total)  # a cut may have fallen between log and store
    with bar("Sampling answers", total, "prompts", done=total - sum(len(p.prompts) for p in missing)) as progress:
        for part in missing:
            answers = list(_draw(run, model, policy, part, config))
            # Before the answers are stored, by which a resumed run knows what is done
            run.log(step=part.number + 1, answers=len(answers), finished_share=_finished_share(answers))
            store.add_responses(answers)
            run.count(generated=sum(answer.tokens or 0 for answer in answers))
            progress.advance(len(part.prompts), finished=_finished_share(answers))


def _draw(run: Run, model: LanguageModel, policy: str | None, part: Chunk, config: SampleConfig) -> Iterator[Response]:
    """The answers to one chunk's prompts, first those without the hint, all from one stream of random numbers."""
    from plaudit.models.chat import encode_prompt
    from plaudit.models.sampling import as_response, draw_answers

    generator = part.generator(seed_for(run.seed, "sample"))
    for hint, count in (("", config.answers - config.hinted), (config.hint, config.hinted)):
        if not count:
            continue
        encoded = [encode_prompt(model.tokenizer, add_hint(p, hint), config.prompt_tokens) for p in part.prompts]
        how = config.drawing.sampling
        drawn = draw_answers(model.trunk, encoded, count, how, model.end_ids, generator, adapter=policy)
        settings = {"max_tokens": config.max_tokens, "temperature": config.temperature, "hint": hint}
        for prompt, group in zip(part.prompts, drawn, strict=True):
            for answer in group:
                response = as_response(model, prompt, answer)
                yield replace(response, run_id=run.id, seed=run.seed, sampling=settings)


def add_hint(prompt: Prompt, hint: str) -> Prompt:
    """The prompt with the hint behind its last message."""
    *before, last = prompt.messages
    return replace(prompt, messages=(*before, replace(last, content=f"{last.content} {hint}".strip())))


def _conclude(run: Run, store: FeedbackStore, prompts: Sequence[Prompt], model: LanguageModel) -> None:
    """The run's figures, and which answers are its own: they lie in the feedback store, not in the run's folder."""
    answers = store.responses(run_id=run.id)
    run.write_json("responses.json", sorted(answer.id for answer in answers))
    run.results |= {
        "prompts": len(prompts),
        "answers": len(answers),
        "finished_share": _finished_share(answers),
        "length_tokens": sum(answer.tokens or 0 for answer in answers) / len(answers),
        "model": model.name,
    }


def _finished_share(answers: Sequence[Response]) -> float:
    return sum(answer.stop_reason is StopReason.EOS for answer in answers) / len(answers)


def _sentence(results: Results) -> str:
    finished = percent(results["finished_share"])
    return f"Sampled {results['answers']:,} answers to {results['prompts']:,} prompts; {finished} end by themselves."


STAGE = Stage(
    sample,
    SampleConfig,
    _sentence,
    flags=(
        Flag("answers", "Answers to each prompt."),
        Flag("max_tokens", "Longest answer."),
        Flag("temperature", "", "T"),
        Flag("split", "all, train or heldout.", "SIDE"),
        SOURCE,
        Flag("policy", "The align or sft run that answers.", "ID"),
    ),
    work=work,
)
