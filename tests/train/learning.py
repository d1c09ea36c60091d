"""What the tests of reinforcement learning share: the tiny model, a reward that can be computed, every algorithm."""

import pytest

from plaudit.models.catalog import load
from plaudit.progress import quiet
from plaudit.train.configs import ALGORITHMS, ReinforcementConfig, RolloutConfig
from plaudit.train.loop import reinforce
from plaudit.types import Prompt

PROMPTS = [Prompt.from_text(text) for text in ("how", "make tea", "boil the water", "wait")]
ROLLOUT = RolloutConfig(prompts=4, answers=8, max_tokens=8, unfinished_penalty=0.0)


class SaysEven:
    """Share of an answer's tokens that are even, in tenths: about 5 before anything is learned."""

    def score(self, prompts, answers, lower_BLD, packed):
        assert len(prompts) == len(answers) == len(packed.targets_AT)
        said = ((packed.targets_AT % 2 == 0) & packed.present_AT).sum(1)
        return 10 * said / packed.lengths_A


def fresh(tiny_folder):
    """The tiny model with larger embeddings, which are also its head: a policy can become sure of itself."""
    model = load(str(tiny_folder), dtype="fp32")
    model.trunk.head.weight.data.mul_(4)
    return model


def fresh_again(model):
    model.trunk.drop_adapter("policy")
    return model


QUICK = {"learning_rate": 0.02, "rank": 4, "rollout": ROLLOUT}


ITS_OWN = {"ppo": {"critic_learning_rate": 0.02, "critic_head_learning_rate": 0.02}}


def quick(name):
    """iterations, settings -> the learner's class and a configuration in which the tiny model learns."""

    def algorithm(iterations, **more):
        found = ALGORITHMS[name]
        return found.load(), found.config(iterations=iterations, **(QUICK | ITS_OWN.get(name, {}) | more))

    return algorithm


LEARNERS = {name: quick(name) for name, it in ALGORITHMS.items() if issubclass(it.config, ReinforcementConfig)}


rloo, ppo, grpo = LEARNERS["rloo"], LEARNERS["ppo"], LEARNERS["grpo"]


each = pytest.mark.parametrize("algorithm", LEARNERS.values(), ids=LEARNERS)


def run(model, algorithm, folder, log=lambda row: None, seed=0, scorer=None):
    learner, config = algorithm
    scorer = scorer or SaysEven()
    with quiet():
        reinforce(model, learner(model, scorer, config, seed), scorer, PROMPTS, seed, folder, log)
    return {name: p.detach().clone() for name, p in model.trunk.adapter_parameters("policy").items()}


def tiny_settings():
    from plaudit.models.lora import LoraSettings

    return LoraSettings(4)
