"""Whoever gets at a copy: another user of the machine, who reads files; a former member, whom a restore might revive;
the author of a file that is said to be a backup.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import traceback
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from plaudit.cli import main
from plaudit.errors import PlauditError
from plaudit.feedback.events import backup
from plaudit.feedback.events.log import timestamp
from plaudit.feedback.events.schema import accounts, invitations, sessions, throttles, tokens
from plaudit.feedback.exchange.exports import export_judgements, export_preferences
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.types import Prompt
from plaudit.web.label_store import LabelStore
from plaudit.web.secret import FILE, key_of
from plaudit.workspace import Workspace
from tests.threats.memory import assert_refused_in_little_memory, measurable

LATER = "2999-01-01T00:00:00.000000+00:00"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    before = os.umask(0o022)
    yield Workspace.create(tmp_path / "w")
    os.umask(before)


def open_to_others(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o077)


def test_nobody_else_reads_the_store_or_a_backup(workspace: Workspace, tmp_path: Path) -> None:
    with LabelStore.open(workspace.database) as store:
        store.add_prompts([Prompt.from_text("What is hidden?")])
        store.back_up(tmp_path / "backup.zip")
        files = [*workspace.path.glob("feedback.db*"), tmp_path / "backup.zip"]
        assert {file.name for file in files} >= {"feedback.db", "feedback.db-wal", "feedback.db-shm"}
        assert [file for file in files if open_to_others(file)] == []


@pytest.mark.parametrize("name", ["said.jsonl", "said.csv", "said.parquet"])
def test_nobody_else_reads_who_said_what(workspace: Workspace, tmp_path: Path, name: str) -> None:
    with LabelStore.open(workspace.database) as store:
        import_preferences(store, str(written(tmp_path, {"prompt": "p", "chosen": "a", "rejected": "b"})))
        export_judgements(store, tmp_path / name)
        export_preferences(store, tmp_path / f"pairs-{name}")
    assert not open_to_others(tmp_path / name)
    assert open_to_others(tmp_path / f"pairs-{name}")  # names nobody, and goes to whoever trains on it


def test_nobody_else_reads_the_records_that_were_set_aside(workspace: Workspace, tmp_path: Path) -> None:
    file = written(tmp_path, {"prompt": "p", "chosen": "a", "rejected": "b"}, "no record")
    with LabelStore.open(workspace.database) as store:
        import_preferences(store, str(file), bad_file=tmp_path / "bad.jsonl")
    assert "no record" in (tmp_path / "bad.jsonl").read_text()
    assert not open_to_others(tmp_path / "bad.jsonl")


def written(folder: Path, *rows: object) -> Path:
    (folder / "brought.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "brought.jsonl"


def test_nobody_else_reads_the_password_of_a_database(workspace: Workspace, tmp_path: Path) -> None:
    made = Workspace.create(tmp_path / "p", feedback="postgresql://labels:secret@localhost/labels")
    assert not open_to_others(made.path / "plaudit.toml")
    assert open_to_others(workspace.path / "plaudit.toml")  # a team shares what holds no secret


def test_a_restore_revives_no_session_no_link_no_token_and_no_lockout(workspace: Workspace, tmp_path: Path) -> None:
    now = timestamp(datetime.now(UTC))
    with LabelStore.open(tmp_path / "source.db") as source:
        with source.writing() as connection:
            person = {"role": "owner", "password_hash": "x", "language": "en", "created_at": now}
            connection.execute(insert(accounts).values(annotator_id="mallory", **person))
            visit = {"annotator_id": "mallory", "csrf": "c", "created_at": now, "seen_at": now}
            connection.execute(insert(sessions).values(id="cookie", **visit))
            link = {"role": "owner", "created_by": "mallory", "created_at": now, "expires_at": LATER}
            connection.execute(insert(invitations).values(id="link", **link))
            script = {"annotator_id": "mallory", "name": "x", "scope": "read", "created_at": now, "expires_at": LATER}
            connection.execute(insert(tokens).values(id="script", **script))
            connection.execute(insert(throttles).values(id="name", failures=11, since=now))
        source.back_up(tmp_path / "backup.zip")
    with LabelStore.open(workspace.database) as store:
        store.restore(tmp_path / "backup.zip")
        with store.reading() as connection:
            left = [
                len(connection.execute(select(t)).all()) for t in (accounts, sessions, invitations, tokens, throttles)
            ]
    assert left == [1, 0, 0, 0, 0]
    with zipfile.ZipFile(tmp_path / "backup.zip") as archive:
        assert sorted(archive.namelist()) == ["accounts.jsonl", "events.jsonl", "manifest.json"]


def test_a_restore_says_that_everybody_signs_in_again(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with LabelStore.open(tmp_path / "source.db") as source:
        source.add_prompts([Prompt.from_text("What is hidden?")])
        source.back_up(tmp_path / "backup.zip")
    assert main(["restore", str(tmp_path / "backup.zip"), "-w", str(workspace.path)]) == 0
    assert "Everybody signs in again" in capsys.readouterr().out


@measurable
@pytest.mark.parametrize("name", ["manifest.json", "events.jsonl"])
def test_a_small_archive_that_unpacks_to_much_is_refused_in_little_memory(
    workspace: Workspace, tmp_path: Path, name: str
) -> None:
    bomb = tmp_path / "bomb.zip"
    parts = '{"format": "plaudit-feedback-1", "revision": "0001", "parts": {"events": {}, "accounts": {}}}'
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(name, "w", force_zip64=True) as part:
            for _ in range(300):
                part.write(b" " * 1_000_000)
        if name != "manifest.json":
            archive.writestr("manifest.json", parts)
    assert_refused_in_little_memory("restore", bomb, workspace)


@measurable
@pytest.mark.parametrize(("lines", "lists"), [(1, 10_500_000), (30, 340_000)])
def test_a_small_archive_whose_events_are_millions_of_lists_is_refused_in_little_memory(
    workspace: Workspace, tmp_path: Path, lines: int, lists: int
) -> None:
    event = {"created_at": LATER, "actor": "mallory", "kind": "action", "payload": {"x": "@"}}
    listed = "[" + "[]," * lists + "1]"
    written = [json.dumps({"seq": n, "id": str(n)} | event).replace('"@"', listed) + "\n" for n in range(lines)]
    said = "".join(written).encode()
    parts = {"events": {"rows": lines, "sha256": hashlib.sha256(said).hexdigest()}}
    parts["accounts"] = {"rows": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    manifest = {"format": backup.FORMAT, "revision": "0001", "parts": parts}
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("events.jsonl", said)
        archive.writestr("accounts.jsonl", b"")
        archive.writestr("manifest.json", json.dumps(manifest))
    assert_refused_in_little_memory("restore", tmp_path / "bomb.zip", workspace)


def test_whatever_was_backed_up_is_restored(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a line longer than any that a small file may have: a data set's withdrawal names all of its judgements."""
    monkeypatch.setattr(backup, "LONGEST_LINE", 1_000)
    monkeypatch.setattr(backup, "BYTES_AT_ONCE", 1_000)
    names = [f"{random.Random(n).getrandbits(128):032x}" for n in range(1_000)]
    with LabelStore.open(tmp_path / "source.db") as source:
        source.act("lea", "named", "everybody", {"names": names})
        source.back_up(tmp_path / "backup.zip")
    with LabelStore.open(workspace.database) as store:
        store.restore(tmp_path / "backup.zip")
        assert store.actions()[0].details == {"names": names}


