"""Everything that was said leaves whole, and comes back as the same nouns under the same ids."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from plaudit.errors import UsageError
from plaudit.feedback.annotator import Annotator, AnnotatorKind
from plaudit.feedback.export import export_judgements
from plaudit.feedback.export_history import History
from plaudit.feedback.importers import import_preferences
from plaudit.feedback.store import FeedbackStore
from plaudit.types import (
    Demonstration,
    Judgement,
    Message,
    Prompt,
    Ranking,
    Response,
    Role,
    Split,
    StopReason,
    Task,
    TaskPurpose,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
written = texts.filter(str.strip)
PEOPLE = [Annotator("ana"), Annotator("ben", note="new"), Annotator("p0", AnnotatorKind.SIMULATED)]


@st.composite
def judgements(draw: st.DrawFn, task: Task, annotator_id: str, version: int = 1) -> Judgement:
    ids = task.response_ids
    scores = {r: draw(st.integers(0, 2)) for r in ids}
    rating = st.dictionaries(st.sampled_from(["helpful", "true"]), st.integers(1, 7))
    return Judgement(
        f"{task.id}-{annotator_id}-{version}",
        task.id,
        annotator_id,
        Ranking.from_scores(scores),
        order=draw(st.just(()) | st.permutations(ids).map(tuple)),
        strength=draw(st.none() | st.integers(1, 4)) if len(ids) == 2 else None,
        ratings=draw(st.dictionaries(st.sampled_from(ids), rating)),
        flags=draw(st.dictionaries(st.sampled_from(ids), st.lists(written, max_size=2).map(tuple))),
        reason=draw(texts),
        better_answer=draw(texts),
        seconds=draw(st.none() | st.floats(0, 1e6)),
        all_bad=draw(st.booleans()),
        guidelines_version=draw(st.none() | st.integers(1, 9)),
        surplus=draw(st.booleans()),
    )


@st.composite
def fill(draw: st.DrawFn, store: FeedbackStore) -> None:
    """Put prompts, answers, tasks, judgements with edits, skips and written answers into the store."""
    for number in range(draw(st.integers(1, 3))):
        system = [Message(Role.SYSTEM, draw(texts))] if draw(st.booleans()) else []
        tags = draw(st.dictionaries(written, texts, max_size=2))
        prompt = Prompt((*system, Message(Role.USER, f"{number} {draw(texts)}")), draw(written), tags)
        store.add_prompts([prompt], draw(st.sampled_from(Split)))
        answers = [
            Response(prompt.id, f"{k}{draw(texts)}", draw(st.sampled_from(StopReason)), *draw(origins))
            for k in range(draw(st.integers(2, 4)))
        ]
        store.add_responses(answers)
        ids = tuple(response.id for response in answers)
        gold = draw(st.none() | st.just((ids[:1], ids[1:])))
        task = Task(prompt.id, ids, draw(written), 5, gold, draw(st.sampled_from(TaskPurpose)))
        store.add_tasks([task])
        for person in PEOPLE[: draw(st.integers(1, 3))]:
            store.add_annotators([person])
            first = draw(judgements(task, person.id))
            store.submit(first)
            if draw(st.booleans()):
                store.submit(replace(draw(judgements(task, person.id, version=2)), supersedes=first.id))
        if draw(st.booleans()):
            store.add_demonstrations([(prompt.id, draw(written))], draw(written))
            mine = Demonstration(
                f"w{number}", prompt.id, draw(written), "people", "ana", None, draw(st.none() | st.just(2.5))
            )
            store.write(mine)


origins = st.tuples(
    st.none() | st.integers(0, 99),
    st.none() | written,
    st.none() | st.integers(0, 99),
    st.dictionaries(written, st.none() | st.floats(0, 1) | texts | st.lists(texts, max_size=2), max_size=2),
)


def nouns(store: FeedbackStore) -> dict[str, Any]:
    """All that a store holds, in an order of its own; compared in full, also what equality leaves out."""
    found = {
        "prompts": [(p.id, p.messages, p.source, dict(p.tags)) for p in store.prompts()],
        "splits": [store.splits()],
        "responses": [(r.id, r, dict(r.sampling)) for r in store.responses()],
        "tasks": [(t.id, t) for t in store.tasks()],
        "annotators": [(a.id, a) for a in store.annotators()],
        "judgements": [(j.id, j) for j in store.judgements(current_only=False)],
        "current": [(j.id, j) for j in store.judgements()],
        "demonstrations": [(d.id, d) for d in store.written()],
    }
    return {
        name: sorted(rows, key=lambda row: str(row[0]) if isinstance(row, tuple) else "")
        for name, rows in found.items()
    }


def told(store: FeedbackStore) -> dict[str, Any]:
    """The whole rows, with their times, of what somebody said."""
    return {row["id"]: row for row in History(store).rows() if row["annotator"]}


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_a_new_store_holds_the_same_nouns(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("round") / f"all{suffix}"
    with FeedbackStore.open("sqlite://") as before, FeedbackStore.open("sqlite://") as after:
        data.draw(fill(before))
        export_judgements(before, path)
        import_preferences(after, str(path))
        for noun, found in nouns(before).items():
            assert nouns(after)[noun] == found
        assert told(after) == told(before)
        assert after.verify() == []
        again = import_preferences(after, str(path))
        assert (again.pairs, again.rankings, again.demonstrations, again.skipped) == (0, 0, 0, {})


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def test_a_row_says_who_when_and_what(store: FeedbackStore, world: list[Task], tmp_path: Path) -> None:
    task = world[0]
    a, b, c, d = task.response_ids
    first = Judgement("j1", task.id, "ana", Ranking(((a,), (b, c, d))), order=(d, c, b, a), ratings={b: {"helpful": 6}})
    store.submit(first)
    store.submit(replace(first, id="j2", flags={d: ("hateful",)}, reason="Hm.", supersedes="j1"))
    assert store.assign(task.id, "ben", (3, 2, 1, 0))
    store.skip(task.id, "ben", "cannot say")
    assert export_judgements(store, tmp_path / "all.jsonl").rows == 3
    old, new, skip = rows(tmp_path / "all.jsonl")
    assert (old["current"], new["current"], new["supersedes"]) == (False, True, "j1")
    assert (new["annotator"], new["annotator_kind"], new["ranking"]) == ("ana", "person", [[0], [1, 2, 3]])
    assert (new["shown"], new["ratings"][1], new["flags"][3]) == ([3, 2, 1, 0], {"helpful": 6}, ["hateful"])
    assert [answer["text"] for answer in new["answers"]] == [r.text for r in store.responses([task.prompt_id])]
    assert old["at"] < new["at"] < skip["at"]
    assert (skip["kind"], skip["annotator"], skip["reason"], skip["ranking"]) == ("skip", "ben", "cannot say", None)


def test_skips_come_back(store: FeedbackStore, world: list[Task], tmp_path: Path) -> None:
    store.assign(world[0].id, "ben", (0, 1, 2, 3))
    store.skip(world[0].id, "ben", "cannot say")
    export_judgements(store, tmp_path / "all.jsonl")
    with FeedbackStore.open("sqlite://") as after:
        assert import_preferences(after, str(tmp_path / "all.jsonl")).skips == 1
        assert after.settled("ben") == {world[0].id}
        export_judgements(after, tmp_path / "again.jsonl")
        assert import_preferences(after, str(tmp_path / "all.jsonl")).skips == 0
    before, again = rows(tmp_path / "all.jsonl"), rows(tmp_path / "again.jsonl")
    assert again == before


def test_what_was_taken_back_is_not_there(store: FeedbackStore, world: list[Task], tmp_path: Path) -> None:
    a, b, c, d = world[0].response_ids
    for task in world[:2]:
        store.assign(task.id, "ana", (0, 1, 2, 3))
    store.submit(Judgement("j1", world[0].id, "ana", Ranking(((a,), (b, c, d))), reason="oops"))
    store.retract("j1", "ana")
    store.submit(Judgement("j2", world[0].id, "ana", Ranking(((b,), (a, c, d)))))
    export_judgements(store, tmp_path / "all.jsonl")
    assert [row["id"] for row in rows(tmp_path / "all.jsonl")] == ["j2"]
    with FeedbackStore.open("sqlite://") as after:
        assert import_preferences(after, str(tmp_path / "all.jsonl")).rankings == 1


def test_who_withdraws_leaves_with_everything(store: FeedbackStore, world: list[Task], tmp_path: Path) -> None:
    a, b, c, d = world[0].response_ids
    for person in ("ana", "ben"):
        store.submit(Judgement(f"j-{person}", world[0].id, person, Ranking(((a,), (b, c, d)))))
        store.assign(world[1].id, person, (0, 1, 2, 3))
        store.skip(world[1].id, person, f"{person} cannot say")
        store.write(Demonstration(f"w-{person}", world[2].prompt_id, f"{person} wrote", annotator_id=person))
    assert store.withdraw(annotator_id="ana", reason="asked", actor="lead") == 2
    export_judgements(store, tmp_path / "all.jsonl")
    assert {row["annotator"] for row in rows(tmp_path / "all.jsonl")} == {"ben"}
    assert "ana" not in (tmp_path / "all.jsonl").read_text()


def test_a_damaged_row_imports_nothing(store: FeedbackStore, world: list[Task], tmp_path: Path) -> None:
    a, b, c, d = world[0].response_ids
    store.submit(Judgement("j1", world[0].id, "ana", Ranking(((a,), (b, c, d)))))
    path = tmp_path / "all.jsonl"
    export_judgements(store, path)
    [good] = rows(path)
    damages = [
        {"ranking": [[7]]},
        {"kind": "rumour"},
        {"plaudit": 2},
        {"annotator": None},
        {"answers": 3},
        {"prompt": []},
    ]
    for damage in damages:
        path.write_text(f"{json.dumps(good)}\n{json.dumps(good | damage)}\n")
        with FeedbackStore.open("sqlite://") as after:
            with pytest.raises(UsageError, match=r"all.jsonl, line 2: .* Nothing was imported."):
                import_preferences(after, str(path))
            assert after.counts()["events"] == 0


def test_names_are_kept(store: FeedbackStore, world: list[Task], tmp_path: Path) -> None:
    a, b, c, d = world[0].response_ids
    store.submit(Judgement("j1", world[0].id, "ana", Ranking(((a,), (b, c, d)))))
    export_judgements(store, tmp_path / "all.jsonl")
    with pytest.raises(UsageError, match="leave --name out"):
        import_preferences(store, str(tmp_path / "all.jsonl"), name="mine")
