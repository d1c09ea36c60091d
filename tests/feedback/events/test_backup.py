"""A backup holds everything, fits into either kind of database, and is refused when it is not whole."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.events.schema import SECRETS, accounts, events
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Judgement, Prompt, Ranking, Response, Task

ON_BOTH_DATABASES = True


@pytest.fixture
def lived_in(store: FeedbackStore, world: list[Task]) -> FeedbackStore:
    prompt = Prompt.from_text('Grüße? "\x00\n 👋')
    store.add_prompts([prompt])
    store.add_responses([Response(prompt.id, "half\x00way")])
    store.publish_guidelines({"en": "Be kind", "ja": "親切に"}, "lead")
    for task in world:
        store.assign(task.id, "ana", (3, 2, 1, 0))
        store.submit(Judgement(f"j{task.id}", task.id, "ana", Ranking((task.response_ids,)), seconds=0.1))
    store.retract(f"j{world[0].id}", "ana")
    store.withdraw(entry_id=f"j{world[1].id}", reason="asked to", actor="lead")
    account = {"role": "owner", "password_hash": "$argon2", "language": "ja", "created_at": "2026"}
    with store._writing() as connection:
        connection.execute(insert(accounts).values(annotator_id="ana", **account))
    return store


@pytest.fixture
def other(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FeedbackStore]:
    """An empty store of the other kind."""
    place = tmp_path / "other.db" if database == "postgresql" else request.getfixturevalue("emptied_postgresql")
    with FeedbackStore.open(place) as opened:
        yield opened


def everything(store: FeedbackStore) -> list[object]:
    with store._reading() as connection:
        return [connection.execute(select(table)).all() for table in (events, *SECRETS)]


def test_it_comes_back_in_the_other_kind_of_database(
    lived_in: FeedbackStore, other: FeedbackStore, tmp_path: Path
) -> None:
    file = tmp_path / "new" / "backup.zip"
    count = lived_in.back_up(file)
    assert count == lived_in.counts()["events"]
    assert other.restore(file) == count
    assert everything(other) == everything(lived_in)
    assert other.judgements(False) == lived_in.judgements(False)
    assert other.responses() == lived_in.responses()
    assert other.counts() == lived_in.counts()
    assert other.verify() == []
    assert other.next_assignment("ana") == lived_in.next_assignment("ana")
    assert [p.name for p in file.parent.iterdir()] == ["backup.zip"]


def test_only_an_empty_store_takes_a_backup(lived_in: FeedbackStore, tmp_path: Path) -> None:
    lived_in.back_up(tmp_path / "backup.zip")
    with pytest.raises(UsageError, match="into an empty feedback store only"):
        lived_in.restore(tmp_path / "backup.zip")
    with pytest.raises(UsageError, match="exists already"):
        lived_in.back_up(tmp_path / "backup.zip")
    assert lived_in.verify() == []


def forged(file: Path, name: str, change: object) -> Path:
    """A copy of the backup in which one part is changed."""
    copy = file.with_name(f"forged {file.name}")
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(copy, "w") as written:
        for part in archive.namelist():
            text = archive.read(part).decode()
            written.writestr(part, change(text) if part == name else text)  # type: ignore[operator]
    return copy


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("events.jsonl", lambda text: text.replace("Be kind", "Be mean"), "its events are not those"),
        ("events.jsonl", lambda text: text[: text.rindex('{"seq"')], "its events are not those"),
        ("accounts.jsonl", lambda text: text.replace("owner", "OWNER"), "its accounts are not those"),
        ("manifest.json", lambda text: text.replace("feedback-1", "feedback-9"), "newer Plaudit"),
        ("manifest.json", lambda text: text[:-20], "no whole backup"),
        ("manifest.json", lambda text: json.dumps({"format": "other"}), "newer Plaudit"),
        ("manifest.json", lambda text: "[]", "no whole backup"),
        ("manifest.json", lambda text: json.dumps(json.loads(text) | {"revision": 2}), "no whole backup"),
        ("manifest.json", lambda text: json.dumps(json.loads(text) | {"parts": []}), "no whole backup"),
        ("events.jsonl", lambda text: text.replace('"seq": 2', '"seq": 1'), "its events are not those"),
        ("events.jsonl", lambda text: text.replace('"actor"', '"actr"'), "its events are not those"),
        ("events.jsonl", lambda text: "[1]\n", "its events are not those"),
    ],
)
def test_what_was_tampered_with_is_refused_and_nothing_restored(
    store: FeedbackStore, tmp_path: Path, name: str, change: object, sentence: str
) -> None:
    with FeedbackStore.open(tmp_path / "source.db") as source:
        source.publish_guidelines({"en": "Be kind"}, "lead")
        source.act("owner", "invite", "ben", {})
        with source._writing() as connection:
            row = {"annotator_id": "a", "role": "owner", "password_hash": "x", "language": "en", "created_at": "2026"}
            connection.execute(insert(accounts).values(row))
        source.back_up(tmp_path / "backup.zip")
    with pytest.raises(PlauditError, match=sentence):
        store.restore(forged(tmp_path / "backup.zip", name, change))
    assert store.counts()["events"] == 0
    store.restore(tmp_path / "backup.zip")
    assert store.verify() == []


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04 but cut"])
def test_another_file_is_refused(store: FeedbackStore, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "backup.zip").write_bytes(content)
    with pytest.raises(UsageError, match="no whole backup"):
        store.restore(tmp_path / "backup.zip")


def test_a_missing_file_is_refused(store: FeedbackStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        store.restore(tmp_path / "none.zip")


class EnoughError(Exception):
    """So that the store is empty again."""


def test_a_single_wrong_bit_is_one_sentence_or_does_no_harm(store: FeedbackStore, tmp_path: Path) -> None:
    with FeedbackStore.open(tmp_path / "source.db") as source:
        source.publish_guidelines({"en": "Be kind " * 20}, "lead")
        source.back_up(tmp_path / "backup.zip")
    whole, damaged = (tmp_path / "backup.zip").read_bytes(), tmp_path / "damaged.zip"
    refused, step = 0, max(1, 8 * len(whole) // 200)
    for bit in range(0, 8 * len(whole), step):
        forged = bytearray(whole)
        forged[bit // 8] ^= 1 << bit % 8
        damaged.write_bytes(forged)
        try:
            with store.transaction():
                store.restore(damaged)
                raise EnoughError
        except PlauditError:
            refused += 1
        except EnoughError:
            pass
    assert store.counts()["events"] == 0
    assert refused > 100


def test_a_forgery_with_digests_of_its_own_is_refused(store: FeedbackStore, tmp_path: Path) -> None:
    with FeedbackStore.open(tmp_path / "source.db") as source:
        source.publish_guidelines({"en": "Be kind"}, "lead")
        source.act("owner", "invite", "ben", {})
        source.back_up(tmp_path / "backup.zip")
    with zipfile.ZipFile(tmp_path / "backup.zip") as archive:
        events_part = archive.read("events.jsonl").decode()
    for old, new in (
        ('"actor"', '"actr"'),
        ('"seq": 2', '"seq": 1'),
        ('"guidelines-published"', '"rumour"'),
        ("{", "["),
    ):
        part = events_part.replace(old, new)
        digest = hashlib.sha256(part.encode()).hexdigest()
        file = forged(tmp_path / "backup.zip", "events.jsonl", lambda _, part=part: part)
        file = forged(file, "manifest.json", lambda text, digest=digest: with_digest(text, digest))
        with pytest.raises(UsageError, match="no whole backup"):
            store.restore(file)
        assert store.counts()["events"] == 0


def with_digest(text: str, digest: str) -> str:
    manifest = json.loads(text)
    manifest["parts"]["events"]["sha256"] = digest
    return json.dumps(manifest)
