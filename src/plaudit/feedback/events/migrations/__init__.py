"""Changes of the schema, one file a revision, run inside the caller's transaction: a failed migration leaves no trace.

A new revision: add a file to `versions/`, set `schema.REVISION` to its name, and say in it what becomes of old events
(they are never rewritten). `tests/feedback/test_schema.py` fails while the tables and the migrations disagree.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from plaudit.errors import PlauditError


def migrate(connection: Connection, place: str) -> None:
    """Bring the database behind `connection` to the newest revision. PlauditError when it is newer than that."""
    config = configuration(connection)
    try:
        command.upgrade(config, "head")
    except CommandError as error:  # the revision that it stands at is none that we know
        raise PlauditError(
            f"{place} was written by a newer Plaudit (schema newer than {head(config)}). Update Plaudit to open it."
        ) from error


def configuration(connection: Connection | None = None) -> Config:
    """What Alembic needs to know, without a file; also for making a new revision from a Python prompt."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def head(config: Config) -> str | None:
    return ScriptDirectory.from_config(config).get_current_head()
