"""People at work in the labelling app, simulated: many browsers in one process, over real HTTP.

It is made to cost little beside the server that it shares the machine with: plain streams, kept alive as a browser
keeps them, and no more of HTTP/1.1 than the server speaks. What an annotator sends is kept as the page's outbox keeps
it: until the server has answered, the same request goes out again.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

ANSWER_SECONDS = 60.0  # a browser waits longer; a server that lets anybody wait for that long has failed
AGAIN_SECONDS, LONGEST_AGAIN_SECONDS = 1.0, 60.0  # after no answer, ever longer; as the page's outbox waits
LOOK_AGAIN_SECONDS = 1.0  # when there is nothing to do
NEWLINE = b"\r\n"

Payload = dict[str, Any]
Call = tuple[str, str, Payload | None]  # method, path, body
Answer = tuple[int, Payload, float]  # status, content, seconds after which the server says to come again
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Person:
    """Who is signed in, and as what the server knows the browser."""

    name: str
    cookie: str
    csrf: str


@dataclass(frozen=True)
class Habits:
    """How an annotator works, and what happens to the requests on the way. Shares lie between 0 and 1."""

    think_seconds: float  # mean of an exponential distribution
    dropped: float = 0.0  # requests whose answer nobody reads; sent again
    twice: float = 0.0  # submits sent over two connections at once
    skipped: float = 0.0  # tasks
    late: float = 0.0  # tasks answered after their lease is over
    lease_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Timed:
    """A request that was answered in the end."""

    path: str
    sent: float  # time.perf_counter()
    seconds: float  # until its whole answer was there


@dataclass
class Crowd:
    """What everybody did together."""

    said: dict[str, tuple[str, str]] = field(default_factory=dict)  # judgement's id -> annotator, reason
    acknowledged: set[str] = field(default_factory=set)
    stored: Counter[str] = field(default_factory=Counter)  # judgement's id -> answers that it was new
    counts: Counter[str] = field(default_factory=Counter)
    refusals: list[str] = field(default_factory=list)  # answers that should never come
    timed: list[Timed] = field(default_factory=list)
    busy: int = 0  # annotators who have a task


class Annotator:
    """One person in one browser."""

    def __init__(self, person: Person, port: int, habits: Habits, crowd: Crowd, seed: int) -> None:
        self._person, self._port, self._habits, self._crowd = person, port, habits, crowd
        self._random = random.Random(seed)
        self._kept: Streams | None = None

    async def work(self) -> None:
        """Take tasks and answer them, until nobody has anything left to do."""
        await asyncio.sleep(self._random.random() * self._habits.think_seconds)
        idle = 0  # times in a row that there was nothing for anybody
        while idle < 2:  # the first answer may be from before somebody gave up the last task
            shown = await self._sent(("GET", "/api/task", None))
            if shown.get("assignment"):
                self._crowd.busy += 1
                await self._answer(shown)
                self._crowd.busy -= 1
                idle = 0
            else:
                idle = 0 if self._crowd.busy else idle + 1
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
        self._hang_up()

    async def _answer(self, shown: Payload) -> None:
        drawn, habits = self._random.random(), self._habits
        await asyncio.sleep(self._random.expovariate(1 / habits.think_seconds))
        if drawn < habits.skipped:
            await self._sent(("POST", "/api/skips", {"assignment": shown["assignment"], "reason": "too long"}))
            return
        if drawn < habits.skipped + habits.late:
            self._crowd.counts["late"] += 1
            await asyncio.sleep(habits.lease_seconds)
        body = self._judgement(shown)
        self._crowd.said[body["id"]] = self._person.name, body["reason"]
        await self._sent(("POST", "/api/judgements", body))

    def _judgement(self, shown: Payload) -> Payload:
        key, answers = str(uuid.UUID(int=self._random.getrandbits(128))), len(shown["answers"])
        strength = self._random.randint(1, 4) if answers == 2 else None
        places = self._random.sample(range(answers), answers)
        return {
            "id": key, "assignment": shown["assignment"], "tiers": [[place] for place in places],
            "strength": strength, "seconds": 37.0, "reason": f"As {key[:8]}.",
            "ratings": {str(place): dict.fromkeys(shown["attributes"], 1 + place) for place in places},
        }  # fmt: skip

    async def _sent(self, call: Call) -> Payload:
        """Send it until it is answered; what the answer was. Some of it gets lost, and some goes out twice."""
        drawn, habits = self._random.random(), self._habits
        if drawn < habits.dropped:
            await self._drop(call)
        elif drawn < habits.dropped + habits.twice and call[1] == "/api/judgements":
            self._crowd.counts["twice"] += 1
            for answer in await asyncio.gather(self._ask(call), self._ask(call, alone=True)):
                self._note(call, answer)
        began = time.perf_counter()
        for failures in count():
            answer = await self._ask(call)
            if answer is not None and answer[0] < 500:
                self._crowd.timed.append(Timed(call[1], began, time.perf_counter() - began))
                self._note(call, answer)
                return answer[1]
            self._crowd.counts["unanswered" if answer is None else str(answer[0])] += 1
            longest = min(AGAIN_SECONDS * 2**failures, LONGEST_AGAIN_SECONDS)
            asked = answer[2] if answer else 0.0
            await asyncio.sleep(max(asked, longest * (0.75 + self._random.random() / 2)))
        raise AssertionError("an endless count has ended")

    def _note(self, call: Call, answer: Answer | None) -> None:
        if answer is None or answer[0] >= 500:
            return
        status, content, _ = answer
        if status != 200:
            self._crowd.refusals.append(f"{status} to {self._person.name}'s {call[0]} {call[1]}: {content}")
        elif call[1] == "/api/judgements" and call[2]:
            self._crowd.acknowledged.add(call[2]["id"])
            self._crowd.stored[call[2]["id"]] += content["stored"]

    async def _ask(self, call: Call, alone: bool = False) -> Answer | None:
        """Status and content of the answer; None where there was none. `alone`: over a connection of its own."""
        with suppress(OSError, asyncio.IncompleteReadError):
            async with asyncio.timeout(ANSWER_SECONDS):
                return await (self._ask_alone(call) if alone else self._ask_kept(call))
        return None

    async def _ask_alone(self, call: Call) -> Answer:
        streams = await self._connect()
        try:
            return await self._exchange(streams, call)
        finally:
            streams[1].close()

    async def _ask_kept(self, call: Call) -> Answer:
        """Over the connection that is open; servers close one that is idle, and browsers then open another."""
        kept, self._kept = self._kept, None  # whatever fails below, this one is not used again
        if kept is not None:
            with suppress(OSError, asyncio.IncompleteReadError):
                answer = await self._exchange(kept, call)
                self._kept = kept
                return answer
            kept[1].close()
        fresh = await self._connect()
        try:
            answer = await self._exchange(fresh, call)
        except BaseException:
            fresh[1].close()
            raise
        self._kept = fresh
        return answer

    async def _exchange(self, streams: Streams, call: Call) -> Answer:
        streams[1].write(self._request(call))
        head = await streams[0].readuntil(NEWLINE * 2)
        fields = dict(line.lower().split(b": ", 1) for line in head.split(NEWLINE)[1:] if line)
        body = await streams[0].readexactly(int(fields[b"content-length"]))
        return int(head.split(b" ", 2)[1]), json.loads(body), float(fields.get(b"retry-after", 0))

    async def _drop(self, call: Call) -> None:
        """Send it, or half of it, and be gone before the answer is read."""
        self._crowd.counts["dropped"] += 1
        request = self._request(call)
        with suppress(OSError):
            _, writer = await self._connect()
            writer.write(request if self._random.random() < 0.8 else request[: self._random.randrange(len(request))])
            await writer.drain()
            await asyncio.sleep(self._random.choice((0, 0.01, 0.1)))
            writer.transport.abort()

    async def _connect(self) -> Streams:
        return await asyncio.open_connection("127.0.0.1", self._port)

    def _hang_up(self) -> None:
        if self._kept is not None:
            self._kept[1].close()
            self._kept = None

    def _request(self, call: Call) -> bytes:
        method, path, content = call
        body = b"" if content is None else json.dumps(content).encode()
        fields: Mapping[str, object] = {
            "Host": f"127.0.0.1:{self._port}", "Cookie": self._person.cookie, "X-CSRF-Token": self._person.csrf,
            "Content-Type": "application/json", "Content-Length": len(body),
        }  # fmt: skip
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body


async def work_together(people: Sequence[Person], port: int, habits: Habits, crowd: Crowd, seed: int) -> None:
    """Let everybody work until they stop by themselves."""
    async with asyncio.TaskGroup() as group:
        for number, person in enumerate(people):
            group.create_task(Annotator(person, port, habits, crowd, seed * 1000 + number).work())
