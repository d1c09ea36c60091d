"""Everything that was said leaves whole, and comes back as the same nouns under the same ids."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from plaudit.errors import ConflictError, UsageError
from plaudit.feedback.exchange import reading
from plaudit.feedback.exchange.exports import export_judgements
from plaudit.feedback.exchange.history import History
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.store import FeedbackStore
from plaudit.types import (
    Annotator,
    AnnotatorKind,
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
    """The whole rows, with their times."""
    return {row["id"]: row for row in History(store).rows()}


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
        import_preferences(after, str(path), trust_names=True)
        for noun, found in nouns(before).items():
            assert nouns(after)[noun] == found
        assert told(after) == told(before)
        assert after.verify() == []
        again = import_preferences(after, str(path), trust_names=True)
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
        assert import_preferences(after, str(tmp_path / "all.jsonl"), trust_names=True).skips == 1
        assert after.settled_tasks("ben") == {world[0].id}
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


def by_hand(store: FeedbackStore, world: list[Task]) -> list[dict[str, Any]]:
    """A row of every kind, as full as it can be."""
    prompt = Prompt.from_text("Pair?", "world", language="en")
    store.add_prompts([prompt])
    pair = [Response(prompt.id, text, tokens=3, run_id="r", seed=1, sampling={"t": 1.0}) for text in ("A.", "B.")]
    store.add_responses(pair)
    a, b = (response.id for response in pair)
    tasks = Task(prompt.id, (a, b), overlap=3, gold=((a,), (b,))), Task(prompt.id, (), "Write.")
    store.add_tasks(tasks)
    ratings, flags = {a: {"helpful": 3}}, {b: ("hateful",)}
    store.submit(
        Judgement("j1", tasks[0].id, "ana", Ranking(((a,), (b,))), (b, a), 2, ratings, flags, "Hm.", "C.", 3.5)
    )
    store.assign(tasks[0].id, "ben", (0, 1))
    store.skip(tasks[0].id, "ben", "cannot say")
    store.write(Demonstration("d1", prompt.id, "text", "people", "ana", tasks[1].id, 2.0))
    store.add_demonstrations([(prompt.id, "unsigned")], "world")
    return list(History(store).rows())


ODD = [
    None, "", "x", 0, -1, 10**30, 10**400, 1.5, float("nan"), float("inf"), [], {}, [1], ["x"], {"a": 1}, True,
    [[0], [0]], [[0]], "\ud800", [None, {"h": 99}], [None, {"h": "x"}], [None, {"h": 2.5}], [[5], [6]], [[-1], [0]],
    [[True], [False]], [{"role": "user"}], "0001-01-01T00:00:00+14:00", "2026-01-01", "a" * 300, {"split": "foo"},
    {"x": float("nan")},
    {"x": "\ud800"}, {"x": [1]}, [-1, 0], [0, 0], b"x",
]  # fmt: skip


class EnoughError(Exception):
    """So that the store is as before."""


def test_a_row_with_one_odd_value_is_taken_in_or_refused_by_its_line(
    store: FeedbackStore, world: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, refused = 0, []
    with FeedbackStore.open("sqlite://") as after:
        for good in by_hand(store, world):
            odd = [good | {name: value} for name in good for value in ODD]
            for answer in (good["answers"] or [])[:1]:
                odd += [good | {"answers": [answer | {n: v}, *good["answers"][1:]]} for n in answer for v in ODD]
            for row in odd:
                monkeypatch.setattr(reading, "records", lambda _, row=row: iter([("all.jsonl, line 1", row)]))
                try:
                    with after.transaction():
                        import_preferences(after, "all.jsonl", "plaudit")
                        raise EnoughError
                except EnoughError:
                    taken += 1
                except UsageError as error:
                    refused.append(str(error))
                except ConflictError as error:  # the row is sound, but nothing is there that it could supersede
                    refused.append(f"all.jsonl, line 1: {error}" if row["supersedes"] else str(error))
        assert after.counts()["events"] == 0
    assert [sentence for sentence in refused if not sentence.startswith("all.jsonl, line 1: ")] == []
    assert min(taken, len(refused)) > 100


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"overlap": 0}, '"overlap" cannot be 0'),
        ({"overlap": None}, "a task has an overlap"),
        ({"tags": None}, '"tags" cannot be null'),
        ({"reason": 3}, '"reason" cannot be 3'),
        ({"ranking": [[-1], [0]]}, '"ranking" cannot be'),
        ({"shown": [0, 0]}, "must show every answer"),
        ({"ratings": [{"helpful": 8}, None]}, "a rating outside 1 to 7"),
        ({"ratings": [{"helpful": 2.5}, None]}, '"ratings" cannot be'),
        ({"flags": ["hateful", None]}, '"flags" cannot be'),
        ({"gold": [[0]]}, "orders at least two"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "not a row as plaudit writes it"),
    ],
)
def test_what_is_not_of_its_columns_type_is_refused(
    store: FeedbackStore, world: list[Task], tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    (tmp_path / "all.jsonl").write_text(json.dumps(by_hand(store, world)[0] | change) + "\n")
    with FeedbackStore.open("sqlite://") as after, pytest.raises(UsageError, match=why):
        import_preferences(after, str(tmp_path / "all.jsonl"))


def test_a_time_without_a_zone_is_utc(store: FeedbackStore, world: list[Task], tmp_path: Path) -> None:
    (tmp_path / "all.jsonl").write_text(json.dumps(by_hand(store, world)[0] | {"at": "2026-01-02T03:04:05"}) + "\n")
    with FeedbackStore.open("sqlite://") as after:
        import_preferences(after, str(tmp_path / "all.jsonl"))
        assert [row["at"] for row in History(after).rows()] == ["2026-01-02T03:04:05.000000+00:00"]


def test_a_grown_history_comes_in_again_after_something_was_taken_back(
    store: FeedbackStore, world: list[Task], tmp_path: Path
) -> None:
    a, b, c, d = world[0].response_ids
    writing = Task(world[0].prompt_id, (), "Write.")
    store.add_tasks([writing])
    store.submit(Judgement("j1", world[0].id, "ana", Ranking(((a,), (b, c, d)))))
    store.write(Demonstration("d1", writing.prompt_id, "old", annotator_id="ana", task_id=writing.id))
    export_judgements(store, tmp_path / "old.jsonl")
    store.retract("j1", "ana")
    store.submit(Judgement("j2", world[0].id, "ana", Ranking(((b,), (a, c, d)))))
    store.submit(Judgement("j3", world[0].id, "ana", Ranking(((c,), (a, b, d))), supersedes="j2"))
    store.retract("d1", "ana")
    store.write(Demonstration("d2", writing.prompt_id, "new", annotator_id="ana", task_id=writing.id))
    export_judgements(store, tmp_path / "new.jsonl")
    with FeedbackStore.open("sqlite://") as after:
        import_preferences(after, str(tmp_path / "old.jsonl"))
        grown = import_preferences(after, str(tmp_path / "new.jsonl"))
        assert (grown.rankings, grown.demonstrations, grown.duplicates) == (2, 1, 0)
        assert [(j.id, j.supersedes) for j in after.judgements(False)] == [("j1", None), ("j2", "j1"), ("j3", "j2")]
        assert [j.id for j in after.judgements()] == ["j3"]
        assert [w.text for w in after.written()] == ["new"]
        assert after.verify() == []
        for file in ("old", "new"):
            again = import_preferences(after, str(tmp_path / f"{file}.jsonl"))
            assert (again.rankings, again.demonstrations, again.skipped) == (0, 0, {})


def test_what_was_withdrawn_here_stays_so_and_is_not_counted_as_new(
    store: FeedbackStore, world: list[Task], tmp_path: Path
) -> None:
    a, b, c, d = world[0].response_ids
    store.submit(Judgement("j1", world[0].id, "ana", Ranking(((a,), (b, c, d)))))
    export_judgements(store, tmp_path / "old.jsonl")
    store.retract("j1", "ana")
    store.submit(Judgement("j2", world[0].id, "ana", Ranking(((b,), (a, c, d)))))
    export_judgements(store, tmp_path / "new.jsonl")
    with FeedbackStore.open("sqlite://") as after:
        import_preferences(after, str(tmp_path / "old.jsonl"))
        after.withdraw(annotator_id="ana", reason="asked", actor="lead")
        again = import_preferences(after, str(tmp_path / "old.jsonl"))
        assert (again.pairs, again.rankings, again.duplicates) == (0, 0, 1)
        grown = import_preferences(after, str(tmp_path / "new.jsonl"))
        assert (grown.rankings, sum(grown.skipped.values())) == (0, 1)
        assert "1 because its annotator's answer to the task was withdrawn here" in str(grown)
        assert after.judgements() == []


def test_the_guidelines_of_another_store_are_not_ours(store: FeedbackStore, world: list[Task], tmp_path: Path) -> None:
    a, b, c, d = world[0].response_ids
    store.publish_guidelines({"en": "Be kind."}, "lead")
    store.read_guidelines("ana", 1)
    store.submit(Judgement("j1", world[0].id, "ana", Ranking(((a,), (b, c, d)))))
    export_judgements(store, tmp_path / "all.jsonl")
    assert rows(tmp_path / "all.jsonl")[0]["guidelines_version"] == 1
    assert import_preferences(store, str(tmp_path / "all.jsonl")).duplicates == 1
    assert store.judgements()[0].guidelines_version == 1
    with FeedbackStore.open("sqlite://") as after:
        after.add_annotators([Annotator("ana")])
        after.publish_guidelines({"en": "Be brief."}, "lead")
        after.read_guidelines("ana", 1)
        import_preferences(after, str(tmp_path / "all.jsonl"))
        assert after.judgements()[0].guidelines_version is None
    with FeedbackStore.open("sqlite://") as archive:
        import_preferences(archive, str(tmp_path / "all.jsonl"))
        assert archive.judgements()[0].guidelines_version == 1
        assert archive.publish_guidelines({"en": "Be brief."}, "lead") == 2
        assert import_preferences(archive, str(tmp_path / "all.jsonl")).duplicates == 1


def test_what_comes_in_when_others_have_all_places_is_surplus(
    store: FeedbackStore, world: list[Task], tmp_path: Path
) -> None:
    a, b, c, d = world[0].response_ids
    first = Judgement("j1", world[0].id, "ana", Ranking(((a,), (b, c, d))))
    store.submit(first)
    store.submit(replace(first, id="j2", reason="Hm.", supersedes="j1"))
    export_judgements(store, tmp_path / "all.jsonl")
    with FeedbackStore.open("sqlite://") as after:
        after.add_prompts(store.prompts())
        after.add_responses(store.responses())
        after.add_tasks(store.tasks())
        after.add_annotators([Annotator("ben"), Annotator("cem")])
        for person in ("ben", "cem"):
            after.assign(world[0].id, person, (0, 1, 2, 3))
            after.submit(replace(first, id=person, annotator_id=person))
        import_preferences(after, str(tmp_path / "all.jsonl"))
        assert {j.id: j.surplus for j in after.judgements(False)} == {
            "ben": False,
            "cem": False,
            "j1": True,
            "j2": True,
        }
        assert import_preferences(after, str(tmp_path / "all.jsonl")).duplicates == 2
        assert after.verify() == []
