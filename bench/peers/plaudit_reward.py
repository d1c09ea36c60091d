"""Plaudit's reward model learns from the job's pairs or scores the job's answers, or the reference gives their
log-probabilities; a turn is all of them once.
"""

from __future__ import annotations

import torch
from turns import Turns, copies, distance

from plaudit.models.backbone import REFERENCE
from plaudit.models.catalog import LanguageModel, load
from plaudit.models.logprobs import answer_logprobs
from plaudit.models.packing import microbatches
from plaudit.models.reward_model import TOKENS_AT_ONCE, encode_group, pack_groups
from plaudit.models.runtime import release
from plaudit.train.configs import RewardConfig
from plaudit.train.ensemble import train_reward
from plaudit.train.reward import Group, make_batches, score_settings, untrained_reward
from plaudit.types import Preference, Prompt, Response, StopReason

turns = Turns()


def groups_of(asked: list[dict]) -> list[Group]:
    """The job's prompts with their answers, and the pairs among them of which the first is preferred."""
    groups = []
    for item in asked:
        prompt = Prompt.from_text(item["prompt"])
        answers = tuple(Response(prompt.id, text, StopReason.EOS) for text in item["answers"])
        pairs = [Preference(prompt.id, answers[a].id, answers[b].id, 1.0) for a, b in item["pairs"]]
        groups.append(Group(prompt, answers, tuple(pairs)))
    return groups


def learn(model: LanguageModel, groups: list[Group], config: RewardConfig) -> None:
    pairs = sum(len(group.preferences) for group in groups)
    while True:
        at_first = copies(untrained_reward(model, config, 0, "reward").trunk.adapter_parameters("reward"))
        model.trunk.drop_adapter("reward")
        turns.begin()
        reward, history = train_reward(model, make_batches(model, groups, config), config, 0, "reward")
        turns.stop()
        moved = distance(at_first, model.trunk.adapter_parameters("reward"))
        turns.report(pairs=pairs, steps=len(history), loss=history[-1]["loss"], moved=moved)
        model.trunk.drop_adapter(reward.adapter)


def score(model: LanguageModel, groups: list[Group], config: RewardConfig) -> None:
    reward = untrained_reward(model, config, 0)
    asked = [(group.prompt, group.answers) for group in groups]
    while True:
        turns.begin()
        scores = reward.score_texts(model, asked)
        turns.stop()
        turns.report(answers=len(scores), different=len(set(scores.values())))


@torch.no_grad()
def read(model: LanguageModel, groups: list[Group], config: RewardConfig) -> None:
    """Log-probabilities of the answers, as a micro-batch's are found for the penalty on KL."""
    settings = score_settings(model, config)
    while True:
        turns.begin()
        encoded = [encode_group(model, group.prompt, group.answers, settings) for group in groups]
        answers, tokens, nats = 0, 0, 0.0
        for indices in microbatches([group.tokens for group in encoded], TOKENS_AT_ONCE):
            packed = pack_groups(model.trunk, [encoded[i] for i in indices])
            lower_BLD = model.trunk.lower(packed.tokens)
            logprobs_AT, _ = answer_logprobs(model.trunk, REFERENCE, lower_BLD, packed, 1.0)
            answers, tokens = answers + len(logprobs_AT), tokens + int(packed.lengths_A.sum())
            nats += float(logprobs_AT.sum())
            release()
        turns.stop()
        turns.report(answers=answers, tokens=tokens, nats=nats / tokens)


def main() -> None:
    job = turns.job
    model = load(job["model"], split=job.get("split"), dtype=job["dtype"], threads=job["threads"])
    config = RewardConfig(depth=job.get("depth"), **job.get("config", {}))
    {"learn": learn, "score": score, "read": read}[job["what"]](model, groups_of(job["asked"]), config)


main()
