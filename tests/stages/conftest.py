"""A workspace with a few prompts on the tiny model, and the whole chain run on it once."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from plaudit.feedback.store import FeedbackStore
from plaudit.runs import Run
from plaudit.types import Prompt, Split
from plaudit.workspace import Workspace

QUESTIONS = (
    "How do I make tea?", "Why is the sky blue?", "How do I boil an egg?", "What makes bread rise?",
    "How can I sleep better?", "What is a good gift?", "How do I clean a wooden table?", "Why do cats purr?",
    "How do I fold a shirt?", "What should I cook tonight?",
)  # fmt: skip
HELDOUT = 3  # the last of them, with a reference answer each


def fill(workspace: Workspace) -> None:
    """Put the questions into the workspace's feedback."""
    with FeedbackStore.open(workspace.database) as store:
        store.add_prompts([Prompt.from_text(q, "test") for q in QUESTIONS[:-HELDOUT]], Split.TRAIN)
        held = [Prompt.from_text(q, "test") for q in QUESTIONS[-HELDOUT:]]
        store.add_prompts(held, Split.HELDOUT)
        store.add_demonstrations([(prompt.id, "Boil the water, and wait a little.") for prompt in held])


@pytest.fixture
def workspace(tmp_path: Path, tiny_folder: Path) -> Workspace:
    made = Workspace.create(tmp_path / "w", str(tiny_folder))
    fill(made)
    return made


@dataclass(frozen=True)
class Chain:
    """Every stage's run, each with quick settings."""

    workspace: Workspace
    sample: Run
    panel: Run
    reward: Run
    align: Run
    evaluate: Run


def _quick_training(algorithm: str = "rloo", iterations: int = 3, **more: object) -> dict[str, object]:
    rollout = {"prompts": 2, "answers": 2, "max_tokens": 8}
    training = {"iterations": iterations, "learning_rate": 0.01, "rollout": rollout}
    return {"algorithm": algorithm, "training": training, **more}


@pytest.fixture
def quick_training() -> Callable[..., dict[str, object]]:
    """What `align_config` is to be given for training that takes a second."""
    return _quick_training


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Chain:
    from plaudit.models.catalog import load
    from plaudit.stages.align import align, align_config
    from plaudit.stages.evaluate import EvaluateConfig, evaluate
    from plaudit.stages.panel import PanelConfig, panel
    from plaudit.stages.reward import RewardStageConfig, reward
    from plaudit.stages.sample import SampleConfig, sample

    made = Workspace.create(tmp_path_factory.mktemp("chain") / "w", str(tiny_folder))
    fill(made)
    model = load(str(tiny_folder))
    common = {"seed": 0, "model": model}
    return Chain(
        made,
        sample(made, SampleConfig(answers=4, max_tokens=8), **common),
        panel(made, PanelConfig(), **common),
        reward(made, RewardStageConfig(), **common),
        align(made, align_config(_quick_training()), **common),
        evaluate(made, EvaluateConfig(answers=2), **common),
    )


@pytest.fixture
def copied(chain: Chain, tmp_path: Path) -> Workspace:
    """The chain's workspace to write into: the chain itself stays as it is for the other tests."""
    shutil.copytree(chain.workspace.path, tmp_path / "copied")
    return Workspace.open(tmp_path / "copied")
