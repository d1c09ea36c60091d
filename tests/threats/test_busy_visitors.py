"""Anybody on the network, over connections of their own making: who keeps the server waiting, or at work."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import uvicorn
from fastapi import FastAPI, Response
from sqlalchemy.event import listen

from plaudit.feedback.exchange.history import History
from plaudit.feedback.store import FeedbackStore
from plaudit.web import people, scripts, serving, wire
from plaudit.web.people import Role
from plaudit.web.security import MOST_FIELDS, PIECE_BYTES, Guard, _is_intricate
from plaudit.web.site import Site
from plaudit.web.texts import RefusalError
from plaudit.web.tokens import Scope
from tests.web.conftest import PASSWORD, Browser, add_tasks, days_pass, invite

PATIENCE_SECONDS = 0.5
LARGE_BYTES = 30_000_000  # more than the kernel keeps for a connection
ASKED = b"GET /signin HTTP/1.1\r\nHost: localhost\r\n\r\n"
SENT = b"POST /signin HTTP/1.1\r\nHost: localhost\r\nContent-Length: "


@pytest.fixture
def port(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The app as it is served, but that it has little patience."""
    monkeypatch.setattr(wire, "WHOLE_SECONDS", PATIENCE_SECONDS)
    listening = serving._listen("127.0.0.1", 0)
    server = uvicorn.Server(serving._config(app))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join()


def connect(port: int, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(sent)
    return connection


def ask(port: int, method: str, path: str, cookie: str, body: str = "") -> HTTPResponse:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    form = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    connection.request(method, path, body, {"Cookie": cookie, **form})
    answer = connection.getresponse()
    answer.read()
    return answer


def told(connection: socket.socket) -> bytes:
    """All that the server says until it ends the connection. TimeoutError where it does not."""
    said = b""
    try:
        while more := connection.recv(1 << 16):
            said += more
    except ConnectionResetError:
        pass
    return said


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", b""),
        (b"GET /signin HTT", b""),
        (ASKED[:-2], b""),
        (SENT + b"10\r\n\r\nname", b""),
        (SENT + b"1000000\r\n\r\nname", b"413"),  # answered, and the rest never comes
        (ASKED + ASKED[:20], b"200"),
    ],
)
def test_whoever_sends_half_a_request_is_hung_up_on(port: int, sent: bytes, status: bytes) -> None:
    with connect(port, sent) as connection:
        assert told(connection)[9:12] == status


def test_a_byte_now_and_then_buys_no_time(port: int) -> None:
    with connect(port, SENT + b"1000000\r\n\r\n") as connection:
        assert not keeps_listening(connection, PATIENCE_SECONDS * 4)


def keeps_listening(connection: socket.socket, seconds: float) -> bool:
    ended = time.monotonic() + seconds
    try:
        while time.monotonic() < ended:
            connection.sendall(b"x")
            time.sleep(0.05)
    except OSError:
        return False
    return True


def test_an_empty_line_between_two_requests_buys_no_time(port: int) -> None:
    with connect(port, ASKED) as connection:
        assert connection.recv(1 << 16)[9:12] == b"200"
        connection.sendall(b"\r\n")
        told(connection)


def test_whoever_does_not_take_the_answer_is_hung_up_on(app: FastAPI, port: int) -> None:
    app.get("/large")(lambda: Response(b"x" * LARGE_BYTES))
    with connect(port, ASKED.replace(b"signin", b"large")) as connection:
        time.sleep(PATIENCE_SECONDS * 3)
        assert len(told(connection)) < LARGE_BYTES


@pytest.mark.parametrize("much", [b"a: b\r\n" * 20_000, b"a: " + b"b" * 200_000, b"\r\n" + ASKED * 1_000])
def test_who_sends_more_than_a_request_is_turned_away(port: int, much: bytes) -> None:
    with connect(port) as connection:
        try:
            connection.sendall(ASKED[:-2] + much)
        except OSError:  # it has hung up meanwhile
            return
        assert b"400 Bad Request" in told(connection)


def test_a_body_of_tiny_chunks_is_turned_away(port: int) -> None:
    """A chunk of one byte costs as much as one of a kilobyte."""
    head = b"POST /signin HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    few = b"1\r\nx\r\n" * (wire.MOST_CHUNKS - 1)  # and the last, which is empty
    with connect(port, head + few + b"0\r\n\r\n") as connection:
        assert b"403 Forbidden" in told(connection)
    with connect(port, head + few + b"1\r\nx\r\n" * PIECE_BYTES) as connection:
        assert b"400 Bad Request" in told(connection)


