"""Anybody on the network: who guesses passwords, keeps others from signing in, listens, or keeps the server busy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import update
from starlette.requests import HTTPConnection

from plaudit.feedback.events.log import timestamp
from plaudit.feedback.events.schema import invitations, sessions, throttles, tokens
from plaudit.web import people, security, throttle
from plaudit.web.app import _may_send_much, create_app, environment, serving
from plaudit.web.forwarded import Forwarded, proper_proxies
from plaudit.web.people import Role
from plaudit.web.security import LARGEST_FORM_BYTES, Guard
from plaudit.web.site import Site
from plaudit.web.texts import RefusalError
from plaudit.web.throttle import (
    ATTEMPTS_BY_ADDRESS,
    ATTEMPTS_BY_NAME,
    ATTEMPTS_BY_NAME_ANYWHERE,
    ATTEMPTS_BY_ONE,
    RIGHT_BY_NAME,
    by_name_and_address,
)
from plaudit.web.tokens import Scope
from tests.web.conftest import PASSWORD, Browser, browser_of, invite, sign_in

Sends = list[dict[str, Any]]


def guess(site: Site, name: str, address: str) -> int | None:
    """The refusal's status, or None where the password is looked at."""
    try:
        site.throttle.attempt(by_name_and_address(name, address))
    except RefusalError as refusal:
        return refusal.status
    return None


def test_who_guesses_a_name_locks_its_person_out_nowhere_else(
    site: Site, join: Any, browser: Callable[[], Browser]
) -> None:
    ann = join("ann")
    assert [guess(site, "ann", "203.0.113.7") for _ in range(ATTEMPTS_BY_NAME + 1)][-2:] == [None, 429]
    elsewhere = browser()
    elsewhere.get("/signin")
    assert elsewhere.send("/signin", name="ann", password=PASSWORD).status_code == 303
    changed = ann.send("/account/password", current=PASSWORD, new="another battery horse")
    assert (changed.status_code, changed.headers.get("location")) == (303, "/account?notice=notice-password")


def test_who_guesses_the_current_password_is_told_when_to_go_on(join: Any) -> None:
    ann = join("ann")
    tries = [
        ann.send("/account/password", current="wrong password", new="another battery horse")
        for _ in range(ATTEMPTS_BY_NAME + 1)
    ]
    assert [it.status_code for it in tries[-2:]] == [422, 429]
    assert int(tries[-1].headers["retry-after"]) > 0


def test_who_guesses_from_many_addresses_is_stopped(site: Site) -> None:
    tries = [guess(site, "ann", f"203.0.113.{n}") for n in range(ATTEMPTS_BY_NAME_ANYWHERE + 1)]
    assert tries == [None] * ATTEMPTS_BY_NAME_ANYWHERE + [429]


def test_who_guesses_from_many_addresses_does_not_keep_out_whoever_signed_in_here_before(
    site: Site, join: Any, browser: Callable[[], Browser]
) -> None:
    join("ann"), join("ben")
    anns, strangers = browser(), browser()
    sign_in(anns, "ann", PASSWORD)
    anns.get("/account")
    anns.send("/signout")
    for name in ("ann", "ben"):
        for n in range(ATTEMPTS_BY_NAME_ANYWHERE):
            guess(site, name, f"203.0.113.{n}")
    assert sign_in(strangers, "ann", PASSWORD).status_code == 429
    assert sign_in(anns, "ben", PASSWORD).status_code == 429, "known as ann alone"
    assert sign_in(anns, "ANN ", PASSWORD).status_code == 303


def test_who_signs_in_again_and_again_is_stopped(site: Site, join: Any, browser: Callable[[], Browser]) -> None:
    """Each takes a processor for a while: somebody with an account could keep all others from theirs."""
    join("ann"), join("ben")
    statuses = [sign_in(browser(), "ann", PASSWORD).status_code for _ in range(RIGHT_BY_NAME + 3)]
    assert statuses == [303] * RIGHT_BY_NAME + [429] * 3
    assert sign_in(browser(), "ben", PASSWORD).status_code == 303


def test_who_changes_the_password_again_and_again_is_stopped(join: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "RIGHT_BY_NAME", 4)
    ann, words, statuses = join("ann"), [PASSWORD, "another battery horse"], []
    for n in range(6):
        ann.get("/account")
        statuses.append(ann.send("/account/password", current=words[n % 2], new=words[1 - n % 2]).status_code)
    assert statuses == [303] * 4 + [429] * 2


