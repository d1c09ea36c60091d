"""Canaries: planted in everything that an annotator must not know, and never seen in anything that an annotator gets.

Not planted in words that annotators are meant to read (prompts, answers, questions, guidelines), but everywhere else,
also as whole ids: nothing may be recognised from one task, or one person, to the next.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from plaudit.feedback.labelling.leases import assignment_id
from plaudit.types import (
    Annotator,
    AnnotatorKind,
    Demonstration,
    Judgement,
    Prompt,
    Ranking,
    Response,
    Split,
    Task,
    TaskPurpose,
)
from plaudit.web import annotator_view
from plaudit.web.people import Role
from plaudit.web.site import Site
from tests.web.conftest import Browser

CANARY = "canary"
MEMBERS_PAGES = ("/", "/work", "/history", "/guidelines", "/account", "/signin", "/api/task", "/api/history")


class Watched:
    """A browser that keeps everything that it was ever told."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.heard: list[tuple[str, str]] = []
        browser.client.event_hooks["response"].append(self._hear)

    def _hear(self, answer: Any) -> None:
        answer.read()
        headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        self.heard.append((f"{answer.request.method} {answer.request.url.path}", f"{headers}\n\n{answer.text}"))


@pytest.fixture
def planted(site: Site) -> list[str]:
    """Tasks of every purpose, full of canaries; everything that must not be heard."""
    store, forbidden = site.store, [CANARY]
    store.add_annotators([
        Annotator("rival-canary"), Annotator("simulated-canary", AnnotatorKind.SIMULATED, "likes canaries"),
    ])  # fmt: skip
    for number, purpose in enumerate([*TaskPurpose, TaskPurpose.WORK, TaskPurpose.WORK]):
        if purpose is TaskPurpose.QUALIFICATION:
            continue
        prompt = Prompt.from_text(f"Question {number}?", "source-canary", topic="topic-canary", group="group-canary")
        store.add_prompts([prompt], Split.HELDOUT)
        answers = [
            Response(
                prompt.id, f"Answer {number} {n}.", run_id=f"run-canary-{n}", tokens=7_700_000 + n, seed=8_800_000 + n,
                sampling={"model": "model-canary", "temperature": 0.7654321, "reward": 0.1234567},
            )
            for n in range(2 + number % 2)
        ]  # fmt: skip
        store.add_responses(answers)
        ids = tuple(answer.id for answer in answers)
        gold = tuple((i,) for i in ids) if purpose in (TaskPurpose.GOLD, TaskPurpose.SENTINEL) else None
        task = Task(prompt.id, ids, overlap=3, gold=gold, purpose=purpose)
        store.add_tasks([task])
        store.assign(task.id, "rival-canary", range(len(ids)))
        ranking = Ranking(tuple((i,) for i in ids))
        store.submit(Judgement(f"rival-canary-{number}", task.id, "rival-canary", ranking, ids, reason="reason-canary"))
        forbidden += [*ids, task.id, prompt.id, prompt.opening_id, str(7_700_000), str(8_800_000)]
    prompt = Prompt.from_text("Write something.", "source-canary")
    store.add_prompts([prompt])
    writing = Task(prompt.id, (), overlap=3)
    store.add_tasks([writing])
    store.write(
        Demonstration(str(uuid.uuid4()), prompt.id, "text-canary", annotator_id="rival-canary", task_id=writing.id)
    )
    forbidden += [
        writing.id,
        prompt.id,
        "7654321",
        "1234567",
        "heldout",
        "sentinel",
        "surplus",
        "gold",
        "overlap",
        "purpose",
    ]
    return forbidden


def work_through(ann: Watched) -> Iterator[str]:
    """Everything that an annotator can do; the handles that come up."""
    browser = ann.browser
    for turn in range(20):
        for page in MEMBERS_PAGES:
            browser.get(page)
        task = browser.task()
        if task["assignment"] is None:
            return
        yield task["assignment"]
        browser.post("/api/heartbeats", {"assignment": task["assignment"]})
        key, edit = str(uuid.uuid4()), str(uuid.uuid4())
        if turn == 2:
            browser.post("/api/skips", {"assignment": task["assignment"], "reason": "other"})
            continue
        if task["kind"] == "write":
            body = {"id": key, "assignment": task["assignment"], "text": "Something."}
            browser.post("/api/demonstrations", body)
            browser.post("/api/demonstrations", body | {"text": "Something else."})
        else:
            browser.judge(task, id=key, better_answer="Better.", flags={"0": ["false"]})
            browser.judge(task, id=key)
            browser.judge(task)
            browser.judge(task, tiers=[[0]])
        yield key
        if turn < 4:
            opened = browser.get(f"/api/entries/{key}").json()
            if task["kind"] == "rank":
                browser.judge(opened, id=edit, supersedes=key)
                browser.post("/api/retractions", {"id": key})
            back = browser.post("/api/retractions", {"id": edit if task["kind"] == "rank" else key}).json()
            if turn < 3 and task["kind"] == "rank":
                browser.judge(back)


