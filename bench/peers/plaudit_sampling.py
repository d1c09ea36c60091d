"""Plaudit draws the job's answers. Their end is not heard, so that every one has exactly the job's tokens."""

from __future__ import annotations

from turns import Turns

from plaudit.models.catalog import load
from plaudit.models.chat import encode_prompt
from plaudit.models.sampling import draw_answers, generator_for
from plaudit.types import Prompt, Sampling

turns = Turns()


def main() -> None:
    job = turns.job
    model = load(job["model"], dtype=job["dtype"], threads=job["threads"])
    prompts = [encode_prompt(model.tokenizer, Prompt.from_text(text)) for text in job["prompts"]]
    sampling, number = Sampling(job["max_tokens"]), 0
    while True:
        turns.begin()
        drawn = draw_answers(model.trunk, prompts, job["answers"], sampling, (), generator_for(0, number))
        turns.stop()
        answers = [answer for group in drawn for answer in group]
        turns.report(
            tokens=sum(len(answer.ids) for answer in answers),
            different=len({answer.ids for answer in answers}),
            logprob=sum(sum(answer.logprobs) for answer in answers) / sum(len(answer.ids) for answer in answers),
        )
        number += 1


main()
