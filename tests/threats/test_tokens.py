"""Whoever has, or guesses, the token of somebody's script: what it opens, what it never opens, and what ends it."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, update

from plaudit.feedback.events.log import timestamp
from plaudit.feedback.events.schema import assignments, tokens
from plaudit.feedback.exchange.exports import export_judgements
from plaudit.feedback.quality.report import quality_report
from plaudit.files import to_json
from plaudit.web.people import Role
from plaudit.web.secret import Secret
from plaudit.web.site import Site
from plaudit.web.texts import RefusalError
from plaudit.web.tokens import MOST_A_DAY, MOST_TOKENS, Scope, Tokens
from tests.web.conftest import PASSWORD, Browser, add_tasks, browser_of, days_pass, done, invite

NEXT = "another battery horse"
SHOWN = re.compile(r"plaudit_[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@pytest.fixture
def script_of(app: FastAPI) -> Callable[..., Browser]:
    """A client with nothing but a token that the person has made on the account page."""

    def made(person: Browser, scope: str = "annotate", days: int = 90) -> Browser:
        answer = person.send("/account/tokens", name="nightly", scope=scope, days=str(days))
        assert answer.status_code == 200, answer.text
        script = browser_of(app)
        script.client.headers["Authorization"] = f"Bearer {SHOWN.findall(answer.text)[0]}"
        return script

    return made


def reads(script: Browser) -> int:
    return int(script.get("/api/said").status_code)


def works(script: Browser) -> int:
    return int(script.get("/api/task").status_code)


def test_a_script_annotates_as_its_maker(site: Site, join: Any, script_of: Any) -> None:
    add_tasks(site, 1)
    ann = join("ann")
    script = script_of(ann)
    assert script.judge().status_code == 200
    assert [judgement.annotator_id for judgement in site.store.judgements()] == ["ann"]
    assert reads(script) == 403


def test_a_leads_script_reads_what_the_command_line_writes(
    site: Site, join: Any, script_of: Any, tmp_path: Path
) -> None:
    add_tasks(site, 3, overlap=2)
    for person in (join("ann"), join("ben")):
        for _ in range(3):
            person.judge()
    script = script_of(join("lea", Role.LEAD), "read")
    export_judgements(site.store, tmp_path / "said.jsonl")
    assert script.get("/api/said").content == (tmp_path / "said.jsonl").read_bytes()
    of_one = script.get("/api/said?annotator=ann").text.splitlines()
    assert {json.loads(line)["annotator"] for line in of_one} == {"ann"}
    assert script.get("/api/quality").text == to_json(quality_report(site.store).as_dict())
    assert script.get("/api/said?annotator=nobody").status_code == 422
    assert works(script) == 403


def test_the_token_is_shown_once_and_the_database_has_its_hash(
    site: Site, join: Any, script_of: Any, tmp_path: Path
) -> None:
    ann = join("ann")
    token = script_of(ann).client.headers["Authorization"].removeprefix("Bearer ")
    assert not SHOWN.search(ann.get("/account").text)
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("feedback.db*"))
    assert token.encode() not in stored
    assert token.removeprefix("plaudit_").split(".")[0].encode() not in stored


ENDINGS: dict[str, Callable[[Site, Browser, Browser], Any]] = {
    "revoked": lambda site, lea, olga: lea.send("/account/tokens/revoke", id=site.tokens.of("lea")[0].id),
    "revoked by the owner": lambda site, lea, olga: olga.send(
        "/lead/people/revoke-token", id=site.tokens.of("lea")[0].id
    ),
    "disabled and enabled": lambda site, lea, olga: [
        olga.send(f"/lead/people/{act}", name="lea") for act in ("disable", "enable")
    ],
    "demoted and promoted": lambda site, lea, olga: [
        olga.send("/lead/people/role", name="lea", role=role) for role in ("annotator", "lead")
    ],
    "password changed": lambda site, lea, olga: lea.send("/account/password", current=PASSWORD, new=NEXT),
    "password set by a link": lambda site, lea, olga: site.accounts.join(
        site.accounts.invite_again(site.accounts.known("olga"), "lea"), "lea", NEXT, "en"
    ),
    "signed out everywhere": lambda site, lea, olga: lea.send("/account/sign-out-everywhere"),
    "signed out by the owner": lambda site, lea, olga: olga.send("/lead/people/revoke", name="lea"),
    "expired": lambda site, lea, olga: days_pass(site, 91),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_ends_a_token_ends_it_for_good(site: Site, join: Any, script_of: Any, ending: str) -> None:
    lea, olga = join("lea", Role.LEAD), join("olga", Role.OWNER)
    script = script_of(lea, "read")
    assert reads(script) == 200
    ENDINGS[ending](site, lea, olga)
    assert reads(script) == 401


def test_a_role_below_what_the_scope_needs_ends_only_that(site: Site, join: Any, script_of: Any) -> None:
    lea, olga = join("lea", Role.LEAD), join("olga", Role.OWNER)
    script = script_of(lea)
    olga.send("/lead/people/role", name="lea", role="annotator")
    assert works(script) == 200
    assert lea.send("/account/tokens", name="x", scope="read", days="7").status_code == 403


def test_a_wrong_token_is_turned_down_before_the_database_is_asked(
    site: Site, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = browser_of(app)
    reading, read = site.store.reading, []
    monkeypatch.setattr(site.store, "reading", lambda: read.append(1) or reading())
    forged = Secret(b"x" * 32).sign("token", "guess")
    for token in ("plaudit_", "plaudit_guess", f"plaudit_{forged}", "plaudit_" + "x" * 5000, "plaudit_..x"):
        script.client.headers["Authorization"] = f"Bearer {token}"
        assert works(script) == 401
        large = script.post("/api/judgements", {"id": "x" * 20_000})
        assert large.status_code == 401, "no more is read of who has no token than of anybody"
    assert read == []


def test_a_session_cookie_is_no_token_and_a_token_no_cookie(site: Site, join: Any, script_of: Any) -> None:
    ann = join("ann")
    [(name, cookie)] = [(n, v) for n, v in ann.client.cookies.items() if "session" in n]
    script = script_of(ann)
    token = script.client.headers["Authorization"].removeprefix("Bearer plaudit_")
    script.client.headers["Authorization"] = f"Bearer plaudit_{cookie}"
    assert works(script) == 401
    del script.client.headers["Authorization"]
    script.client.cookies.set(name, token)
    assert works(script) == 401


def test_a_token_spares_no_browser_its_csrf_token(join: Any, script_of: Any) -> None:
    ann = join("ann")
    ann.client.headers["Authorization"] = script_of(ann).client.headers["Authorization"]
    ann.csrf = "wrong"
    assert ann.send("/account/language", language="ja").status_code == 403
    assert ann.post("/api/skips", {"assignment": "x", "reason": "y"}).status_code == 403


def test_a_proxys_own_authorization_changes_nothing(join: Any) -> None:
    ann = join("ann")
    for header in ("Basic YTpi", "Bearer eyJhbGciOi.J9"):
        ann.client.headers["Authorization"] = header
        assert works(ann) == 200


def test_nobody_revokes_the_token_of_who_is_above_them(site: Site, join: Any, script_of: Any) -> None:
    ann, lea, olga = join("ann"), join("lea", Role.LEAD), join("olga", Role.OWNER)
    for person in (ann, olga):
        script_of(person)
    [hers], [olgas] = site.tokens.of("ann"), site.tokens.of("olga")
    page = lea.get("/lead/people").text
    assert hers.id in page
    assert olgas.id not in page
    assert lea.send("/lead/people/revoke-token", id=olgas.id).status_code == 403
    assert ann.send("/account/tokens/revoke", id=olgas.id).status_code == 404
    assert lea.send("/lead/people/revoke-token", id=hers.id).status_code == 303
    assert (site.tokens.of("ann"), len(site.tokens.of("olga"))) == ([], 1)


def test_the_log_says_made_and_revoked(site: Site, join: Any, script_of: Any) -> None:
    ann, lea = join("ann"), join("lea", Role.LEAD)
    script_of(ann)
    lea.send("/lead/people/revoke-token", id=site.tokens.of("ann")[0].id)
    said = [(it.actor, it.action, it.target, it.details) for it in done(site)]
    about = {"token": "nightly", "scope": "annotate"}
    assert said == [("lea", "revoked a token", "ann", about), ("ann", "made a token", "ann", about)]


def test_a_token_lasts_a_year_at_most_and_there_is_an_end_of_them(site: Site, join: Any) -> None:
    ann = join("ann")
    assert ann.send("/account/tokens", name="x", scope="annotate", days="366").status_code == 422
    assert ann.send("/account/tokens", name="a\u202eb", scope="annotate", days="7").status_code == 422
    for _ in range(MOST_TOKENS):
        assert ann.send("/account/tokens", name="x", scope="annotate", days="365").status_code == 200
    assert ann.send("/account/tokens", name="x", scope="annotate", days="7").status_code == 409
    assert len(site.tokens.of("ann")) == MOST_TOKENS


def test_whoever_makes_and_revokes_tokens_all_day_is_stopped_and_they_are_not_kept_for_ever(
    site: Site, join: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    join("ann")
    ann = site.accounts.known("ann")

    def make_and_revoke() -> None:
        site.tokens.make(ann, "script", Scope.ANNOTATE, 7)
        site.tokens.revoke("ann", site.tokens.of("ann")[0])

    for _ in range(MOST_A_DAY):
        make_and_revoke()
    with pytest.raises(RefusalError, match="too-many-tokens-today"):
        make_and_revoke()
    days_pass(site, 100)
    make_and_revoke()
    with site.store.reading() as connection:
        assert connection.execute(select(func.count()).select_from(tokens)).scalar() == 1


def test_last_use_is_noted_and_shown(site: Site, join: Any, script_of: Any) -> None:
    ann = join("ann")
    script = script_of(ann)
    assert site.tokens.of("ann")[0].used is None
    works(script)
    used = site.tokens.of("ann")[0].used
    assert used
    works(script)
    assert site.tokens.of("ann")[0].used == used, "not a write a request"


def test_who_was_put_out_while_waiting_for_the_turn_makes_no_token(site: Site) -> None:
    for name in ("omar", "olga"):
        site.accounts.join(invite(site, Role.OWNER), name, PASSWORD, "en")
    omar = site.accounts.known("omar")
    site.accounts.disable(site.accounts.known("olga"), "omar")
    with pytest.raises(Exception, match="role"):
        site.tokens.make(site.accounts.acting(omar), "x", Scope.READ, 7)
    with site.store.reading() as connection:
        assert connection.execute(select(tokens)).all() == []


@pytest.mark.parametrize("call", ["task", "heartbeats", "skips", "judgements"])
def test_a_request_that_waits_for_its_turn_is_not_carried_out_for_a_token_that_has_ended(
    site: Site, join: Any, script_of: Any, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    add_tasks(site, 2)
    ann = join("ann")
    script = script_of(ann)
    handle = "" if call == "task" else script.task()["assignment"]
    with site.store.writing() as connection:  # so that there is something to write
        connection.execute(update(assignments).values(leased_until=timestamp(datetime.now(UTC) + timedelta(minutes=1))))
    before, find = site.store.assignments(), Tokens.find

    def meanwhile(*arguments: Any) -> Any:
        found = find(*arguments)
        ann.send("/account/tokens/revoke", id=site.tokens.of("ann")[0].id)
        return found

    monkeypatch.setattr(Tokens, "find", meanwhile)
    more: dict[str, Any] = {"skips": {"reason": "x"}, "judgements": {"id": str(uuid.uuid4()), "tiers": [[0], [1]]}}
    sent = {"assignment": handle} | more.get(call, {})
    answer = script.get("/api/task") if call == "task" else script.post(f"/api/{call}", sent)
    assert answer.status_code == 401
    assert site.store.assignments() == before
    assert (site.store.judgements(), site.store.settled_tasks("ann")) == ([], set())