def test_no_canary_is_ever_heard(site: Site, planted: list[str], join: Callable[..., Browser], app: Any) -> None:
    join("lead-canary", Role.LEAD)
    site.store.publish_guidelines({"en": "Be fair."}, "lead-canary")
    ann = Watched(join("ann"))
    ann.browser.send("/guidelines", version="1")
    own = set(work_through(ann))
    for path in (
        "/lead",
        "/lead/people",
        "/lead/log",
        "/lead/project",
        "/lead/guidelines",
        "/api/nothing",
        "/openapi.json",
    ):
        ann.browser.get(path)
    for handle in ("rival-canary-0", "rival-canary-1"):
        ann.browser.get(f"/api/entries/{handle}")
        ann.browser.post("/api/retractions", {"id": str(uuid.uuid4())})
    ann.browser.send("/account/language", language="ja")
    ann.browser.get("/account")
    assert len(site.store.judgements(annotator_id="ann")) >= 4, "there was something to hear"
    assert {line.split()[1] for line, _ in ann.heard} >= set(MEMBERS_PAGES)
    asked_for = ("/api/entries/rival-canary-0", "/api/entries/rival-canary-1")
    assert [leak for leak in leaks(ann, planted) if leak[1] not in own and not leak[0].endswith(asked_for)] == []


def leaks(watched: Watched, forbidden: list[str]) -> list[tuple[str, str]]:
    return [(request, word) for request, said in watched.heard for word in forbidden if word.lower() in said.lower()]


@pytest.mark.parametrize("leaked", ["run_id", "task_id", "nothing"])
def test_a_leak_would_be_found(
    leaked: str, planted: list[str], join: Callable[..., Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = annotator_view.task_shown

    def leaking(store: Any, secret: Any, assignment: Any, until: Any) -> dict[str, Any]:
        task = store.task(assignment.task_id)
        said = {"task_id": task.id, "run_id": [r.run_id for r in store.responses([task.prompt_id])]}
        return honest(store, secret, assignment, until) | {"left": said.get(leaked)}

    monkeypatch.setattr(annotator_view, "task_shown", leaking)
    ann = Watched(join("ann"))
    while (task := ann.browser.task())["kind"] == "write":
        ann.browser.post("/api/skips", {"assignment": task["assignment"], "reason": "other"})
    assert bool(leaks(ann, planted)) == (leaked != "nothing")


def test_a_task_says_only_what_it_may(site: Site, planted: list[str], join: Callable[..., Browser]) -> None:
    """Not only no canary: no field that is not known to be harmless."""
    ann = join("ann")
    task = ann.task()
    assert task.keys() == {
        "assignment", "lease_seconds", "kind", "question", "conversation", "answers", "attributes", "flags",
        "ask_strength", "ask_better_answer", "progress", "previous", "draft", "account", "guidelines_version",
    }  # fmt: skip
    assert all(answer.keys() == {"html"} for answer in task["answers"])
    assert all(turn.keys() == {"role", "html"} for turn in task["conversation"])
    assert task["progress"].keys() == {"done", "skipped", "left"}
    key = str(uuid.uuid4())
    while task["kind"] == "write":
        ann.post("/api/skips", {"assignment": task["assignment"], "reason": "other"})
        task = ann.task()
    answer = ann.judge(task, id=key)
    assert answer.json().keys() == {"stored"}
    assert ann.get(f"/api/entries/{key}").json()["draft"].keys() == {
        "tiers", "all_bad", "strength", "ratings", "flags", "reason", "better_answer", "seconds",
    }  # fmt: skip
    history = ann.get("/api/history").json()
    assert history.keys() == {"entries", "more", "account"}
    assert all(
        entry.keys() <= {"id", "seq", "kind", "at", "question", "ranking_text", "text"} for entry in history["entries"]
    )


def test_a_check_looks_like_work(site: Site, planted: list[str], join: Callable[..., Browser]) -> None:
    """Payloads of tasks of different purposes have the same form."""
    ann = join("ann")
    forms = set()
    while (task := ann.task())["assignment"] is not None:
        if task["kind"] == "rank":
            forms.add(tuple((key, type(value).__name__) for key, value in task.items() if key != "previous"))
            ann.judge(task)
        else:
            ann.post("/api/skips", {"assignment": task["assignment"], "reason": "other"})
    assert len(forms) == 1


def test_history_does_not_tell_how_busy_others_are(
    site: Site, planted: list[str], join: Callable[..., Browser]
) -> None:
    ann = join("ann")
    for _ in range(3):
        ann.judge()
    true = [entry.seq for entry in site.store.history("ann")]
    told = [entry["seq"] for entry in ann.get("/api/history").json()["entries"]]
    assert all(abs(t - seq) > 1000 for t, seq in zip(told, true, strict=True))
    assert [site.secret.unblind(t) for t in told] == true


def test_a_lead_sees_what_an_annotator_must_not(site: Site, planted: list[str], join: Callable[..., Browser]) -> None:
    """The test would also pass if nothing said anything."""
    lead = join("lead", Role.LEAD)
    lead.send("/lead/people/disable", name="nobody")
    join("somebody-canary")
    assert CANARY in lead.get("/lead/people").text


def test_a_handle_cannot_be_computed_from_what_is_seen(
    site: Site, planted: list[str], join: Callable[..., Browser]
) -> None:
    """An id is a hash of the task, and who could compute it could try which run would give it."""
    handle = join("ann").task()["assignment"]
    ids = [assignment_id(task.id, "ann") for task in site.store.tasks()]
    assert handle not in ids
    assert site.secret.assignment_of(handle) in ids
    assert [site.secret.handle(one) for one in ids].count(handle) == 1
    assert site.secret.assignment_of("not-a-handle") is None
