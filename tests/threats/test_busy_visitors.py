"""Anybody on the network, over connections of their own making: who keeps the server waiting, or at work."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Response

from plaudit.web import serving, wire
from plaudit.web.security import MOST_FIELDS, PIECE_BYTES, Guard

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


def test_who_is_slow_to_think_is_not_hung_up_on(port: int) -> None:
    """What waits between two requests is a browser; it has uvicorn's own deadline."""
    with connect(port, ASKED) as connection:
        assert connection.recv(1 << 16)[9:12] == b"200"
        time.sleep(PATIENCE_SECONDS * 2)
        connection.sendall(ASKED)
        assert connection.recv(1 << 16)[9:12] == b"200"


def test_all_workers_are_served_so() -> None:
    assert serving._config("plaudit.web.app:serving", workers=4).http is wire.PunctualProtocol


def test_a_form_of_many_fields_is_not_parsed(join: Any) -> None:
    ann = join("ann")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = ann.client.post("/lead/guidelines", content=b"&" * 1_000_000, headers=form)
    assert (answer.status_code, f"{MOST_FIELDS} fields" in answer.text) == (422, True)


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

    scope = {"type": "http", "method": "POST", "path": "/lead/guidelines", "headers": [(b"host", b"localhost")]}
    asyncio.run(Guard(app, ["localhost"])(scope, receive, receive))
    assert b"".join(pieces) == body
    assert max(map(len, pieces)) <= PIECE_BYTES