def test_a_password_from_an_earlier_version_soon_takes_no_longer_than_others(
    site: Site, join: Any, browser: Callable[[], Browser]
) -> None:
    """The time that it takes would tell a stranger whose name there is."""
    join("ann")
    slow = Argon2Hasher(time_cost=3, memory_cost=65_536, parallelism=4).hash(PASSWORD)
    site.accounts._set("ann", password_hash=slow)
    assert sign_in(browser(), "ann", PASSWORD).status_code == 303
    renewed = site.accounts.hash_of("ann")
    assert renewed is not None
    assert not people.is_outdated(renewed)
    assert people.is_outdated(slow)
    assert sign_in(browser(), "ann", PASSWORD).status_code == 303


def test_a_link_a_token_and_a_session_of_a_clock_that_was_wrong_once_open_nothing(
    site: Site, join: Any, browser: Callable[[], Browser]
) -> None:
    """They would last for years beyond what anybody meant."""
    ann, link = join("ann"), invite(site, Role.OWNER)
    token = site.tokens.make(site.accounts.known("ann"), "script", Scope.ANNOTATE, 7)
    later = timestamp(datetime.now(UTC) + timedelta(days=900))
    with site.store.writing() as connection:
        for table, columns in (
            (sessions, ("created_at", "seen_at")),
            (invitations, ("created_at", "expires_at")),
            (tokens, ("created_at", "expires_at")),
        ):
            connection.execute(update(table).values(dict.fromkeys(columns, later)))
    assert ann.get("/account").status_code == 303
    assert browser().get(f"/join/{link}").status_code == 404
    with pytest.raises(RefusalError, match="link-used"):
        site.accounts.join(link, "mallory", PASSWORD, "en")
    assert site.tokens.find(token) is None


def test_a_slash_too_many_tells_no_link_without_https(browser: Callable[[], Browser]) -> None:
    assert browser().get("/join/abc/").status_code == 404


def test_a_browser_that_is_known_guesses_no_more_than_others(
    app: FastAPI, join: Any, browser: Callable[[], Browser]
) -> None:
    join("ann")
    anns = browser()
    sign_in(anns, "ann", PASSWORD)
    anns.get("/account")
    anns.send("/signout")
    tries = []
    for _ in range(ATTEMPTS_BY_ONE + 1):
        elsewhere = browser()  # the cookie goes with it, the address does not
        elsewhere.client.cookies = anns.client.cookies
        tries.append(sign_in(elsewhere, "ann", "wrong password").status_code)
    assert tries == [422] * ATTEMPTS_BY_ONE + [429]


def test_a_browser_is_known_for_one_password_and_says_nobodys_name(
    site: Site, join: Any, browser: Callable[[], Browser]
) -> None:
    ann, thief = join("ann"), browser()
    answer = sign_in(thief, "ann", PASSWORD)
    (known,) = (it for it in answer.headers.get_list("set-cookie") if "_known_" in it)
    assert "ann" not in known
    assert "HttpOnly" in known
    thief.get("/account")
    thief.send("/signout")
    ann.send("/account/password", current=PASSWORD, new="another battery horse")
    for n in range(ATTEMPTS_BY_NAME_ANYWHERE):
        guess(site, "ann", f"203.0.113.{n}")
    assert sign_in(thief, "ann", "another battery horse").status_code == 429


def test_who_guesses_at_one_address_keeps_nobody_there_from_changing_a_password(site: Site, join: Any) -> None:
    ann = join("ann")
    address = ann.client._transport.client[0]  # type: ignore[attr-defined]
    for n in range(ATTEMPTS_BY_ADDRESS):
        guess(site, f"name {n}", address)
    assert ann.send("/account/password", current=PASSWORD, new="another battery horse").status_code == 303


def test_one_network_of_ipv6_is_one_guesser(site: Site) -> None:
    tries = [guess(site, "ann", f"2001:db8::{n:x}") for n in range(ATTEMPTS_BY_NAME + 1)]
    assert tries[-2:] == [None, 429]
    assert guess(site, "ann", "2001:db8:0:1::1") is None


