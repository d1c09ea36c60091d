"""Signing in with an OpenID provider: somebody else's account, a forged or stolen answer, a provider that lies."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn
from fastapi import FastAPI

from plaudit.cli import main
from plaudit.errors import UsageError
from plaudit.web import oidc, oidc_deployment
from plaudit.web.app import create_app, environment, serving
from plaudit.web.cookies import cookie_name
from plaudit.web.oidc import Choice, Flow, Provider
from plaudit.web.oidc_deployment import oidc_weaknesses
from plaudit.web.people import Role
from plaudit.web.serving import _config, _listen
from plaudit.web.site import Site
from plaudit.web.texts import RefusalError
from plaudit.workspace import Workspace
from tests.web.conftest import PASSWORD, Browser, browser_of, done, invite, sign_in

pytest.importorskip("authlib", reason="The extra `oidc` is not installed")
from tests.threats.openid import CLIENT, SECRET, OpenId, running, shared_key

MINE = {"email": "ann@example.org", "email_verified": True}


@pytest.fixture(scope="module")
def started() -> Iterator[OpenId]:
    with running() as provider:
        yield provider


@pytest.fixture
def provider(started: OpenId, monkeypatch: pytest.MonkeyPatch) -> OpenId:
    monkeypatch.setenv(oidc.SECRET, SECRET)
    started.claims, started.header, started.signed_by = {}, {}, started.key
    started.calls_itself, started.is_away = None, False
    return started


@pytest.fixture
def site(tmp_path: Path, provider: OpenId) -> Iterator[Site]:
    chosen = Provider(Choice(provider.issuer, CLIENT, "example.org"))
    opened = Site.open(str(tmp_path / "feedback.db"), tmp_path, oidc=chosen)
    yield opened
    opened.close()


def begin(browser: Browser, path: str = "/signin/oidc") -> str:
    answer = browser.get(path)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def come_back(browser: Browser, **brought: str) -> Any:
    return browser.get("/signin/oidc/callback", params=brought)


def sign_in_there(browser: Browser, provider: OpenId, path: str = "/signin/oidc") -> Any:
    return come_back(browser, **provider.sign_in(begin(browser, path)))


def choose(browser: Browser, name: str = "ann") -> Any:
    browser.get("/signin/oidc/join")
    return browser.send("/signin/oidc/join", name=name, language="en")


@pytest.fixture
def bound(site: Site, app: FastAPI, provider: OpenId) -> Browser:
    """Ann, who joined by a link and the provider."""
    browser = browser_of(app)
    token = invite(site, Role.ANNOTATOR)
    answer = sign_in_there(browser, provider, f"/join/{token}/oidc")
    assert answer.headers["location"] == "/signin/oidc/join"
    assert choose(browser).status_code == 303
    assert browser.get("/work").status_code == 200
    return browser


def test_a_link_binds_and_from_then_on_the_provider_signs_in(
    site: Site, app: FastAPI, provider: OpenId, bound: Browser
) -> None:
    again = browser_of(app)
    assert sign_in_there(again, provider, "/signin/oidc?next=/history").headers["location"] == "/history"
    assert again.get("/history").status_code == 200
    assert 'name="current"' not in again.get("/account").text
    assert [(it.actor, it.action) for it in site.store.actions()] == [("ann", "signed in"), ("ann", "joined")]


def test_who_has_no_password_is_opened_by_none(site: Site, app: FastAPI, bound: Browser) -> None:
    for guess in ("", "nobody", PASSWORD):
        assert site.accounts.authenticate("ann", guess) is None
    assert sign_in(browser_of(app), "ann", "nobody").status_code == 422


def test_a_used_link_binds_nobody_else(app: FastAPI, site: Site, provider: OpenId) -> None:
    token = invite(site, Role.OWNER)
    first, second = browser_of(app), browser_of(app)
    for browser, subject in ((first, "u1"), (second, "u2")):
        provider.claims = {"sub": subject}
        sign_in_there(browser, provider, f"/join/{token}/oidc")
        assert browser.get("/signin/oidc/join").status_code == 200
    assert choose(first, "olga").status_code == 303
    assert choose(second, "mallory").status_code == 404
    assert [account.name for account in site.accounts.all()] == ["olga"]


def test_a_reset_link_moves_an_account_to_the_provider_and_back(
    site: Site, app: FastAPI, provider: OpenId, join: Any
) -> None:
    join("ben")
    olga = site.accounts.known(join("olga", Role.OWNER).name)
    browser = browser_of(app)
    sign_in_there(browser, provider, f"/join/{site.accounts.invite_again(olga, 'ben')}/oidc")
    assert choose(browser, "somebody else").status_code == 303
    assert done(site)[0].action == "now signs in with the provider"
    assert site.accounts.authenticate("ben", PASSWORD) is None, "there is one way in"
    site.accounts.join(site.accounts.invite_again(olga, "ben"), "ben", PASSWORD, "en")
    assert site.accounts.bound_to(provider.issuer, "u1") is None
    assert sign_in_there(browser_of(app), provider).status_code == 403


def test_one_sign_in_is_one_person(site: Site, app: FastAPI, provider: OpenId, bound: Browser) -> None:
    browser = browser_of(app)
    sign_in_there(browser, provider, f"/join/{invite(site, Role.OWNER)}/oidc")
    assert choose(browser, "mallory").status_code == 409


def test_the_same_e_mail_or_name_is_not_the_same_person(site: Site, app: FastAPI, provider: OpenId, join: Any) -> None:
    join("ann")
    provider.claims = {"sub": "u9", "email": "ann@elsewhere.org", "email_verified": True, "preferred_username": "ann"}
    assert sign_in_there(browser_of(app), provider).status_code == 403
    provider.claims |= MINE
    browser = browser_of(app)
    assert sign_in_there(browser, provider).headers["location"] == "/signin/oidc/join"
    assert choose(browser, "Ann").status_code == 409
    assert site.accounts.bound_to(provider.issuer, "u9") is None


def test_a_disabled_account_stays_out(site: Site, app: FastAPI, provider: OpenId, bound: Browser, join: Any) -> None:
    site.accounts.disable(site.accounts.known(join("olga", Role.OWNER).name), "ann")
    provider.claims = MINE
    assert sign_in_there(browser_of(app), provider).status_code == 403
    assert bound.get("/work").status_code == 303


def test_a_domains_people_become_annotators(site: Site, app: FastAPI, provider: OpenId) -> None:
    provider.claims = {"email": "ann@Example.org", "email_verified": True}
    browser = browser_of(app)
    sign_in_there(browser, provider)
    assert choose(browser).status_code == 303
    assert site.accounts.known("ann").role is Role.ANNOTATOR
    assert done(site) == []
    assert site.store.actions()[0].details["e-mail of"] == "Example.org"


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "ann@example.org"},
        {"email": "ann@example.org", "email_verified": False},
        {"email": "ann@example.org", "email_verified": "true"},
        {"email": "ann@example.org.evil.net", "email_verified": True},
        {"email": "ann@evil.net@example.org", "email_verified": True},
        {"email": ["ann@example.org"], "email_verified": True},
        {"email": "example.org", "email_verified": True},
    ],
)
def test_an_e_mail_that_is_not_verified_lets_nobody_in(
    site: Site, app: FastAPI, provider: OpenId, claims: dict[str, Any]
) -> None:
    provider.claims = claims
    browser = browser_of(app)
    assert sign_in_there(browser, provider).status_code == 403
    assert choose(browser).status_code == 403
    assert site.accounts.all() == []


def test_without_a_domain_only_links_let_in(site: Site, provider: OpenId, tmp_path: Path) -> None:
    chosen = Provider(Choice(provider.issuer, CLIENT))
    other = Site.open(str(tmp_path / "feedback.db"), tmp_path, oidc=chosen)
    provider.claims = MINE
    assert sign_in_there(browser_of(create_app(other)), provider).status_code == 403
    other.close()


LIES: dict[str, dict[str, Any]] = {
    "another nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "another audience": {"aud": "another"},
    "another audience, for us": {"aud": "another", "azp": CLIENT},
    "an audience beside ours": {"aud": [CLIENT, "another"], "azp": "another"},
    "another issuer": {"iss": "https://elsewhere.example"},
    "expired": {"exp": int(time.time()) - 3600},
    "no end": {"exp": None},
    "no subject": {"sub": None},
    "an empty subject": {"sub": ""},
    "a number for a subject": {"sub": 7},
    "a subject that no database takes": {"sub": "\ud800"},
    "a subject without end": {"sub": "x" * 5000},
    "made in the future": {"iat": int(time.time()) + 86400},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_token_that_is_not_for_this_sign_in_lets_nobody_in(
    app: FastAPI, provider: OpenId, bound: Browser, lie: str
) -> None:
    provider.claims = MINE | LIES[lie]
    browser = browser_of(app)
    assert sign_in_there(browser, provider).status_code == 403
    assert browser.get("/work").status_code == 303


@pytest.mark.parametrize("algorithm", ["none", "HS256", "a key of another"])
def test_a_token_that_the_provider_did_not_sign_lets_nobody_in(
    app: FastAPI, provider: OpenId, bound: Browser, algorithm: str
) -> None:
    if algorithm == "a key of another":
        provider.signed_by = OpenId().key
    else:
        provider.header, provider.signed_by = {"alg": algorithm}, shared_key(provider)
    browser = browser_of(app)
    assert sign_in_there(browser, provider).status_code == 403
    assert browser.get("/work").status_code == 303


def test_a_wrong_state_is_not_even_asked_about(app: FastAPI, provider: OpenId, bound: Browser) -> None:
    browser = browser_of(app)
    brought = provider.sign_in(begin(browser))
    for state in ("", "another", "\u00e9"):
        assert come_back(browser, code=brought["code"], state=state).status_code == 403
    assert come_back(browser, **brought, iss="https://elsewhere.example").status_code == 403
    assert brought["code"] in provider.codes
    assert come_back(browser, **brought, iss=provider.issuer).status_code == 303


def test_somebody_elses_answer_signs_nobody_in(app: FastAPI, provider: OpenId, bound: Browser) -> None:
    """Neither in a browser that began nothing, nor in one that began another sign-in."""
    mallory, victim = browser_of(app), browser_of(app)
    brought = provider.sign_in(begin(mallory))
    assert come_back(victim, **brought).status_code == 403
    begin(victim)
    assert come_back(victim, **brought).status_code == 403


def test_a_replayed_code_signs_nobody_in(site: Site, app: FastAPI, provider: OpenId, bound: Browser) -> None:
    browser = browser_of(app)
    brought = provider.sign_in(begin(browser))
    name = cookie_name(site, "oidc")
    kept = browser.client.cookies[name]
    assert come_back(browser, **brought).status_code == 303
    browser.client.cookies.clear()
    assert come_back(browser, **brought).status_code == 403, "the cookie went with the sign-in"
    browser.client.cookies.set(name, kept)
    assert come_back(browser, **brought).status_code == 403, "and the provider takes a code once"
    assert browser.get("/work").status_code == 303


def test_an_old_or_forged_cookie_is_none(
    site: Site, app: FastAPI, provider: OpenId, bound: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    from plaudit.web import oidc_pages

    browser = browser_of(app)
    monkeypatch.setattr(oidc_pages, "SECONDS", -1)
    brought = provider.sign_in(begin(browser))
    assert come_back(browser, **brought).status_code == 403
    for forged in ("x", "eyJ9.x", site.secret.sign("session", "e30=")):
        browser.client.cookies.set(cookie_name(site, "oidc"), forged)
        assert come_back(browser, **brought).status_code == 403
        assert choose(browser).status_code == 403


@pytest.mark.parametrize("path", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_nobody_is_sent_to_another_site(app: FastAPI, provider: OpenId, bound: Browser, path: str) -> None:
    browser = browser_of(app)
    browser.get("/signin/oidc", params={"next": path})
    address = browser.client.get("/signin/oidc", params={"next": path}).headers["location"]
    assert address.startswith(f"{provider.issuer}/authorize?")
    assert come_back(browser, **provider.sign_in(address)).headers["location"] == "/work"


def test_what_the_provider_calls_somebody_is_a_proposal(app: FastAPI, provider: OpenId) -> None:
    provider.claims = MINE | {"preferred_username": "<b>\ud800" + "x" * 5000}
    browser = browser_of(app)
    sign_in_there(browser, provider)
    page = browser.get("/signin/oidc/join")
    assert page.status_code == 200
    assert "&lt;b&gt;x" in page.text
    assert "<b>" not in page.text


def test_joining_needs_its_csrf_token(app: FastAPI, provider: OpenId) -> None:
    provider.claims = MINE
    browser = browser_of(app)
    sign_in_there(browser, provider)
    browser.csrf = "wrong"
    assert browser.send("/signin/oidc/join", name="ann", language="en").status_code == 403


def test_the_link_of_an_invitation_is_told_to_nobody(site: Site, app: FastAPI, provider: OpenId) -> None:
    token = invite(site, Role.ANNOTATOR)
    answer = browser_of(app).get(f"/join/{token}/oidc")
    assert token not in answer.headers["location"]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert browser_of(app).get("/join/nothing/oidc").status_code == 404


def test_a_provider_that_is_away_or_another_leaves_passwords_working(
    site: Site, app: FastAPI, provider: OpenId, join: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    join("ben")
    provider.is_away = True
    answer = browser_of(app).get("/signin/oidc")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    provider.is_away, provider.calls_itself = False, "https://elsewhere.example"
    monkeypatch.setattr(site.oidc, "_away_until", 0.0)
    assert browser_of(app).get("/signin/oidc").status_code == 403
    browser = browser_of(app)
    assert "127.0.0.1" in browser.get("/signin").text
    assert sign_in(browser, "ben", PASSWORD).status_code == 303


def test_a_provider_that_does_not_answer_holds_few_threads(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may ask to be sent there, and each who asks would wait with one of a worker's threads."""
    assert site.oidc is not None
    asked, go_on = [], threading.Event()

    def ask(*_: object) -> None:
        asked.append(1)
        go_on.wait(10)
        raise requests.ConnectTimeout

    monkeypatch.setattr(oidc, "_get", ask)
    refused: list[RefusalError] = []

    def come() -> None:
        try:
            site.oidc.address(Flow.begin(), "http://localhost/back")  # type: ignore[union-attr]
        except RefusalError as refusal:
            refused.append(refusal)

    people = [threading.Thread(target=come) for _ in range(20)]
    for person in people:
        person.start()
    until = time.monotonic() + 5
    while len(refused) < 20 - oidc.MOST_ASKING and time.monotonic() < until:
        time.sleep(0.01)
    assert (len(refused), len(asked)) == (20 - oidc.MOST_ASKING, oidc.MOST_ASKING)
    go_on.set()
    for person in people:
        person.join()
    come()
    assert len(asked) == oidc.MOST_ASKING, "who comes in the half minute after that does not ask again"
    assert {(it.code, it.retry_seconds) for it in refused} == {("oidc-away", oidc.RETRY_SECONDS)}


