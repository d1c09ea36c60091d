"""A judge by URL, against a server of the test's own: what it is sent, what it may say, what is never asked twice."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from plaudit.errors import PlauditError, UsageError
from plaudit.models.judge import Judge, parse
from plaudit.types import Message, Prompt, Role

KEY = "sk-very-secret"
PROMPT = Prompt((Message(Role.SYSTEM, "be kind"), Message(Role.USER, "tea?")))
Reply = tuple[int, dict[str, str], bytes]


def said(text: str) -> Reply:
    return 200, {}, json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


class Server:
    """Answers by `reply`, which is given the request's body and its number; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.reply: Callable[[dict[str, Any], int], Reply] = lambda body, number: said("[[7]]")
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock:
                    outer.asked.append((self.path, dict(self.headers), body))
                    number = len(outer.asked)
                    outer.at_once += 1
                    outer.most_at_once = max(outer.most_at_once, outer.at_once)
                try:
                    status, headers, content = outer.reply(body, number)
                finally:
                    with outer.lock:
                        outer.at_once -= 1
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # of who did not wait for the reply
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def judge(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    waits: list[float] = []

    def make(**more: Any) -> Judge:
        given = {"criteria": "kind", "key_variable": "JUDGE_KEY", "sleep": waits.append, "seconds": 5} | more
        made = Judge(f"org/model:free@{server.url}", tmp_path / "judged.txt", **given)
        made.waits = waits  # type: ignore[attr-defined]
        return made

    return make


def test_it_is_asked_once_for_each_text_and_never_again(judge, server: Server, tmp_path: Path) -> None:
    server.reply = lambda body, number: said(f"Fine.\n[[{3 if 'boil' in body['messages'][1]['content'] else 10}]]")
    texts = ["boil it", "wait", "boil it"]
    assert judge().rate([PROMPT] * 3, texts) == [3, 10, 3]
    assert len(server.asked) == 2
    assert judge().rate([PROMPT] * 3, texts) == [3, 10, 3], "by another process"
    assert len(server.asked) == 2
    kept = (tmp_path / "judged.txt").read_text()
    assert KEY not in kept
    assert "boil" not in kept
    assert (tmp_path / "judged.txt").stat().st_mode & 0o077 == 0
    judge(criteria="short").rate([PROMPT], ["wait"])
    assert len(server.asked) == 3, "another question"


def test_without_a_key_none_is_sent(judge, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUDGE_KEY")
    judge().rate([PROMPT], ["wait"])
    assert "Authorization" not in server.asked[0][1]


@pytest.mark.parametrize(
    "trouble",
    [
        (503, {}, b"busy"), (429, {"Retry-After": "9"}, b"slow down"), (200, {}, b"<html>"), (200, {}, b"[]"),
        (200, {}, b'{"choices": []}'), said("7"), said("[[11]]"), said("[[0]]"), said("[[3]] or [[4]]"),
        said("[[7.5]]"),
    ],
)  # fmt: skip
def test_what_may_be_otherwise_next_time_is_asked_again(judge, server: Server, trouble: Reply) -> None:
    server.reply = lambda body, number: trouble if number < 3 else said("[[ 8 ]]")
    asking = judge()
    assert asking.rate([PROMPT], ["wait"]) == [8]
    assert len(server.asked) == 3
    assert asking.waits[-1] >= (9 if trouble[0] == 429 else 0.5)


def test_after_so_many_attempts_it_is_a_sentence_and_what_was_rated_is_kept(judge, server: Server) -> None:
    server.reply = lambda body, number: said("[[2]]" if "boil" in body["messages"][1]["content"] else "no idea")
    with pytest.raises(PlauditError, match=r"gave no rating in 6 attempts \(the last: its reply has no single rating"):
        judge(parallel=1).rate([PROMPT] * 2, ["boil it", "wait"])
    assert len(server.asked) == 7
    assert judge().rate([PROMPT], ["boil it"]) == [2]
    assert len(server.asked) == 7


def test_no_more_requests_at_a_time_than_allowed(judge, server: Server) -> None:
    def slow(body: dict[str, Any], number: int) -> Reply:
        time.sleep(0.05)
        return said("[[5]]")

    server.reply = slow
    judge(parallel=3).rate([PROMPT] * 9, [f"answer {n}" for n in range(9)])
    assert server.most_at_once == 3


def test_a_reply_that_does_not_come_is_waited_for_no_longer_than_said(judge, server: Server) -> None:
    ready = threading.Event()

    def late(body: dict[str, Any], number: int) -> Reply:
        if number == 1:
            ready.wait(5)
        return said("[[5]]")

    server.reply = late
    assert judge(seconds=0.2).rate([PROMPT], ["wait"]) == [5]
    ready.set()
    assert len(server.asked) == 2


def test_nobody_there_is_a_sentence(judge, server: Server) -> None:
    server.server.shutdown()
    server.server.server_close()
    with pytest.raises(PlauditError, match=r"gave no rating in 6 attempts \(the last: \w+: .*refused"):
        judge().rate([PROMPT], ["wait"])


def test_a_torn_line_is_no_rating(judge, server: Server, tmp_path: Path) -> None:
    judge().rate([PROMPT], ["wait"])
    kept = tmp_path / "judged.txt"
    kept.write_text(kept.read_text().replace(" 07\n", " 1"))
    assert judge().rate([PROMPT], ["wait"]) == [7]


@pytest.mark.parametrize("name", ["model", "model@ftp://x", "@http://x", "model@http://", "http://x/v1"])
def test_what_is_no_model_at_a_url_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="A judge is MODEL@URL"):
        parse(name)


def test_another_server_is_another_judge(judge, server: Server, tmp_path: Path) -> None:
    other = Server()
    other.reply = lambda body, number: said("[[2]]")
    assert judge().rate([PROMPT], ["wait"]) == [7]
    elsewhere = Judge(f"org/model:free@{other.url}", tmp_path / "judged.txt", criteria="kind", key_variable="JUDGE_KEY")
    assert elsewhere.rate([PROMPT], ["wait"]) == [2]
    other.server.shutdown()
    other.server.server_close()
