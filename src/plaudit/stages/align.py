"""Stage three: optimise the model on the train prompts against a reward model, near where it started.

The policy is an adapter on the frozen trunk, so the run holds a few megabytes in PEFT's format. After every iteration
a checkpoint is written whole; a run that was cut goes on from it and ends with the very adapter it would have had.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from plaudit.config import config_from
from plaudit.errors import UsageError
from plaudit.models.adapters import save_adapter
from plaudit.models.catalog import LanguageModel
from plaudit.runs import Run
from plaudit.stages.inputs import open_feedback
from plaudit.stages.lifecycle import begin, finished_run, loaded, pinned, prompts_of, recorded
from plaudit.stages.scorers import prepare_scorer, reward_run_of, score_gap
from plaudit.train.ppo import PpoConfig, train_ppo
from plaudit.train.rloo import RlooConfig, train_rloo
from plaudit.types import Prompt, Split
from plaudit.workspace import Workspace

Training = RlooConfig | PpoConfig
TRAINING: dict[str, type[Training]] = {"rloo": RlooConfig, "ppo": PpoConfig}
LAST_FIGURES = ("reward_mean", "kl_nats", "finished_share", "length_tokens")  # of the last iteration, as results


@dataclass(frozen=True)
class AlignConfig:
    algorithm: Literal["rloo", "ppo"] = "rloo"
    training: Training = field(default_factory=RlooConfig)
    source: str | None = None  # only prompts from here
    reward: str | None = None  # id of the reward run that guides; None: the newest
    reward_model: str | None = None  # a sequence classifier instead: a folder or Hugging Face id

    def __post_init__(self) -> None:
        if not isinstance(self.training, TRAINING[self.algorithm]):
            raise ValueError(f"training holds the settings of another algorithm than {self.algorithm}")
        if self.reward and self.reward_model:
            raise ValueError("reward names a run and reward_model a model from elsewhere; give one of them")


def default_config(algorithm: str) -> AlignConfig:
    """An algorithm's configuration where nothing is set. UsageError for an unknown algorithm."""
    return align_config({"algorithm": algorithm})


def align_config(mapping: Mapping[str, Any]) -> AlignConfig:
    """Build the configuration strictly: what `training` may hold depends on `algorithm`."""
    algorithm = mapping.get("algorithm", "rloo")
    if algorithm not in TRAINING:
        raise UsageError(f"There is no algorithm {algorithm}; use {' or '.join(TRAINING)}.")
    training = config_from(TRAINING[algorithm], mapping.get("training", {}), "the configuration's training")
    return config_from(AlignConfig, {**mapping, "algorithm": algorithm, "training": training})


def align(
    workspace: Workspace,
    config: AlignConfig,
    *,
    seed: int,
    resume: bool = False,
    model: LanguageModel | None = None,
) -> Run:
    """Train the adapter `policy` and leave it in the run's `adapter/`."""
    with open_feedback(workspace) as store:

        def find() -> list[Prompt]:
            return prompts_of(workspace, store, Split.TRAIN, config.source)

        if not resume:
            find()  # says that there are none before a run is begun
        run, config = begin(
            workspace, "align", config, seed, resume, lambda: _reward_input(workspace, config), align_config
        )
        with recorded(run, workspace, default_config(config.algorithm)), loaded(workspace, model, run) as language:
            prompts = pinned(run, store, find)
            scorer = prepare_scorer(workspace, run, store, prompts, language)
            run.results |= score_gap(workspace, run, store, scorer, language)
            log = _logger(run, config.training)
            if isinstance(config.training, PpoConfig):
                train_ppo(language, scorer, prompts, config.training, run.seed, run.checkpoint_dir, log)
            else:
                train_rloo(language, scorer, prompts, config.training, run.seed, run.checkpoint_dir, log)
            save_adapter(language.trunk, "policy", run.adapter_dir, language.name)
            run.results |= _results(workspace, run, config, len(prompts), language)
    shutil.rmtree(run.checkpoint_dir, ignore_errors=True)  # only once the run is finished: it is all that resume has
    return run


def _reward_input(workspace: Workspace, config: AlignConfig) -> Mapping[str, Run | Path]:
    return {} if config.reward_model else {"reward": finished_run(workspace, "reward", config.reward)}


def _logger(run: Run, training: Training) -> Callable[[dict[str, float]], None]:
    """Write an iteration's metrics and count its tokens. The first call of a resumed run forgets the lines of
    iterations that come after the checkpoint, because they are about to come again.
    """
    first = True

    def log(metrics: dict[str, float]) -> None:
        nonlocal first
        if first:
            run.drop_metrics_after(int(metrics["step"]) - 1)
            first = False
        run.log(**metrics)
        drawn = round(metrics["length_tokens"] * training.rollout.prompts * training.rollout.answers)
        run.count(generated=drawn, trained=drawn * (training.epochs if isinstance(training, PpoConfig) else 1))

    return log


def _results(workspace: Workspace, run: Run, config: AlignConfig, prompts: int, model: LanguageModel) -> dict[str, Any]:
    rows = run.metrics()
    last = {name: rows[-1].get(name) for name in LAST_FIGURES} if rows else {}
    reward = reward_run_of(workspace, run)
    return {
        **last,
        "algorithm": config.algorithm,
        "iterations": config.training.iterations,
        "prompts": prompts,
        "guided_by": reward.id if reward else config.reward_model,
        "model": model.name,
    }