def test_who_is_over_the_limit_waits_for_no_turn_to_write(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(ATTEMPTS_BY_NAME):
        guess(site, "ann", "203.0.113.7")
    monkeypatch.setattr(type(site.store), "writing", lambda _: pytest.fail("waits for the turn to write"))
    assert guess(site, "ann", "203.0.113.7") == 429


def test_a_clock_that_was_wrong_once_locks_nobody_out(site: Site) -> None:
    for _ in range(ATTEMPTS_BY_NAME):
        guess(site, "ann", "203.0.113.7")
    with site.store.writing() as connection:
        connection.execute(update(throttles).values(since=timestamp(datetime.now(UTC) + timedelta(days=900))))
    assert guess(site, "ann", "203.0.113.7") is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8911", "label.example.org"])
def test_behind_https_cookies_and_browsers_stay_with_https(tmp_path: Path, host: str) -> None:
    """Also behind a proxy that passes neither the Host nor the scheme on."""
    site = Site.open(str(tmp_path / "feedback.db"), tmp_path, "https://label.example.org")
    page = browser_of(create_app(site, ["localhost", "label.example.org"])).get("/signin", headers={"Host": host})
    assert page.status_code == 200
    assert "Strict-Transport-Security" in page.headers
    assert "; Secure" in page.headers["set-cookie"]
    site.close()


def test_a_site_of_the_same_domain_signs_nobody_in_under_its_own_account(site: Site, join: Any) -> None:
    """It can set cookies for the whole domain, but none of a name that browsers take from the host alone."""
    join("mallory")
    public = create_app(replace(site, public_url="https://label.example.org"), ["label.example.org"])
    mallorys, victims = browser_of(public), browser_of(public)
    for it in (mallorys, victims):
        it.client.base_url = "https://label.example.org"
        answer = it.get("/signin")
    set_by_the_site = SimpleCookie(answer.headers["set-cookie"])
    assert all(name.startswith("__Host-") and it["path"] == "/" for name, it in set_by_the_site.items())
    for name, value in mallorys.client.cookies.items():
        victims.client.cookies.set(name.removeprefix("__Host-"), value, domain=".example.org")
    victims.csrf = mallorys.csrf
    assert victims.send("/signin", name="mallory", password=PASSWORD).status_code == 403
    mallorys.headers["Sec-Fetch-Site"] = "same-site"
    assert mallorys.send("/signin", name="mallory", password=PASSWORD).status_code == 403


def test_behind_https_signing_in_and_out_goes_by_cookies_of_this_host(site: Site, join: Any) -> None:
    join("ann")
    person = browser_of(create_app(replace(site, public_url="https://label.example.org"), ["label.example.org"]))
    person.client.base_url = "https://label.example.org"
    assert sign_in(person, "ann", PASSWORD).status_code == 303
    assert person.get("/account").status_code == 200
    ended = person.send("/signout").headers["set-cookie"]
    assert ended.startswith("__Host-plaudit_session_")
    assert "Secure" in ended, "else browsers keep the cookie"
    assert person.get("/account").status_code == 303


@pytest.mark.parametrize(
    "host", ["localhost/x", "localhost#@evil.example", "user:pw@localhost", "localhost:", "localhost?", "[::1", ""]
)
def test_a_host_that_is_more_than_a_name_is_not_answered(browser: Callable[[], Browser], host: str) -> None:
    assert browser().get("/signin", headers={"Host": host}).status_code == 400


def test_the_address_of_a_link_is_told_to_nobody(browser: Callable[[], Browser]) -> None:
    answer = browser().get("/join/nothing")
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/signin", 413), ("/join/x", 413), ("/account/password", 413), ("/api/judgements", 401), ("/lead/project", 401)],
)
def test_who_is_not_signed_in_sends_little(browser: Callable[[], Browser], path: str, status: int) -> None:
    """Where those who are signed in may send much, a browser keeps it until somebody signs in: 401, and not 413."""
    stranger = browser()
    stranger.get("/signin")
    assert stranger.client.post(path, content=b"&" * (LARGEST_FORM_BYTES + 1)).status_code == status


def test_who_is_signed_in_sends_a_long_answer(site: Site, join: Any) -> None:
    ann = join("ann")
    assert ann.post("/api/judgements", {"reason": "x" * 100_000}).status_code == 422


def test_half_a_request_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "BODY_SECONDS", 0.05)
    sent: Sends = []

    async def app(*_: Any) -> None:
        pytest.fail("half a request is no request")

    async def receive() -> dict[str, Any]:
        if not sent_half:
            sent_half.append(1)
            return {"type": "http.request", "body": b"name=ol", "more_body": True}
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    sent_half: list[int] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/signin",
        "scheme": "http",
        "headers": [(b"host", b"localhost")],
    }
    asyncio.run(Guard(app, ["localhost"])(scope, receive, send))
    assert sent[0]["status"] == 408


@pytest.mark.parametrize("sender", ["cross-site", "same-site"])
def test_another_site_sends_nothing_in_somebodys_name(join: Any, browser: Callable[[], Browser], sender: str) -> None:
    """Also a sibling under the same domain, and also the sign-in form."""
    join("ann")
    stranger = browser()
    stranger.get("/signin")
    stranger.client.headers["Sec-Fetch-Site"] = sender
    assert stranger.send("/signin", name="ann", password=PASSWORD).status_code == 403


def test_a_cookie_with_another_signature_is_nobody(site: Site) -> None:
    forged = site.secret.sign("form", "x").encode()
    cookie = b"plaudit_session_" + site.secret.cookie_suffix.encode() + b"=" + forged
    scope = {"type": "http", "path": "/api/judgements", "headers": [(b"host", b"localhost"), (b"cookie", cookie)]}
    assert not asyncio.run(_may_send_much(site, HTTPConnection(scope)))


