"""What every answer carries, what no answer tells, and what is turned away before anything looks at it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import FastAPI

from plaudit.errors import PlauditError
from plaudit.web.people import Role
from plaudit.web.security import CONTENT_SECURITY_POLICY, LARGEST_BODY_BYTES, Guard, answered_names
from plaudit.web.site import Site
from plaudit.web.texts import LANGUAGES, SENTENCES
from tests.web.conftest import Browser, add_tasks

PATHS = ("/", "/signin", "/work", "/nothing", "/api/task", "/api/nothing", "/static/plaudit.css", "/join/x", "/lead")


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_carries_the_headers(path: str, browser: Callable[[], Browser]) -> None:
    headers = browser().get(path).headers
    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == ("no-referrer" if path.startswith("/join") else "same-origin")
    assert headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")
    assert "server" not in headers
    assert "x-powered-by" not in headers


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    rules = dict(rule.split(" ", 1) for rule in CONTENT_SECURITY_POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert {source for rule in rules.values() for source in rule.split()} == {"'none'", "'self'"}
    assert rules["script-src"] == "'self'"


INLINE = re.compile(
    r"<script(?![^>]*(src=|application/json))|\son\w+=|\sstyle=|javascript:|<(img|link|script)[^>]*https?://"
)


@pytest.mark.parametrize(
    "path", ["/signin", "/work", "/history", "/account", "/guidelines", "/lead/people", "/lead/log"]
)
def test_no_page_needs_what_the_policy_forbids(path: str, join: Any, browser: Callable[[], Browser]) -> None:
    page = (browser() if path == "/signin" else join("lea", Role.LEAD)).get(path)
    assert page.status_code == 200
    assert INLINE.findall(page.text) == []


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("localhost", True), ("localhost:8000", True), ("127.0.0.1:8000", True), ("[::1]:8000", True),
        ("192.168.1.7:8000", True), ("evil.example", False), ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False), ("", False), ("localhost:8000@evil.example", False), ("[", False),
    ],
)  # fmt: skip
def test_foreign_names_are_not_answered(host: str, answered: bool, browser: Callable[[], Browser]) -> None:
    status = browser().get("/signin", headers={"Host": host}).status_code
    assert (status == 200) == answered
    assert status in (200, 400)


def test_half_a_request_is_nobodys_request() -> None:
    """Half a form is often a proper form: what is said in it would not be what was meant."""
    parts: Any = iter(
        [{"type": "http.request", "body": b"csrf=x&text=Be kind", "more_body": True}, {"type": "http.disconnect"}]
    )
    told: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        told.append("asked")

    async def receive() -> Any:
        return next(parts)

    async def send(message: Any) -> None:
        told.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-length", b"60")]
    scope = {"type": "http", "path": "/lead/guidelines", "method": "POST", "scheme": "http", "headers": headers}
    with ThreadPoolExecutor(1) as pool:  # a thread with no event loop of its own, which browser tests leave behind
        pool.submit(lambda: asyncio.run(Guard(application, [])(scope, receive, send))).result()
    assert told == []


def test_the_names_follow_what_it_was_told() -> None:
    names = answered_names("labels.local", "https://label.example.org")
    assert {"localhost", "labels.local", "label.example.org"} <= names


def test_a_link_follows_the_public_address(site: Site, join: Any) -> None:
    from dataclasses import replace

    lead = join("lea", Role.LEAD)
    assert "http://localhost/join/" in lead.send("/lead/people/invite", role="annotator").text
    lead.client.app.state.site = replace(site, public_url="http://label.example.org/")
    assert "http://label.example.org/join/" in lead.send("/lead/people/invite", role="annotator").text


def test_large_bodies_are_turned_away(browser: Callable[[], Browser], join: Any) -> None:
    client, ann = browser().client, join("ann").client
    headers = {"Content-Type": "application/json"}
    too_much = client.post("/api/judgements", content=b"x" * (LARGEST_BODY_BYTES + 1), headers=headers)
    assert (too_much.status_code, too_much.json()["error"]) == (413, "too-large")

    def piecemeal() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * (LARGEST_BODY_BYTES // 10)

    assert ann.post("/api/judgements", content=piecemeal(), headers=headers).status_code == 413
    assert (
        client.post("/api/judgements", content=b"{}", headers=headers | {"Content-Length": "9" * 5000}).status_code
        == 413
    )
    assert client.post("/api/judgements", content=b"{}", headers=headers).status_code == 401


def test_a_bug_is_told_without_what_it_is(join: Any, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = join("ann")

    def broken(*_: Any) -> None:
        raise RuntimeError("secret detail at /home/somebody")

    monkeypatch.setattr(site.store, "next_assignment", broken)
    monkeypatch.setattr(site.sessions, "of", broken)
    for path in ("/api/task", "/account"):
        answer = ann.get(path)
        assert answer.status_code == 500
        assert "secret detail" not in answer.text
        assert "Traceback" not in answer.text
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert ann.get("/api/task").json()["error"] == "bug"


def test_a_store_that_is_away_passes(join: Any, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The browser keeps what was submitted and sends it again."""
    add_tasks(site, 1)
    ann = join("ann")
    task = ann.task()

    def full(*_: Any) -> None:
        raise PlauditError("The disk is full: nothing was written to /somewhere/feedback.db.")

    monkeypatch.setattr(site.store, "submit", full)
    answer = ann.judge(task)
    assert answer.status_code == 503
    assert "somewhere" not in answer.text
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"id": 1}', b"\xff\xfe", b'{"a": ' * 5000], ids=repr)
def test_what_is_no_json_is_malformed(content: bytes, join: Any) -> None:
    ann = join("ann")
    headers = {"Content-Type": "application/json", "X-CSRF-Token": ann.csrf}
    answer = ann.client.post("/api/judgements", content=content, headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.json()["error"] == "malformed"


def test_a_form_is_no_json(join: Any) -> None:
    """A form from elsewhere could be sent without asking; the API takes none."""
    ann = join("ann")
    body = json.dumps({"assignment": "x", "reason": "y"})
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = ann.client.post("/api/skips", content=body, headers={"Content-Type": kind, "X-CSRF-Token": ann.csrf})
        assert answer.status_code == 422


def test_a_refused_form_does_not_repeat_the_password(browser: Callable[[], Browser]) -> None:
    nobody = browser()
    nobody.get("/signin")
    answer = nobody.send("/signin", name="x" * 2000, password="my secret password")
    assert answer.status_code == 422
    assert "my secret password" not in answer.text


def test_hostile_names_and_answers_are_escaped_everywhere(site: Site, join: Any) -> None:
    add_tasks(site, 1)
    hostile = "<script>alert(1)</script>"
    lead, ann = join("lea", Role.LEAD), join(f"{hostile} ann")
    ann.judge(reason=hostile)
    lead.send("/lead/people/withdraw", name=ann.name, reason=hostile)
    lead.send("/lead/guidelines", text_en=hostile)
    lead.send("/lead/project", question=hostile, lease_minutes="15", qualification_pass="0.7", name=hostile)
    for path in ("/lead/people", "/lead/log", "/lead/guidelines", "/lead/project", "/guidelines", "/account"):
        assert "<script>alert" not in lead.get(path).text, path
    assert "<script>alert" not in ann.get("/account").text


def test_every_sentence_is_there_in_every_language() -> None:
    for code, its in SENTENCES.items():
        assert its.keys() == LANGUAGES.keys(), code
        assert len({tuple(sorted(re.findall(r"{(\w+)}", text))) for text in its.values()}) == 1, code


def test_importing_the_app_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import sys, plaudit.web.app, plaudit.web.serving, plaudit.cli.labelling; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"torch", "transformers", "matplotlib", "pandas", "datasets", "scipy", "sklearn"}
    assert heavy.isdisjoint(module.split(".")[0] for module in modules)


def test_no_documentation_is_served(app: FastAPI, browser: Callable[[], Browser]) -> None:
    assert [browser().get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")] == [404, 404, 404]
