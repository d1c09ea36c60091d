"""Plaudit's RLOO until the job's process is ended: a turn is an iteration, its proof the comparisons that were won.

The first turn draws the base's answers, which the rewards of both sides are put to scale by.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from turns import Turns
from wins import Wins, utility_of

from plaudit.models.catalog import load
from plaudit.models.sampling import as_response, chunks, draw_answers
from plaudit.train.configs import RlooConfig, RolloutConfig
from plaudit.train.loop import reinforce
from plaudit.train.rloo import Rloo
from plaudit.types import Drawing, Prompt, Response, Sampling, StopReason

turns = Turns()


class ByUtility:
    """A scorer; see `plaudit.models.reward_model.Scorer`."""

    def __init__(self, wins: Wins) -> None:
        self.wins = wins

    def score(self, prompts: Sequence[Prompt], answers: Sequence[Response], *_: object) -> Tensor:
        return torch.tensor([
            self.wins.reward(prompt.question, answer.text, answer.stop_reason is StopReason.EOS)
            for prompt, answer in zip(prompts, answers, strict=True)
        ])  # fmt: skip


def main() -> None:
    job = turns.job
    turns.begin()
    model = load(job["model"], dtype=job["dtype"], threads=job["threads"])
    prompts = [Prompt.from_text(text) for text in job["prompts"]]
    base = job["base"] or base_utilities(model, prompts, job)
    turns.stop()
    turns.report(base=base)
    rollout = RolloutConfig(
        prompts=job["rollout_prompts"], answers=job["answers"], max_tokens=job["max_tokens"], unfinished_penalty=0
    )
    config = RlooConfig(iterations=job["iterations"], learning_rate=job["learning_rate"], rollout=rollout)
    wins = Wins(base)
    learner = Rloo(model, ByUtility(wins), config, job["seed"])

    def log(figures: dict[str, float]) -> None:
        turns.stop()
        turns.report(**wins.take(), kl_nats=figures["kl_nats"])
        turns.begin()

    folder = Path(job["scratch"]) / "policy"
    folder.mkdir()
    turns.begin()
    reinforce(model, learner, ByUtility(wins), prompts, job["seed"], folder, log)


def base_utilities(model, prompts: Sequence[Prompt], job) -> dict[str, list[float]]:
    drawing = Drawing(job["base_answers"], Sampling(job["max_tokens"]), RolloutConfig().prompt_tokens)
    found: dict[str, list[float]] = {}
    for chunk in chunks(model, prompts, drawing):
        drawn = draw_answers(
            model.trunk, chunk.encoded, drawing.answers, drawing.sampling, model.end_ids, chunk.generator(0)
        )
        for prompt, group in zip(chunk.prompts, drawn, strict=True):
            answers = [as_response(model, prompt, answer) for answer in group]
            ended = [answer.stop_reason is StopReason.EOS for answer in answers]
            found[prompt.question] = [
                utility_of(prompt.question, answer.text, end) for answer, end in zip(answers, ended, strict=True)
            ]
    return found


main()
