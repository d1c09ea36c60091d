"""What all endpoints share: the store, the people in it, the key, the templates, and the figures of the dashboard.

Figures over a million judgements take most of a minute, so they are not computed more often than they are worth: what
is shown may be some minutes old, and says of when.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from plaudit.errors import PlauditError
from plaudit.feedback.events.log import timestamp
from plaudit.web.accounts import Accounts
from plaudit.web.label_store import LabelStore
from plaudit.web.people import LEAST_CHARACTERS
from plaudit.web.secret import Secret, key_of
from plaudit.web.sessions import Sessions
from plaudit.web.texts import LANGUAGES, teller, translator
from plaudit.web.throttle import Throttle
from plaudit.web.tokens import Tokens
from plaudit.web.withdrawals import Withdrawals
from plaudit.workspace import Workspace

if TYPE_CHECKING:
    from plaudit.web.oidc import Provider

COMPUTING = "The figures are being computed. Look again in a moment."
WORTH = 20  # a report is kept for so many times as long as it took
MOST_QUESTIONS = 20  # of which reports are kept
FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Computed:
    report: dict[str, Any] | None
    why_not: str  # in English: what is missing
    at: str
    until: float  # on time.monotonic()'s clock


class Figures:
    def __init__(self, store: LabelStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._last: dict[str | None, Computed] = {}  # by question; None: the project's
        self._forgotten = 0  # how often

    def report(self, question: str | None = None) -> Computed:
        """The newest report on the answers to a question, or the last while it is fresh enough or another is computed.

        Only one is computed at a time, and nobody waits for somebody else's: annotators need the threads.
        """
        last = self._last.get(question)
        if last is not None and time.monotonic() <= last.until:
            return last
        if not self._lock.acquire(blocking=False):
            return last or Computed(None, COMPUTING, timestamp(datetime.now(UTC)), 0.0)
        try:
            forgotten = self._forgotten
            computed = self._compute(question)
            if forgotten == self._forgotten:  # else it may rest on what is no longer so
                known = self._last if question in self._last or len(self._last) < MOST_QUESTIONS else {}
                self._last = known | {question: computed}
            return computed
        finally:
            self._lock.release()

    def forget(self) -> None:
        """Compute anew next time."""
        self._forgotten += 1
        self._last = {}

    def _compute(self, question: str | None) -> Computed:
        from plaudit.feedback.quality.report import (
            quality_report,
        )  # brings numpy and scipy, which no annotator's page needs

        began, at = time.monotonic(), timestamp(datetime.now(UTC))
        try:
            report, why_not = quality_report(self._store, question).as_dict(), ""
        except PlauditError as refusal:
            report, why_not = None, str(refusal)
        return Computed(report, why_not, at, began + (time.monotonic() - began) * WORTH)


@dataclass(frozen=True)
class Site:
    store: LabelStore
    secret: Secret
    accounts: Accounts
    sessions: Sessions
    throttle: Throttle
    tokens: Tokens
    withdrawals: Withdrawals
    figures: Figures
    templates: jinja2.Environment
    public_url: str | None = None  # where people reach it, when that is not where it listens
    oidc: Provider | None = None  # with which people may sign in

    @property
    def is_https(self) -> bool:
        """Whether people reach it by HTTPS alone."""
        return (self.public_url or "").startswith("https:")

    @classmethod
    def open(
        cls, database: str | Path, folder: Path, public_url: str | None = None, oidc: Provider | None = None
    ) -> Site:
        """The site of the workspace in `folder`, whose feedback store is `database`. PlauditError as that one."""
        secret = Secret(key_of(folder))
        store = LabelStore.open(database)
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        accounts, sessions, throttle = Accounts(store), Sessions(store), Throttle(store)
        tokens, figures = Tokens(store, secret), Figures(store)
        workspace = Workspace(name=folder.name, feedback=str(database), path=folder)
        withdrawals = Withdrawals(store, workspace)
        return cls(
            store, secret, accounts, sessions, throttle, tokens, withdrawals, figures, environment, public_url, oidc
        )

    def stamp(self, name: str) -> str:
        """What stands for an account with the password that it has now, and says nothing to who reads it."""
        account = self.accounts.find(name)
        return self.secret.account_key(f"{account.name}\0{self.accounts.hash_of(account.name)}") if account else ""

    def close(self) -> None:
        self.store.close()

    def render(self, template: str, language: str, **context: Any) -> str:
        """A page. Its context is documented in `pages.py` and `lead_pages.py`."""
        common = {
            "t": translator(language),
            "tell": teller(language),
            "language": language,
            "languages": list(LANGUAGES.items()),
            "account": None,
            "csrf": "",
            "here": "",
            "project": self.store.settings().name,
            "provider": self.oidc.name if self.oidc else None,
            "problem": None,
            "notice": None,
            "least_characters": LEAST_CHARACTERS,
        }
        return self.templates.get_template(template).render(common | context)
