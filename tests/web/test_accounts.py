"""Names and passwords, signing in and out, and what an account may be made to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from plaudit.feedback.events.log import timestamp
from plaudit.feedback.events.schema import accounts
from plaudit.web import people
from plaudit.web.app import create_app
from plaudit.web.people import Role, proper_name
from plaudit.web.site import Site
from plaudit.web.texts import RefusalError
from plaudit.web.visitors import own_path
from tests.web.conftest import PASSWORD, Browser, browser_of, days_pass, done, fill_in, invite, sign_in


def test_the_database_holds_no_token_and_no_password(
    site: Site, browser: Callable[[], Browser], tmp_path: Path
) -> None:
    token = invite(site, Role.ANNOTATOR)
    ann = browser()
    fill_in(ann, token)
    [signed] = [value for name, value in ann.client.cookies.items() if "session" in name]
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("feedback.db*"))
    for secret in (token, PASSWORD, signed, signed.split(".")[0]):
        assert secret.encode() not in stored
    with site.store.reading() as connection:
        assert connection.execute(select(accounts.c.password_hash)).scalar_one().startswith("$argon2id$")


def test_the_hashes_of_production_are_argon2id_of_46_mib() -> None:
    assert people.HASHER.hash("x").startswith("$argon2id$v=19$m=47104,t=1,p=1$")


def test_the_secret_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    from plaudit.errors import PlauditError
    from plaudit.web.secret import key_of

    key = key_of(tmp_path)
    assert len(key) == 32
    assert key_of(tmp_path) == key
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]
    (tmp_path / "secret.key").chmod(0o644)
    with pytest.raises(PlauditError, match="chmod 600"):
        key_of(tmp_path)


def test_many_processes_make_one_key(tmp_path: Path) -> None:
    from plaudit.web.secret import key_of

    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(key_of(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(keys)) == 1
    assert len(keys) == 8


@pytest.mark.parametrize("name", ["", "  ", "a" * 61, "dataset:x", "simulated-01", "Plaudit", "a\u202eb", "\u200b"])
def test_improper_names_are_refused(name: str) -> None:
    with pytest.raises(RefusalError):
        proper_name(name)


@pytest.mark.parametrize(
    ("typed", "kept"), [("  Ann  Lee ", "Ann Lee"), ("花子", "花子"), ("e\u0301", "é"), ("a\nb", "a b")]
)
def test_names_are_kept_tidy(typed: str, kept: str) -> None:
    assert proper_name(typed) == kept


def test_signing_in_and_out(browser: Callable[[], Browser], join: Any) -> None:
    join("Ann")
    ann = browser()
    assert ann.get("/work").headers["location"] == "/signin?next=/work"
    answer = sign_in(ann, "ann", PASSWORD, next="/history")
    assert (answer.status_code, answer.headers["location"]) == (303, "/history")
    assert ann.get("/work").status_code == 200
    assert ann.get("/signin").headers["location"] == "/work"
    before = dict(ann.client.cookies)
    ann.get("/account")
    assert ann.send("/signout").headers["location"] == "/signin"
    assert ann.get("/work").status_code == 303
    ann.client.cookies.update(before)
    assert ann.get("/work").status_code == 303, "the session ended, not only the cookie"


@pytest.mark.parametrize(
    "next_page", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:x", "/a\nb"]
)
def test_signing_in_leads_nowhere_else(next_page: str, browser: Callable[[], Browser], join: Any) -> None:
    join("ann")
    assert sign_in(browser(), "ann", PASSWORD, next=next_page).headers["location"] == "/work"
    assert own_path(next_page, "") == ""


def test_wrong_name_wrong_password_and_disabled_are_told_alike(
    site: Site, browser: Callable[[], Browser], join: Any
) -> None:
    join("ann")
    join("gone")
    join("olga", Role.OWNER)
    site.accounts.disable(site.accounts.known("olga"), "gone")
    pages = []
    for name, password in (("ann", "wrong password"), ("nobody", PASSWORD), ("gone", PASSWORD)):
        answer = sign_in(browser(), name, password)
        pages.append((answer.status_code, answer.text.count("Name and password do not match."), name in answer.text))
    assert pages == [(422, 1, True)] * 3


def test_an_unknown_name_takes_as_long(site: Site, join: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many hashes are computed, of the same cost; time itself would be a poor witness on a busy machine."""
    join("ann")
    costs: list[str] = []
    honest = people._hasher()

    class Counting:
        def verify(self, password: bytes, password_hash: str) -> bool:
            costs.append(password_hash.rsplit("$", 2)[0])
            return honest.verify(password, password_hash)

        hash = honest.hash

    monkeypatch.setattr(people, "_hasher", Counting)
    people._nobodys.cache_clear()
    site.accounts.authenticate("ann", "wrong password")
    site.accounts.authenticate("nobody", "wrong password")
    people._nobodys.cache_clear()
    assert len(costs) == 2
    assert costs[0] == costs[1]


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    browser: Callable[[], Browser], join: Any, app: FastAPI
) -> None:
    join("ann")
    answer = sign_in(browser(), "ann", PASSWORD)
    [cookie] = [c for c in answer.headers.get_list("set-cookie") if "session" in c]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie
    secure = browser_of(app)
    secure.client.base_url = "https://localhost"
    answer = sign_in(secure, "ann", PASSWORD)
    assert all("Secure" in c for c in answer.headers.get_list("set-cookie") if "Max-Age=0" not in c)
    assert "max-age" in answer.headers["strict-transport-security"]


