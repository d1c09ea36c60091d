"""Whose policy is meant: `sft` and `align` leave one, which can answer, be gone on from, and be held near to.

A policy that goes on from another takes over its adapter whole, with its rank, its scale and its layers: what it has
learned is in the adapter, and the base stays the base however often the loop is walked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from plaudit.errors import UsageError
from plaudit.runs import Run, RunStatus
from plaudit.stages import Flag
from plaudit.stages.guides import ROLES
from plaudit.stages.sessions import require_same
from plaudit.types import Drawing, Sampling
from plaudit.workspace import Workspace

if TYPE_CHECKING:
    from plaudit.models.catalog import LanguageModel

STAGES = ("align", "sft")
ADAPTER = ("rank", "alpha", "layers")  # settings that a policy keeps from the one that it goes on from
POLICY, REFERENCE = "policy", "reference"  # versions of the model
BASE = "base"
START = Flag("start", "The align or sft run whose policy to go on from. Default: the base.", "ID")
_Config = TypeVar("_Config")


def policy_run(workspace: Workspace, run_id: str) -> Run:
    """The finished run of that id that has a policy. UsageError where it has none, or is cut."""
    run = workspace.run(run_id)
    if run.stage not in STAGES or run.status is not RunStatus.FINISHED:
        raise UsageError(
            f"{run_id} is no finished {' or '.join(STAGES)} run, so it has no policy. "
            f"`plaudit runs -w {workspace.path}` lists them."
        )
    return run


def is_guided(run: Run) -> bool:
    """Whether a reward stands behind the run: a reward run, or one from elsewhere, is among its inputs."""
    return any(role.partition("-")[0] in ROLES.values() for role in run.inputs)


def drawn_as(built: Run) -> Drawing:
    """How the policy of a run is to answer, one answer a prompt: as it did in training, or as long as what it read."""
    training = built.config["training"]
    if rollout := training.get("rollout"):
        return Drawing(1, Sampling(rollout["max_tokens"], rollout["temperature"]), rollout["prompt_tokens"])
    return Drawing(1, Sampling(built.results["max_tokens"]), training["prompt_tokens"])


def load_policy(model: LanguageModel, built: Run, run: Run, name: str = POLICY) -> str:
    """Add the policy of `built` to the model that `run` computes with, as the version `name`, which is returned."""
    require_same(built, run)
    model.trunk.load_adapter(name, built.adapter_dir)
    return name


def with_start(workspace: Workspace, config: Any) -> Any:
    """The configuration with the adapter's settings of the policy that it goes on from.

    Raises:
        UsageError: there is no such policy, or the configuration asks for another adapter than it has.
    """
    if config.start is None:
        if getattr(config, "reference", BASE) == "start":
            raise UsageError("reference is start, but there is none: name a run by --start, or leave reference out.")
        return config
    began, standard = policy_run(workspace, config.start), type(config.training)()
    kept = {name: began.config["training"].get(name, getattr(standard, name)) for name in ADAPTER}
    for name, value in kept.items():
        asked = getattr(config.training, name)
        if asked not in (value, getattr(standard, name)):
            raise UsageError(
                f"The policy of {began.id} has {name} {value}, not {asked}, and one that goes on from it keeps that: "
                f"leave training.{name} out."
            )
    return replace(config, training=replace(config.training, **kept))


def policy_inputs(workspace: Workspace, config: Any) -> dict[str, Run]:
    """The runs that a policy goes on from and is held near to, where those are named, by role."""
    named = {"start": config.start}
    reference = getattr(config, "reference", BASE)
    if reference != BASE:
        named["reference"] = config.start if reference == "start" else reference
    return {role: policy_run(workspace, run_id) for role, run_id in named.items() if run_id is not None}


def go_on(run: Run, workspace: Workspace, model: LanguageModel) -> None:
    """Put the policy that `run` goes on from in place of the new one, where it goes on from any."""
    if began := run.inputs.get("start"):
        built = workspace.run(began["id"])
        require_same(built, run)
        model.trunk.fill_adapter(POLICY, built.adapter_dir)


def load_reference(run: Run, workspace: Workspace, model: LanguageModel) -> str | None:
    """The version that the policy is held near to: that of the run named, or the base."""
    if named := run.inputs.get("reference"):
        return load_policy(model, workspace.run(named["id"]), run, REFERENCE)
    return None


def reference_in_words(config: Any) -> str:
    """`the base`, or the id of a run."""
    named = config.start if config.reference == "start" else config.reference
    return "the base" if named == BASE else str(named)