def test_guesses_at_the_way_back_are_counted(app: FastAPI, provider: OpenId) -> None:
    browser = browser_of(app)
    brought = provider.sign_in(begin(browser))
    statuses = [come_back(browser, code="guess", state=brought["state"]).status_code for _ in range(12)]
    assert statuses == [403] * 10 + [429] * 2


def test_a_worker_is_told_of_the_provider(
    site: Site, provider: OpenId, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(str(tmp_path / "feedback.db"), tmp_path, None, ["localhost"], (), site.oidc).items():
        monkeypatch.setenv(name, value)
    worker = serving()
    assert worker.state.site.oidc.choice == Choice(provider.issuer, CLIENT, "example.org")
    worker.state.site.close()


@pytest.mark.parametrize(
    ("issuer", "domain"),
    [
        ("http://login.example.org", None),
        ("login.example.org", None),
        ("https://x.org?y", None),
        ("https://x.org", "@x"),
    ],
)
def test_what_is_not_safe_is_not_begun(issuer: str, domain: str | None) -> None:
    with pytest.raises(UsageError, match="--oidc"):
        Choice(issuer, CLIENT, domain).check()


def test_what_is_missing_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Workspace.create(tmp_path / "w")
    command = ["label", "-w", str(tmp_path / "w"), "--oidc", "https://login.example.org"]
    monkeypatch.delenv(oidc.SECRET, raising=False)
    assert main(command) != 0
    assert "--oidc-client-id go together" in capsys.readouterr().err
    assert main([*command, "--oidc-client-id", "x"]) != 0
    assert oidc.SECRET in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "authlib", None)
    assert main([*command, "--oidc-client-id", "x"]) != 0
    assert "pip install 'plaudit[oidc]'" in capsys.readouterr().err


