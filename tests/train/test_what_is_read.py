"""A person, reward training, evaluation and reinforcement learning read the same tokens of an answer, its end aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plaudit.models.catalog import LanguageModel, load
from plaudit.models.chat import encode_answer, encode_prompt
from plaudit.models.reward_model import encode_group
from plaudit.models.sampling import Sampled, as_response
from plaudit.train.configs import RewardConfig, RolloutConfig
from plaudit.train.reward import untrained_reward
from plaudit.train.rollouts import collect, reread_answers, score_microbatch
from plaudit.types import Prompt, Response, StopReason

PROMPTS = [Prompt.from_text(text) for text in ("how do I make tea", "boil the water", "wait")]
ROLLOUT = RolloutConfig(prompts=3, answers=4, max_tokens=10)


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> LanguageModel:
    return load(str(tiny_folder), dtype="fp32")


@pytest.fixture(scope="module")
def reward(model: LanguageModel) -> Any:
    made = untrained_reward(model, RewardConfig(), 0)
    torch.nn.init.normal_(made.head.weight, generator=torch.Generator().manual_seed(0))
    return made


def test_a_rollouts_score_is_that_of_its_text(model: LanguageModel, reward: Any) -> None:
    from plaudit.train.configs import RlooConfig
    from plaudit.train.rloo import Rloo  # makes the policy's adapter

    Rloo(model, reward, RlooConfig(rollout=ROLLOUT), 0)
    rollouts = collect(model, "policy", reward, PROMPTS, ROLLOUT, seed=0, iteration=0)
    read = {prompt.id: prompt for prompt in PROMPTS}
    reread = 0
    for rollout in rollouts:
        reread += rollout.reread
        for answer, score in zip(rollout.answers, rollout.raw_scores_A.tolist(), strict=True):
            if answer.text:
                alone = reward.score_texts(model, [(read[answer.prompt_id], [answer])])[answer.id]
                assert score == pytest.approx(alone, abs=2e-4)
    assert reread > 0


ids = st.lists(st.integers(3, 258), min_size=1, max_size=9)


@settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))
@given(ids, st.booleans())
def test_whatever_is_sampled_is_scored_as_it_reads(
    model: LanguageModel, reward: Any, drawn: list[int], ends: bool
) -> None:
    end = model.tokenizer.eos_token_id
    written = (*drawn, end) if ends else (*drawn,)
    sampled = Sampled(written, tuple(0.0 for _ in written), StopReason.EOS if ends else StopReason.LENGTH)
    prompt = PROMPTS[0]
    answer = as_response(model, prompt, sampled)
    seen = Recorder()
    config = RolloutConfig(prompts=1, answers=2, max_tokens=10)
    score_microbatch(
        model, seen, [prompt], [encode_prompt(model.tokenizer, prompt)], [[sampled, sampled]], config, None
    )
    by_people = Response(prompt.id, answer.text, answer.stop_reason)  # what the store holds, and the app shows
    in_training = encode_group(model, prompt, [by_people], reward.settings).answers[0]
    if answer.text:
        assert seen.last == in_training == encode_answer(model.tokenizer, answer.text, answer.stop_reason)
    assert model.tokenizer.decode([i for i in in_training if i != end]).strip() == answer.text
    assert (0 in reread_answers(model, [[sampled]], [answer])) == (bool(in_training) and list(written) != in_training)


class Recorder:
    """A scorer that remembers the tokens of the first answer that it was last given."""

    last: list[int]

    def score(self, prompts: Any, answers: Any, lower_BLD: Any, packed: Any) -> torch.Tensor:
        self.last = packed.targets_AT[0, : packed.lengths_A[0]].tolist()
        return torch.zeros(len(answers))