def test_what_a_broken_statement_held_is_in_no_traceback(tmp_path: Path) -> None:
    with LabelStore.open(tmp_path / "f.db") as store:
        person = {"role": "owner", "password_hash": "$argon2id$secret", "language": "en", "created_at": "2026"}
        row = insert(accounts).values(annotator_id="olga", **person)
        with store.writing() as connection:
            connection.execute(row)
            with pytest.raises(IntegrityError) as caught:
                connection.execute(row)
    assert "secret" not in str(caught.value)


def test_nor_what_postgresql_says_of_a_row(postgresql_url: str) -> None:
    with LabelStore.open(postgresql_url) as store:
        person = {"role": None, "password_hash": "$argon2id$secret", "language": "en", "created_at": "2026"}
        with store.writing() as connection, pytest.raises(IntegrityError) as caught:
            connection.execute(insert(accounts).values(annotator_id="olga", **person))
    said = "".join(traceback.format_exception(caught.value))
    assert "null value" in said
    assert "secret" not in said


@pytest.mark.parametrize("content", ["", "00ff", "no key at all"])
def test_a_key_that_anybody_could_guess_signs_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    (tmp_path / FILE).chmod(0o600)
    with pytest.raises(PlauditError, match="must hold 32 bytes"):
        key_of(tmp_path)