def seen_from(trusted: Sequence[str], sender: str, **told: str) -> tuple[str, str]:
    """The address and the scheme that the app takes a request to come from and by."""
    seen: list[tuple[str, str]] = []

    async def app(scope: Any, *_: Any) -> None:
        seen.append((scope["client"][0], scope["scheme"]))

    headers = [(f"x-forwarded-{name}".encode(), value.encode()) for name, value in told.items()]
    scope = {"type": "http", "scheme": "http", "client": (sender, 5000), "headers": headers}
    asyncio.run(Forwarded(app, trusted)(scope, None, None))  # type: ignore[arg-type]
    return seen[0]


@pytest.mark.parametrize(
    ("trusted", "sender", "told", "address"),
    [
        ((), "127.0.0.1", "198.51.100.77", "127.0.0.1"),  # any program on this machine
        (("10.0.0.7",), "127.0.0.1", "198.51.100.77", "127.0.0.1"),  # only those named are believed
        (("10.0.0.7",), "10.0.0.7", "198.51.100.77", "198.51.100.77"),
        (("10.0.0.0/24",), "10.0.0.9", "192.0.2.1, 198.51.100.77", "198.51.100.77"),  # the first is what a visitor sent
        (("10.0.0.7",), "::ffff:10.0.0.7", "::ffff:198.51.100.77", "198.51.100.77"),  # listening on IPv6
        (("10.0.0.7",), "10.0.0.7", "not an address at all", "10.0.0.7"),
        (("10.0.0.7",), "10.0.0.7", "198.51.100.77, unknown", "10.0.0.7"),
        (("10.0.0.7",), "10.0.0.7", "", "10.0.0.7"),
    ],
)
def test_only_a_named_proxy_says_who_asks(trusted: tuple[str, ...], sender: str, told: str, address: str) -> None:
    assert seen_from(trusted, sender, **{"for": told}) == (address, "http")


def test_only_a_named_proxy_says_that_it_was_asked_by_https() -> None:
    assert seen_from((), "127.0.0.1", proto="https")[1] == "http"
    assert seen_from(("::1",), "::1", proto="https")[1] == "https"


def test_without_a_proxy_nobody_is_believed_and_with_one_this_machine() -> None:
    assert proper_proxies(None, None) == ()
    assert proper_proxies(None, "https://label.example.org") == ("127.0.0.1", "::1")
    assert proper_proxies(["10.0.0.7"], "https://label.example.org") == ("10.0.0.7",)


def test_made_up_addresses_give_no_further_guesses(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a worker process, too, which is told by its environment whom to believe."""
    for name, value in environment(str(tmp_path / "feedback.db"), tmp_path, None, ["localhost"], ["10.9.9.9"]).items():
        monkeypatch.setenv(name, value)
    worker = serving()
    guesser = browser_of(worker)
    guesser.get("/signin")
    tries = []
    for n in range(ATTEMPTS_BY_NAME + 1):
        guesser.headers = {"X-Forwarded-For": f"198.51.100.{n}"}
        tries.append(guesser.send("/signin", name="ann", password="wrong password").status_code)
    assert tries == [422] * ATTEMPTS_BY_NAME + [429]
    worker.state.site.close()


@pytest.mark.parametrize(
    "password",
    [
        "1234567890", "aaaaaaaaaa", "passwordpassword", "ｐａｓｓｗｏｒｄ１２３", "qwertyuiop", "sunshine22!",
        "plaudit2026", "ann lee 1999", "AnnLeeAnnLee", "hospital north", "1" * 200,
    ],
)  # fmt: skip
def test_a_password_that_is_tried_first_is_refused(site: Site, password: str) -> None:
    site.store.change_settings(replace(site.store.settings(), name="Hospital North"), "the test")
    with pytest.raises(RefusalError) as refused:
        site.accounts.join(invite(site, Role.ANNOTATOR), "Ann Lee", password, "en")
    assert refused.value.code == "password-weak"
    site.accounts.join(invite(site, Role.ANNOTATOR), "Ann Lee", PASSWORD, "en")
    with pytest.raises(RefusalError, match="password-weak"):
        site.accounts.change_password(site.accounts.known("Ann Lee"), PASSWORD, password)


@pytest.mark.parametrize(
    "password",
    ["correct horse battery", "東京タワー大好き2026です", "9f8a7c6b5d", "€uro" + "correct horse battery " * 8],
)
def test_a_password_that_takes_long_to_guess_is_taken(site: Site, password: str) -> None:
    site.accounts.join(invite(site, Role.ANNOTATOR), "ann", password, "en")
    assert site.accounts.authenticate("ann", password) is not None