def test_nothing_of_it_is_imported_or_answered_without_the_option(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from plaudit.web.app import create_app; from plaudit.web.site import Site\n"
        f"app = create_app(Site.open({str(tmp_path / 'f.db')!r}, Path({str(tmp_path)!r})))\n"
        "print(sorted(m for m in sys.modules if m.startswith(('authlib', 'joserfc', 'plaudit.web.oidc'))))\n"
        "print(any('oidc' in str(path) for path in app.openapi()['paths']))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split("\n")[:2] == ["[]", "False"]


@pytest.fixture(params=[True])
def served(site: Site, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of the app, as people reach it; with the provider, or without."""
    site = site if request.param else replace(site, oidc=None)
    listening = _listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = uvicorn.Server(_config(create_app(replace(site, public_url=url))))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield url
    server.should_exit = True
    thread.join()


def test_a_deployment_with_a_provider_in_order_has_no_weakness(
    tmp_path: Path, provider: OpenId, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc_deployment, "UNITS", tmp_path)
    assert list(oidc_weaknesses(tmp_path, provider.issuer, served)) == []


@pytest.mark.parametrize(
    ("served", "known", "said"),
    [
        (True, False, "Without --public-url"),
        (True, True, "People come back to http://127.0.0.1:"),
        (False, True, "does not lead to the provider (status 404)"),
    ],
    indirect=["served"],
)
def test_a_way_back_that_leads_elsewhere_is_named(
    tmp_path: Path, provider: OpenId, served: str, monkeypatch: pytest.MonkeyPatch, known: bool, said: str
) -> None:
    monkeypatch.setattr(oidc_deployment, "UNITS", tmp_path)
    url = served.replace("127.0.0.1", "localhost") if known else None
    assert [said in it for it in oidc_weaknesses(tmp_path, provider.issuer, url)] == [True]


@pytest.mark.parametrize(
    ("issuer", "said"),
    [
        ("http://login.example.org", "must be the provider's address"),
        ("http://127.0.0.1:1", "says nothing of a provider"),
        ("another", "calls itself"),
    ],
)
def test_a_provider_that_nobody_can_sign_in_with_safely_is_named(
    tmp_path: Path, provider: OpenId, monkeypatch: pytest.MonkeyPatch, issuer: str, said: str
) -> None:
    monkeypatch.setattr(oidc_deployment, "UNITS", tmp_path)
    if issuer == "another":
        issuer, provider.calls_itself = provider.issuer, "https://login.example.org"
    assert said in next(oidc_weaknesses(tmp_path, issuer, None))


@pytest.mark.parametrize("where", ["unit", "drop-in", "environment", "workspace"])
def test_a_clients_secret_that_others_may_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    workspace, units = Workspace.create(tmp_path / "w").path, tmp_path / "units"
    (units / "plaudit.service.d").mkdir(parents=True)
    monkeypatch.setattr(oidc_deployment, "UNITS", units)
    kept = tmp_path / "plaudit.environment"
    (units / "plaudit.service").write_text(f"[Service]\nEnvironmentFile=-{kept}\n")
    file = {
        "unit": units / "plaudit.service",
        "drop-in": units / "plaudit.service.d" / "secret.conf",
        "environment": kept,
        "workspace": workspace / ".env",
    }[where]
    file.write_text(f"{'Environment=' if where in ('unit', 'drop-in') else ''}{oidc.SECRET}=hunter2\n")
    file.chmod(0o644)
    assert main(["verify", "--security", "--oidc", "http://127.0.0.1:1", "-w", str(workspace)]) == 1
    said = capsys.readouterr().out
    assert str(file) in said
    assert "hunter2" not in said
    if where in ("environment", "workspace"):
        file.chmod(0o600)
        assert [it for it in oidc_weaknesses(workspace, "http://127.0.0.1:1") if "secret" in it] == []