def test_who_is_slow_to_think_is_not_hung_up_on(port: int) -> None:
    """What waits between two requests is a browser; it has uvicorn's own deadline."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    for seconds in (PATIENCE_SECONDS * 2, 0):
        connection.request("GET", "/signin")
        answer = connection.getresponse()
        assert (answer.status, b"</html>" in answer.read()) == (200, True)
        assert connection.sock is not None  # else it has hung up, and the next request would be another connection's
        time.sleep(seconds)


def test_a_busy_thread_gives_way_soon(port: int) -> None:
    assert ask(port, "GET", "/signin", "").status == 200
    assert sys.getswitchinterval() < 0.001


def test_all_workers_are_served_so() -> None:
    assert serving._config("plaudit.web.app:serving", workers=4).http is wire.PunctualProtocol


def test_a_form_of_many_fields_is_not_parsed(join: Any) -> None:
    lea = join("lea", role=Role.LEAD)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = lea.client.post("/lead/guidelines", content=b"&" * 1_000_000, headers=form)
    assert (answer.status_code, f"{MOST_FIELDS} fields" in answer.text) == (422, True)


@pytest.mark.parametrize(
    "much", [b"[" + b"0," * 400_000 + b"0]", b"{" + b",".join(b'"%d":{}' % n for n in range(80_000)) + b"}"]
)
def test_json_of_many_numbers_or_names_is_not_parsed(join: Any, monkeypatch: pytest.MonkeyPatch, much: bytes) -> None:
    ann = join("ann")
    parsed: list[bytes] = []
    monkeypatch.setattr("json.loads", parsed.append)
    sent = {"X-CSRF-Token": ann.csrf, "Content-Type": "application/json"}
    answer = ann.client.post("/api/judgements", content=much, headers=sent)
    assert (answer.status_code, parsed) == (422, [])


@pytest.mark.parametrize("text", ["1,2, " * 40_000, 'a "word", ' * 20_000, "\\" * 200_000, '{"a": [1, 2]}\n' * 14_000])
def test_a_long_answer_is_taken_whatever_stands_in_it(text: str) -> None:
    assert not _is_intricate(json.dumps({"id": "1", "better_answer": text[:200_000], "reason": "é"}).encode())


def test_only_a_lead_has_a_long_form_parsed(join: Any) -> None:
    """An unescaped megabyte takes a tenth of a second, and who sent it is known only when it is read."""
    long = {"text_en": "%" * 30_000}
    assert join("ann").send("/lead/guidelines", **long).status_code == 401
    assert join("lea", role=Role.LEAD).send("/lead/guidelines", **long).status_code == 303


def test_a_large_form_leaves_others_their_turn() -> None:
    """The parser of forms runs where all requests are answered: it gets a little, and then somebody else is next."""
    pieces: list[bytes] = []
    body = b"text_en=" + b"%41" * 300_000

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        more = True
        while more:
            message = await receive()
            pieces.append(message["body"])
            more = message["more_body"]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    headers = [(b"host", b"localhost"), (b"content-type", b"application/x-www-form-urlencoded")]
    scope = {"type": "http", "method": "POST", "path": "/lead/guidelines", "headers": headers}
    asyncio.run(Guard(app, ["localhost"])(scope, receive, receive))
    assert b"".join(pieces) == body
    assert max(map(len, pieces)) <= PIECE_BYTES


def test_readers_do_not_wait_for_who_waits_to_write(
    site: Site, join: Callable[..., Browser], browser: Callable[[], Browser], port: int, tmp_path: Path
) -> None:
    add_tasks(site, 3)
    ann, stranger = join("ann"), browser()
    ann.task()
    stranger.get("/signin")
    signed, not_signed = ("; ".join(f"{k}={v}" for k, v in it.client.cookies.items()) for it in (ann, stranger))

    def guess(name: int) -> tuple[int, str | None]:
        form = urlencode({"csrf": stranger.csrf, "name": f"name {name}", "password": "a wrong password"})
        answer = ask(port, "POST", "/signin", not_signed, form)
        return answer.status, answer.headers["Retry-After"]

    with (
        FeedbackStore.open(tmp_path / "feedback.db") as importing,
        ThreadPoolExecutor(42) as pool,
        importing.transaction(),
    ):
        guesses = [pool.submit(guess, number) for number in range(42)]
        time.sleep(0.5)
        for path, cookie in (("/signin", not_signed), ("/api/task", signed)):
            began = time.monotonic()
            assert ask(port, "GET", path, cookie).status == 200
            assert time.monotonic() - began < 1.0  # on a busy machine; without anybody else on it, 0.01
        answers = [it.result() for it in guesses]
    assert {status for status, _ in answers} == {503}
    assert all(after is not None for _, after in answers)


def test_where_as_many_wait_to_write_as_may_the_next_is_turned_away_unasked(
    app: FastAPI, site: Site, join: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else turning away what comes again takes the time that those need who wait: hardly anything would be kept."""
    ann = join("ann")
    monkeypatch.setattr(type(site.store), "is_crowded", True)
    statements: list[str] = []
    listen(site.store._engine, "before_cursor_execute", lambda *it: statements.append(it[2]))
    for path in ("judgements", "demonstrations", "skips", "heartbeats", "retractions"):
        answer = ann.post(f"/api/{path}", {"assignment": "x"})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert statements == []
    monkeypatch.setattr(type(site.store), "is_crowded", False)
    assert ann.post("/api/heartbeats", {"assignment": "x"}).status_code in (404, 422)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_as_many_connections_as_are_used_at_once_stay_open(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    """Opening one for each request costs more than the request: where many come, nothing else would be done."""
    place = request.getfixturevalue("postgresql_url") if kind == "postgresql" else str(tmp_path / "f.db")
    with FeedbackStore.open(place) as store:
        opened: list[object] = []
        listen(store._engine, "connect", lambda *it: opened.append(it))
        for _ in range(3):
            with ExitStack() as at_once:
                for _ in range(15):
                    at_once.enter_context(store._engine.connect())
        assert len(opened) <= 15


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("writer", ["this process", "another"])
def test_who_reads_does_not_wait_to_have_the_visit_noted(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str, writer: str
) -> None:
    """Where somebody writes just then, the next request notes it."""
    place = request.getfixturevalue("postgresql_url") if kind == "postgresql" else str(tmp_path / "f.db")
    site = Site.open(place, tmp_path)
    ann = site.accounts.join(invite(site, Role.ANNOTATOR), "ann", PASSWORD, "en")
    session, token = site.sessions.begin(ann), site.tokens.make(ann, "x", Scope.ANNOTATE, 7)
    days_pass(site, 1)
    [before] = site.sessions.of("ann")

    def visit() -> float:
        began = time.monotonic()
        assert site.sessions.find(session)
        assert site.tokens.find(token)
        return time.monotonic() - began

    busy = site.store if writer == "this process" else FeedbackStore.open(place)
    with ThreadPoolExecutor(1) as pool, busy.transaction():
        assert pool.submit(visit).result() < 1.0
    assert (site.sessions.of("ann")[0].seen, site.tokens.of("ann")[0].used) == (before.seen, None)
    visit()
    assert site.sessions.of("ann")[0].seen > before.seen
    assert site.tokens.of("ann")[0].used
    for store in {busy, site.store}:
        store.close()


@pytest.fixture
def exports(site: Site, port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], HTTPResponse]]:
    """Asks for a long export, and takes nothing of it."""
    monkeypatch.setattr(History, "rows", lambda _: ({"text": "x" * 1_000_000} for _ in range(30)))
    monkeypatch.setattr(wire, "WHOLE_SECONDS", 30.0)
    monkeypatch.setattr(scripts, "SENT_SECONDS", 3.0, raising=False)
    monkeypatch.setattr(scripts, "SLOWEST_RATE", 1e12, raising=False)
    lea = site.accounts.join(invite(site, Role.LEAD), "lea", PASSWORD, "en")
    token = site.tokens.make(lea, "x", Scope.READ, 7)
    opened: list[HTTPConnection] = []

    def ask() -> HTTPResponse:
        opened.append(connection := HTTPConnection("127.0.0.1", port, timeout=60))
        connection.request("GET", "/api/said", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse()

    yield ask
    for connection in opened:
        connection.close()


def test_who_takes_an_export_slowly_is_hung_up_on_and_sees_that_it_is_cut(exports: Callable[[], HTTPResponse]) -> None:
    slow, taken, began = exports(), 0, time.monotonic()
    with suppress(ConnectionResetError):
        while piece := slow.read(1 << 16):
            taken += len(piece)
            time.sleep(0.03)  # so that each piece is taken in time
    assert 0 < taken < LARGE_BYTES <= int(slow.headers["Content-Length"])
    assert time.monotonic() - began < 10


def test_who_takes_exports_slowly_keeps_others_from_theirs_for_a_while_alone(
    exports: Callable[[], HTTPResponse],
) -> None:
    slow = [exports() for _ in range(5)]  # as many as are sent at a time, and one
    assert [it.status for it in slow] == [200] * 4 + [503]
    until = time.monotonic() + 20
    while (answer := exports()).status != 200:
        assert time.monotonic() < until
        time.sleep(0.2)
    assert len(answer.read()) > LARGE_BYTES


def test_who_waits_for_a_password_leaves_threads_to_others() -> None:
    for _ in range(people.MOST_WAITING):
        people._waiting.acquire()
    try:
        with pytest.raises(RefusalError) as refused:
            people.matches("a password", None)
    finally:
        people._waiting.release(people.MOST_WAITING)
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, str(people.RETRY_SECONDS))
    assert not people.matches("a password", None)
