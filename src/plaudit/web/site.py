"""What all endpoints share: the store, the people in it, the key, the templates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from plaudit.web.accounts import Accounts
from plaudit.web.figures import Figures
from plaudit.web.label_store import LabelStore
from plaudit.web.people import LEAST_CHARACTERS
from plaudit.web.secret import Secret, key_of
from plaudit.web.sentences import LANGUAGES
from plaudit.web.sessions import Sessions
from plaudit.web.texts import teller, translator
from plaudit.web.throttle import Throttle

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Site:
    store: LabelStore
    secret: Secret
    accounts: Accounts
    sessions: Sessions
    throttle: Throttle
    figures: Figures
    templates: jinja2.Environment
    public_url: str | None = None  # where people reach it, when that is not where it listens

    @classmethod
    def open(cls, database: str | Path, folder: Path, public_url: str | None = None) -> Site:
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
        return cls(store, secret, accounts, sessions, throttle, Figures(store), environment, public_url)

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
            "problem": None,
            "notice": None,
            "least_characters": LEAST_CHARACTERS,
        }
        return self.templates.get_template(template).render(common | context)
