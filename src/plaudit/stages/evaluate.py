"""The proof: the base against the aligned policy on held-out prompts, both drawn alike, by every measure there is.

Where a simulated panel judged, its hidden utility compares the answers, which the policy never saw. Where people judged
there is no such judge at hand: the reward model's win rate is then all there is, and it is no proof, because the policy
was optimised for just that. The run says which of the two holds.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from plaudit.evaluate.comparison import Answered, Side, compare, sample_pairs
from plaudit.models.adapters import load_adapter
from plaudit.models.catalog import LanguageModel
from plaudit.models.conversation import pack
from plaudit.models.process import release
from plaudit.models.reward_model import Scorer
from plaudit.models.sampling import Chunk, Drawing, Sampled, Sampling, chunks, sample
from plaudit.progress import Bar, bar
from plaudit.runs import Run
from plaudit.stages.inputs import ROLE, feedback_read, open_feedback, reading_for
from plaudit.stages.lifecycle import begin, finished_run, loaded, pinned, prompts_of, recorded
from plaudit.stages.scorers import reward_run_of, scorer_of
from plaudit.train.rollouts import answer_logprobs, as_response
from plaudit.types import Prompt, Split
from plaudit.workspace import Workspace

ROWS = 4  # prompts, with all their answers, in one micro-batch of the measuring pass


@dataclass(frozen=True)
class EvaluateConfig:
    answers: int = 4  # to each prompt, from either side
    prompts: int = 200  # at most so many held-out prompts, drawn by the seed
    max_tokens: int | None = None  # None: as in the align run
    temperature: float | None = None  # None: as in the align run
    source: str | None = None  # only prompts from here
    align: str | None = None  # id of the align run that is put to the proof; None: the newest

    def __post_init__(self) -> None:
        if self.answers < 1 or self.prompts < 1:
            raise ValueError("answers and prompts must be at least 1")


def evaluate(
    workspace: Workspace,
    config: EvaluateConfig,
    *,
    seed: int,
    resume: bool = False,
    model: LanguageModel | None = None,
) -> Run:
    """Draw answers from both sides, compare them, and write `summary.json` and `samples.json`.

    It takes a minute and keeps no checkpoint: a resumed run draws the same answers again.
    """
    with open_feedback(workspace) as store:

        def find(seed: int) -> list[Prompt]:
            return _drawn(prompts_of(workspace, store, Split.HELDOUT, config.source), config, seed)

        if not resume:
            find(seed)  # says that there are none before a run is begun
        run, config = begin(
            workspace,
            "evaluate",
            config,
            seed,
            resume,
            lambda: {"align": finished_run(workspace, "align", config.align), ROLE: feedback_read(store)},
        )
        with recorded(run, workspace, EvaluateConfig()), loaded(workspace, model, run) as language:
            prompts = pinned(run, store, lambda: find(run.seed))
            with reading_for(run, store):
                references = store.demonstrations({prompt.id for prompt in prompts})
            aligned = workspace.run(run.inputs["align"]["id"])
            base, policy = _both_sides(run, workspace, aligned, prompts, _drawing(config, aligned), language)
            _conclude(run, references, reward_run_of(workspace, aligned), aligned, base, policy)
    return run


def _drawn(prompts: list[Prompt], config: EvaluateConfig, seed: int) -> list[Prompt]:
    """At most `config.prompts` of them, in their order."""
    if len(prompts) <= config.prompts:
        return prompts
    return [prompts[i] for i in sorted(random.Random(seed).sample(range(len(prompts)), config.prompts))]


def _drawing(config: EvaluateConfig, aligned: Run) -> Drawing:
    trained = aligned.config["training"]["rollout"]
    max_tokens = trained["max_tokens"] if config.max_tokens is None else config.max_tokens
    temperature = trained["temperature"] if config.temperature is None else config.temperature
    return Drawing(config.answers, Sampling(max_tokens, temperature), trained["prompt_tokens"])


def _both_sides(
    run: Run, workspace: Workspace, aligned: Run, prompts: Sequence[Prompt], drawing: Drawing, model: LanguageModel
) -> tuple[Side, Side]:
    load_adapter(model.trunk, "policy", aligned.adapter_dir)
    scorer = scorer_of(workspace, aligned, model)
    parts = chunks(model, prompts, drawing)
    with bar("Answering held-out prompts", 2 * len(prompts), "prompts") as progress:
        base = answer(model, None, scorer, parts, drawing, 2 * run.seed, progress)
        policy = answer(model, "policy", scorer, parts, drawing, 2 * run.seed + 1, progress)
    run.count(generated=sum(response.tokens or 0 for response in (*base.responses, *policy.responses)))
    return base, policy


@torch.no_grad()
def answer(
    model: LanguageModel,
    adapter: str | None,
    scorer: Scorer,
    parts: Sequence[Chunk],
    drawing: Drawing,
    seed: int,
    progress: Bar,
) -> Side:
    """One side's answers, scored, and with their KL from the base where the side has an adapter."""
    answered: list[list[Answered]] = []
    for part in parts:
        n, generator = drawing.answers, part.generator(seed)
        drawn = sample(model.trunk, part.encoded, n, drawing.sampling, model.end_ids, generator, adapter=adapter)
        for first in range(0, len(part.prompts), ROWS):
            rows = slice(first, first + ROWS)
            answered += _measured(model, adapter, scorer, part.prompts[rows], part.encoded[rows], drawn[rows], drawing)
            progress.advance(len(part.prompts[rows]))
    return Side([prompt for part in parts for prompt in part.prompts], answered)


def _measured(
    model: LanguageModel,
    adapter: str | None,
    scorer: Scorer,
    prompts: Sequence[Prompt],
    encoded: Sequence[list[int]],
    drawn: Sequence[Sequence[Sampled]],
    drawing: Drawing,
) -> list[list[Answered]]:
    """One micro-batch: the lower layers once; reward model, reference and policy go on from there."""
    trunk = model.trunk
    packed = pack(encoded, [[a.ids for a in group] for group in drawn], dtype=trunk.dtype, device=trunk.device)
    lower = trunk.lower(packed.tokens)
    responses = [as_response(model, p, a) for p, group in zip(prompts, drawn, strict=True) for a in group]
    rewards = scorer.score([p for p in prompts for _ in range(drawing.answers)], responses, lower, packed)
    kl_nats = torch.zeros(len(responses))
    if adapter is not None:
        temperature = drawing.sampling.temperature
        mine, base = (answer_logprobs(trunk, name, lower, packed, temperature)[0] for name in (adapter, None))
        release()
        kl_nats = (mine - base).sum(1)
    flat = [Answered(*row) for row in zip(responses, rewards.tolist(), kl_nats.tolist(), strict=True)]
    return [flat[i : i + drawing.answers] for i in range(0, len(flat), drawing.answers)]


def _conclude(
    run: Run, references: Mapping[str, Sequence[str]], reward: Run | None, aligned: Run, base: Side, policy: Side
) -> None:
    """Compare, and write what was found."""
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
