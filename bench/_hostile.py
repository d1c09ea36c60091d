"""Annotators who mean harm, each in one way, once a second: whatever costs the server more than it costs them.

Most of it is refused. They are signed in as everybody else is, so that what stops strangers does not stop them.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from urllib.parse import urlencode

from bench._crowd import ANSWER_SECONDS, Annotator, Crowd, Habits, Payload, Person

MEGABYTE = b"x" * 1_000_000
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
CHUNKS = b"1\r\n \r\n" * 100_000 + b"0\r\n\r\n"
FIELDS, ESCAPED = b"&" * len(MEGABYTE), b"text_en=" + b"%41" * (len(MEGABYTE) // 3)
NUMBERS = b"[" + b"0," * (len(MEGABYTE) // 2 - 1) + b"0]"
KEYS = b"{" + b",".join(b'"%d":{}' % number for number in range(90_000)) + b"}"
NAMES = json.dumps({"0": {f"name {number}": 1 for number in range(40_000)}}).encode()
HEADS = b"".join(b"a%d: b\r\n" % number for number in range(6_000))
COSTLY = "![" * 10_000  # Markdown that takes long to read
STILL_OPEN_SECONDS = 60.0
EVERY_SECONDS = 1.0  # one attack of each


class Hostile(Annotator):
    """One of them; what came of it is counted in `crowd.counts`, by attack and status."""

    def __init__(self, person: Person, port: int, crowd: Crowd, number: int) -> None:
        super().__init__(person, port, Habits(1.0), crowd, number)
        self.name = list(ATTACKS)[number % len(ATTACKS)]
        self._attack = ATTACKS[self.name]
        self._shown: Payload = {}  # the task that is open
        self._said = ""  # the id of what was said last

    async def annoy(self, on: asyncio.Event) -> None:
        """Attack once a second while `on`, however long the last one takes to be answered; not all at one moment."""
        async with asyncio.TaskGroup() as group:
            while True:
                if not on.is_set():
                    await on.wait()
                    await asyncio.sleep(self._random.random() * EVERY_SECONDS)
                group.create_task(self._once())
                await asyncio.sleep(EVERY_SECONDS)

    async def _once(self) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                self._count(await self._attack(self))
                return
        self._count("no answer")

    def _count(self, what: object) -> None:
        self._crowd.counts[f"{self.name}: {what}"] += 1

    async def throw(self, path: str, body: bytes, kind: str = JSON, head: bytes = b"", sent: int | None = None) -> str:
        """Send a request, or its first `sent` bytes; the status that it is answered with, or `hung up`."""
        length = b"Transfer-Encoding: chunked" if body is CHUNKS else f"Content-Length: {len(body)}".encode()
        lines = f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Cookie: {self._person.cookie}", f"Content-Type: {kind}"
        secret = b"" if kind == FORM else f"X-CSRF-Token: {self._person.csrf}\r\n".encode()
        whole = "\r\n".join([*lines, ""]).encode() + secret + head + length + b"\r\n\r\n" + body
        reader, writer = await self._connect()
        try:
            writer.write(whole[:sent])
            line = await reader.readline()
            return line.split()[1].decode() if line else "hung up"
        finally:
            writer.transport.abort()

    async def form(self, path: str, **fields: str) -> str:
        return await self.throw(path, urlencode({"csrf": self._person.csrf, **fields}).encode(), FORM)

    async def half(self, sent: int) -> str:
        """Half a request, and nobody who would send the rest."""
        try:
            async with asyncio.timeout(STILL_OPEN_SECONDS - 1):
                return await self.throw("/api/judgements", MEGABYTE, sent=sent)
        except TimeoutError:
            return STILL_OPEN

    async def say(self, ratings: bytes = b"{}", **more: object) -> str:
        """Answer the task that is open, or edit what was said of it last.

        `ratings` are JSON made beforehand: the honest people, whose waits are measured, are in this process, too.
        """
        if not self._shown.get("assignment"):
            self._shown = (await self._ask(("GET", "/api/task", None)) or (0, {}))[1]
            if not self._shown.get("assignment"):
                return "nothing left"
        key = str(uuid.uuid4())
        tiers = [[place] for place in range(len(self._shown["answers"]))]
        body = {"id": key, "assignment": self._shown["assignment"], "tiers": tiers, "supersedes": self._said or None}
        sent = json.dumps(body | more).encode()[:-1] + b', "ratings": ' + ratings + b"}"
        status = await self.throw("/api/judgements", sent)
        self._said = key if status == "200" else self._said
        if status == "409":  # edited often enough
            self._shown, self._said = {}, ""
        return status

    async def take_back(self) -> str:
        if not self._said:
            return await self.say(reason="for now")
        said, self._said = self._said, ""
        return await self.throw("/api/retractions", json.dumps({"id": said}).encode())

    async def beat(self) -> str:
        self._shown = self._shown or (await self._ask(("GET", "/api/task", None)) or (0, {}))[1]
        return await self.throw("/api/heartbeats", json.dumps({"assignment": self._shown.get("assignment")}).encode())

    async def skip(self) -> str:
        shown = (await self._ask(("GET", "/api/task", None), alone=True) or (0, {}))[1]
        body = {"assignment": shown.get("assignment"), "reason": "no"}
        return await self.throw("/api/skips", json.dumps(body).encode())

    async def look(self, path: str) -> str:
        answer = await self._ask(("GET", path, None), alone=True)
        return "no answer" if answer is None else str(answer[0])


STILL_OPEN = "still open after a minute"
ATTACKS: dict[str, Callable[[Hostile], Awaitable[str]]] = {
    "flags nobody asked for": lambda it: it.say(flags={"0": [f"\x1b[31m {n}" for n in range(50)]}),
    "thousands of names": lambda it: it.say(NAMES),
    "a form of many fields": lambda it: it.throw("/lead/guidelines", FIELDS, FORM),
    "a form of many escapes": lambda it: it.throw("/lead/guidelines", ESCAPED, FORM),
    "chunks of one byte": lambda it: it.throw("/api/judgements", CHUNKS),
    "wrong sign-ins": lambda it: it.form("/signin", name=str(uuid.uuid4()), password="a wrong password"),
    "wrong current passwords": lambda it: it.form("/account/password", current="a wrong password", new="another one"),
    "half a head": lambda it: it.half(40),
    "half a body": lambda it: it.half(2_000),
    "heartbeats": lambda it: it.beat(),
    "edits": lambda it: it.say(reason="as before"),
    "entries taken back": lambda it: it.take_back(),
    "costly reasons": lambda it: it.say(reason=COSTLY, better_answer=COSTLY * 10),
    "many numbers": lambda it: it.throw("/api/judgements", NUMBERS),
    "many keys": lambda it: it.throw("/api/judgements", KEYS),
    "many headers": lambda it: it.throw("/api/judgements", b"{}", head=HEADS),
    "skips": lambda it: it.skip(),
    "the history": lambda it: it.look("/api/history"),
    "the next task": lambda it: it.look("/api/task"),
    "much too much": lambda it: it.throw("/signin", MEGABYTE * 5, FORM),
}


async def annoy_together(people: Sequence[Person], port: int, crowd: Crowd, on: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        for number, person in enumerate(people):
            group.create_task(Hostile(person, port, crowd, number).annoy(on))