def test_the_cookie_is_secure_behind_a_proxy_with_https(site: Site, join: Any) -> None:
    join("ann")
    public = replace(site, public_url="https://label.example.org")
    behind_proxy = browser_of(create_app(public, ["label.example.org"]))
    behind_proxy.client.base_url = "http://label.example.org"
    behind_proxy.get("/signin")
    answer = behind_proxy.client.get("/signin")
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize("spoilt", ["", "x", "unsigned-token", "{token}.badsignature", "{token}"])
def test_a_cookie_that_is_not_ours_is_none(spoilt: str, site: Site, browser: Callable[[], Browser], join: Any) -> None:
    join("ann")
    token = site.sessions.begin(site.accounts.known("ann"))
    stranger = browser()
    stranger.client.cookies.set(f"plaudit_session_{site.secret.cookie_suffix}", spoilt.format(token=token))
    assert stranger.get("/work").status_code == 303


def test_a_signature_for_one_use_is_none_for_another(site: Site) -> None:
    assert site.secret.read_signed("session", site.secret.sign("form", "x")) is None


def test_a_new_password_signs_everybody_else_out(browser: Callable[[], Browser], join: Any) -> None:
    ann = join("ann")
    elsewhere = browser()
    sign_in(elsewhere, "ann", PASSWORD)
    assert ann.send("/account/password", current="wrong password", new="another long one").status_code == 422
    assert elsewhere.get("/work").status_code == 200
    assert ann.send("/account/password", current=PASSWORD, new="short").status_code == 422
    assert ann.send("/account/password", current=PASSWORD, new="another long one").status_code == 303
    assert elsewhere.get("/work").status_code == 303
    assert ann.get("/work").status_code == 200
    assert sign_in(elsewhere, "ann", PASSWORD).status_code == 422
    assert sign_in(elsewhere, "ann", "another long one").status_code == 303


def test_signing_out_everywhere(browser: Callable[[], Browser], join: Any) -> None:
    ann, elsewhere = join("ann"), browser()
    sign_in(elsewhere, "ann", PASSWORD)
    assert ann.get("/account").text.count("<tr>") == 3
    ann.send("/account/sign-out-everywhere")
    assert ann.get("/work").status_code == elsewhere.get("/work").status_code == 303


def test_sessions_end_by_themselves(site: Site, join: Any) -> None:
    idle, old = join("idle"), join("old")
    days_pass(site, 6)
    assert idle.get("/work").status_code == 200
    assert old.get("/work").status_code == 200, "it was used, so it is not idle"
    days_pass(site, 8)
    assert idle.get("/work").status_code == 303
    old = join("older")
    for _ in range(6):
        days_pass(site, 5.1)
        last = old.get("/work").status_code
    assert last == 303, "after 30 days everybody signs in again"


def test_a_lead_puts_somebody_out(site: Site, browser: Callable[[], Browser], join: Any) -> None:
    lead, ann = join("lea", Role.LEAD), join("ann")
    assert lead.send("/lead/people/revoke", name="ann").status_code == 303
    assert ann.get("/work").status_code == 303
    sign_in(ann, "ann", PASSWORD)
    lead.send("/lead/people/disable", name="ann")
    assert ann.get("/api/task").status_code == 401
    assert sign_in(browser(), "ann", PASSWORD).status_code == 422
    lead.send("/lead/people/enable", name="ann")
    assert ann.get("/work").status_code == 303, "what ended stays ended"
    assert sign_in(browser(), "ann", PASSWORD).status_code == 303
    assert [a.action for a in done(site)] == ["enabled", "disabled", "revoked"]
    assert "revoked" in lead.get("/lead/log").text


def test_a_changed_role_holds_at_once(join: Any) -> None:
    owner, ann = join("olga", Role.OWNER), join("ann")
    assert ann.get("/lead/people").status_code == 403
    owner.send("/lead/people/role", name="ann", role="lead")
    sign_in(ann, "ann", PASSWORD)
    assert ann.get("/lead/people").status_code == 200
    owner.send("/lead/people/role", name="ann", role="annotator")
    assert ann.get("/lead/people").status_code == 403


def test_the_language_is_the_persons(browser: Callable[[], Browser], join: Any) -> None:
    hana = join("花子", language="ja")
    assert '<html lang="ja">' in hana.get("/work").text
    assert hana.get("/api/entries/none").json()["message"] == "ここに表示できるものはありません。"
    hana.send("/account/language", language="en")
    assert '<html lang="en">' in hana.get("/work").text
    nobody = browser()
    assert '<html lang="ja">' in nobody.get("/signin", headers={"Accept-Language": "fr, ja;q=0.8, en;q=0.5"}).text


def test_time_is_noted_only_now_and_then(site: Site, join: Any) -> None:
    """A write a request would make everybody wait for everybody."""
    ann = join("ann")
    seen = site.sessions.of("ann")[0].seen
    time.sleep(0.01)
    ann.get("/work")
    assert site.sessions.of("ann")[0].seen == seen
    days_pass(site, 0.02)
    ann.get("/work")
    assert site.sessions.of("ann")[0].seen > timestamp(datetime.now(UTC) - timedelta(minutes=1))
