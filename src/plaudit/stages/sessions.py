"""What a run rests on besides its settings: which models they were, and what computed each of its sessions.

A name does not say which model it is. So a digest of weights and tokenizer is among a run's inputs, a resumed run must
find the same, and an adapter is put only on the trunk that it was trained on. Another number of threads, processor or
version rounds differently: that is said, and kept in run.json's `sessions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from plaudit.errors import UsageError
from plaudit.progress import say
from plaudit.runs import MODEL, Run

TRUNK = "model"  # role, among a run's inputs, of the model that it computes with
ROUNDING = ("threads", "processor", "instructions")  # of `models.arithmetic.Arithmetic`


def pin(run: Run, role: str, name: str) -> None:
    """Put the model `name` among the run's inputs by its digest, or compare it with the one that is there.

    Raises:
        UsageError: the run was begun with another one, and is not forced to go on with this.
    """
    from plaudit.models.identity import model_digest

    changed = f"{name} has other weights or another tokenizer"
    pin_digest(run, role, name, model_digest(name), MODEL, changed, "Put the model back")


def pin_digest(run: Run, role: str, name: str, digest: str, kind: str, changed: str, remedy: str) -> None:
    """As `pin`, for whatever else a run rests on: `changed` says in a clause what is other, `remedy` what to do."""
    known = run.inputs.get(role)
    if known and known["digest"] != digest and not run.forced:
        del run.sessions[-1]  # it computes nothing
        raise UsageError(
            f"{run.id} cannot go on: {changed} than when the run began (digest {digest[:12]}, not "
            f"{known['digest'][:12]}). {remedy}, leave --resume out to start a new run, or go on all the same by "
            "--force."
        )
    if known is None:
        run.inputs[role] = {"id": name, "digest": digest, "kind": kind}
    run.sessions[-1].setdefault("models", {})[role] = digest


def require_same(built: Run, run: Run, role: str = TRUNK) -> None:
    """UsageError where `built`, whose adapter or scale `run` uses, was made with another model than `run` has."""
    mine, its = run.inputs.get(role), built.inputs.get(role)
    if mine and its and mine["digest"] != its["digest"]:
        if its.get("kind") not in (None, MODEL):
            raise UsageError(
                f"{built.id} was made with another version of {mine['id']} than there is now (digest "
                f"{its['digest'][:12]}, not {mine['digest'][:12]}): put that back, or make {built.stage} again."
            )
        raise UsageError(_not_its_own(built, mine["id"], its))


def require_trunk(built: Run, name: str) -> None:
    """UsageError where `built`, whose adapter is to be used on the model `name`, was trained on another one."""
    from plaudit.models.identity import model_digest

    its = built.inputs.get(TRUNK)
    if its and model_digest(name) != its["digest"]:
        raise UsageError(_not_its_own(built, name, its))


def _not_its_own(built: Run, name: str, its: Mapping[str, str]) -> str:
    return (
        f"{built.id} was made with other weights or another tokenizer than {name} has now (its model was {its['id']}, "
        f"digest {its['digest'][:12]}): name that model in plaudit.toml, or make {built.stage} again with this one."
    )


def say_what_differs(run: Run) -> None:
    """One line where this session computes otherwise than the one before it."""
    if len(run.sessions) > 1 and (found := list(_differences(run.sessions[-2], run.sessions[-1]))):
        say(
            f"{run.id} goes on with {', '.join(found)}. Numbers round differently by that, so it ends a little "
            "differently from a run that was not cut."
        )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for part, names in (("versions", now.get("versions", {})), ("arithmetic", ROUNDING)):
        was, is_now = before.get(part, {}), now.get(part, {})
        for name in names:
            if was.get(name) is not None and was[name] != is_now.get(name):
                yield f"{name} {is_now.get(name)} instead of {was[name]}"
