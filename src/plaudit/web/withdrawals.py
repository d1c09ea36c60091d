"""A lead's withdrawal of somebody's consent waits a day, in which any lead may stop it; an owner's happens at once.

A withdrawal is for good. A stolen session of a lead could take everybody's work out in a minute, and nobody could undo
that but by a backup. What waits stands in the log of actions, which is also where it is read from: asked, stopped,
carried out. What a lead asked for who was disabled, signed out everywhere, given another role or a new password since
is not carried out: it waits for a lead's or an owner's word. So does what is about somebody who has another role since,
and what a restored backup brings: it may be there to undo just that. The
running app carries out what is due, or `plaudit withdraw --due`; several workers, and the same one twice, do it once.

What was learned from judgements is not undone by that. So the runs that rest on them are named, as the command names
them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, select

from plaudit.feedback.events.log import moment_of
from plaudit.feedback.events.schema import actions
from plaudit.stages.stale import Stale, find_stale_runs
from plaudit.types import RESTORED
from plaudit.web.label_store import LabelStore
from plaudit.web.people import Account, Role
from plaudit.web.texts import RefusalError
from plaudit.workspace import Workspace

WAITS = timedelta(days=1)
ASKED, STOPPED, DONE = "asked to withdraw", "stopped the withdrawal", "withdrew"
# What the log says of whoever asked where it need not have been they: what rested on the account does so no more.
PUT_OUT = (
    "disabled",
    "role",
    "revoked",
    "signed out everywhere",
    "changed the password",
    "set a new password",
    "now signs in with the provider",
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A withdrawal that has been asked for, and is neither stopped nor carried out."""

    name: str  # whose consent
    by: str
    reason: str
    due: datetime
    stands: bool = True  # False: whoever asked was put out since, and somebody must ask again


class Withdrawals:
    def __init__(self, store: LabelStore, workspace: Workspace) -> None:
        self._store, self._workspace = store, workspace

    def ask(self, by: Account, name: str, reason: str) -> bool:
        """Withdraw all that `name` said: at once by an owner, else when the wait is over. Whether it was at once."""
        with self._store.transaction():
            if by.role is Role.OWNER:
                self._carry_out(Waiting(name, by.name, reason, datetime.now(UTC)))
                return True
            before = self.waiting().get(name)
            if before is None or not before.stands:
                self._store.act(by.name, ASKED, name, {"reason": reason})
            return False

    def stop(self, by: Account, name: str) -> None:
        """RefusalError (404) where none waits: somebody else stopped it, or it is done."""
        with self._store.transaction():
            if name not in self.waiting():
                raise RefusalError(404, "not-found")
            self._store.act(by.name, STOPPED, name, {})

    def carry_out_due(self) -> list[str]:
        """Carry out what has waited long enough; of whom."""
        if not self._due():  # nearly always: no turn to write for that
            return []
        with self._store.transaction():
            due = self._due()
            for it in due:
                self._carry_out(it)
        return [it.name for it in due]

    def _due(self) -> list[Waiting]:
        now = datetime.now(UTC)
        return [it for it in self.waiting().values() if it.stands and it.due <= now]

    def waiting(self) -> dict[str, Waiting]:
        """Whose consent -> the withdrawal that waits."""
        asked: dict[str, Waiting] = {}
        told = actions.c.action.in_((ASKED, STOPPED, DONE, RESTORED, *PUT_OUT))
        with self._store.reading() as connection:
            for row in connection.execute(select(actions).where(told).order_by(actions.c.seq)):
                if row.action in (RESTORED, *PUT_OUT):
                    doubted = [it for it in asked.values() if _casts_doubt(row, it)]
                    asked |= {it.name: replace(it, stands=False) for it in doubted}
                    continue
                asked.pop(row.target, None)
                if row.action == ASKED:
                    due = moment_of(row.created_at) + WAITS
                    asked[row.target] = Waiting(row.target, row.actor, row.details["reason"], due)
        return asked

    def stale_runs(self) -> list[Stale]:
        """The runs that rest on what is withdrawn by now, and how to make them again. PlauditError: one is damaged."""
        return find_stale_runs(self._workspace, self._store)

    def _carry_out(self, it: Waiting) -> None:
        entries = self._store.withdraw(annotator_id=it.name, reason=it.reason, actor=it.by)
        self._store.act(it.by, DONE, it.name, {"reason": it.reason, "entries": entries})


def _casts_doubt(row: Row[Any], on: Waiting) -> bool:
    about = (on.by, on.name) if row.action == "role" else (on.by,)
    return row.action == RESTORED or row.target in about
