"""What is said is kept, once, whole or not at all; and the projections are what the events say."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Table, update

from plaudit.errors import ConflictError, PlauditError
from plaudit.feedback.events import schema as tables
from plaudit.feedback.events.connection import writing_transaction
from plaudit.feedback.store import FeedbackStore
from plaudit.types import (
    Annotator,
    AnnotatorKind,
    Assignment,
    Judgement,
    Message,
    Prompt,
    Ranking,
    Response,
    Role,
    Split,
    StopReason,
    Task,
    content_id,
)

ON_BOTH_DATABASES = True


def judgement(task: Task, annotator: str = "ana", name: str = "j1", best: int = 0, **more: object) -> Judgement:
    """`best` stands above the other answers, which tie."""
    ids = task.response_ids
    ranking = Ranking(((ids[best],), tuple(r for r in ids if r != ids[best])))
    return Judgement(name, task.id, annotator, ranking, **more)  # type: ignore[arg-type]


def test_everything_comes_back_as_it_went_in(store: FeedbackStore) -> None:
    prompt = Prompt(
        (Message(Role.SYSTEM, "Be brief."), Message(Role.USER, 'Grüße? "\n\t\x00 👋')), "mine", {"topic": "hello"}
    )
    a = Response(prompt.id, "Hallo", StopReason.LENGTH, 3, "run-1", 7, {"temperature": 0.7})
    b = Response(prompt.id, "")
    task = Task(prompt.id, (a.id, b.id), "Which is shorter?", 3, gold=((b.id,), (a.id,)))
    said = Judgement(
        id="j",
        task_id=task.id,
        annotator_id="ana",
        ranking=Ranking(((a.id, b.id),)),
        order=(b.id, a.id),
        strength=2,
        ratings={a.id: {"helpful": 7}},
        flags={b.id: ("empty",)},
        reason="One is empty.",
        better_answer="Hallo!",
        seconds=12.25,
    )
    store.add_prompts([prompt])
    store.add_demonstrations([(prompt.id, "Guten Tag"), (prompt.id, "Servus")], source="mine")
    store.add_responses([a, b])
    store.add_tasks([task])
    store.add_annotators([Annotator("ana", AnnotatorKind.PERSON, "left-handed")])
    assert store.submit(said)
    assert store.prompts() == [prompt]
    assert store.prompts()[0].tags == {"topic": "hello"}
    assert store.demonstrations() == {prompt.id: ("Guten Tag", "Servus")}
    assert store.responses() == [a, b]
    assert store.responses()[0].sampling == {"temperature": 0.7}
    assert store.tasks() == [task]
    assert store.annotators() == [Annotator("ana", AnnotatorKind.PERSON, "left-handed")]
    assert store.judgements() == [said]
    assert store.verify() == []


def test_readers_filter(store: FeedbackStore, world: list[Task]) -> None:
    other = Prompt.from_text("Elsewhere?", source="other")
    store.add_prompts([other], split=Split.HELDOUT)
    store.add_responses([Response(other.id, "Yes.", run_id="run-9")])
    assert store.prompts(source="other") == [other]
    assert other in store.prompts(split=Split.HELDOUT)
    assert other not in store.prompts(split=Split.TRAIN)
    assert [r.text for r in store.responses(run_id="run-9")] == ["Yes."]
    assert len(store.responses(prompt_ids=[world[0].prompt_id, other.id])) == 5
    assert store.responses(prompt_ids=[]) == []
    assert store.counts()["prompts"] == 4 == store.counts()["prompts_train"] + store.counts()["prompts_heldout"]


def test_adding_again_adds_nothing(store: FeedbackStore, world: list[Task]) -> None:
    before = store.counts()
    assert store.add_prompts(store.prompts()) == 0
    assert store.add_responses(store.responses() * 2) == 0
    assert store.add_tasks(world) == 0
    assert store.add_annotators(store.annotators()) == 0
    assert store.counts() == before


def test_the_first_of_two_alike_stays(store: FeedbackStore) -> None:
    store.add_prompts([Prompt.from_text("Same?", source="first"), Prompt.from_text("Same?", source="second")])
    store.add_prompts([Prompt.from_text("Same?", source="third")])
    assert [p.source for p in store.prompts()] == ["first"]


def test_what_refers_to_nothing_is_refused(store: FeedbackStore, world: list[Task]) -> None:
    task = world[0]
    for wrong in (
        lambda: store.add_responses([Response("nowhere", "Hello")]),
        lambda: store.add_demonstrations([("nowhere", "Hello")]),
        lambda: store.add_tasks([Task(task.prompt_id, ("no", "none"))]),
        lambda: store.assign(task.id, "nobody", (0, 1, 2, 3)),
        lambda: store.assign("no task", "ana", (0, 1, 2, 3)),
        lambda: store.submit(judgement(task, annotator="nobody")),
    ):
        with pytest.raises(PlauditError, match=r"There is no .* in the feedback store"):
            wrong()
    with pytest.raises(PlauditError, match="answers another prompt"):
        store.add_tasks([Task(task.prompt_id, (task.response_ids[0], world[1].response_ids[0]))])


class TestSplit:
    def test_by_hash_is_a_fifth(self, store: FeedbackStore) -> None:
        store.add_prompts([Prompt.from_text(f"Question {i}") for i in range(1_000)])
        assert 150 < store.counts()["prompts_heldout"] < 250

    def test_by_tag(self, store: FeedbackStore) -> None:
        prompts = [Prompt.from_text(f"{s} {i}", "demo", split=s) for s in ("train", "heldout") for i in range(20)]
        store.add_prompts(prompts)
        assert store.prompts(split=Split.HELDOUT) == prompts[20:]

    def test_a_tag_that_is_no_split_is_refused(self, store: FeedbackStore) -> None:
        with pytest.raises(PlauditError, match='tag split "test"'):
            store.add_prompts([Prompt.from_text("A?", split="test")])

    def test_one_opening_stays_on_one_side_whatever_comes_later(self, store: FeedbackStore) -> None:
        opening = Message(Role.USER, "Hello")
        longer = Prompt((opening, Message(Role.ASSISTANT, "Hi"), Message(Role.USER, "Bye")), tags={"split": "heldout"})
        store.add_prompts([Prompt((opening,))], split=Split.TRAIN)
        store.add_prompts([longer])
        assert store.splits() == {Prompt((opening,)).id: Split.TRAIN, longer.id: Split.TRAIN}


class TestSubmit:
    def test_twice_is_once(self, store: FeedbackStore, world: list[Task]) -> None:
        assert store.submit(judgement(world[0]))
        assert not store.submit(judgement(world[0]))
        assert store.counts()["judgements"] == 1

    def test_twice_at_once_is_once(self, store: FeedbackStore, world: list[Task]) -> None:
        results: list[bool] = []
        threads = [threading.Thread(target=lambda: results.append(store.submit(judgement(world[0])))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == [False] * 7 + [True]
        assert store.verify() == []

    def test_one_id_with_two_contents_is_refused(self, store: FeedbackStore, world: list[Task]) -> None:
        store.submit(judgement(world[0], best=0))
        with pytest.raises(PlauditError, match="already stored with other content"):
            store.submit(judgement(world[0], best=1))
        assert store.judgements() == [judgement(world[0], best=0)]

    def test_an_edit_supersedes_and_nothing_is_lost(self, store: FeedbackStore, world: list[Task]) -> None:
        first, second = judgement(world[0]), judgement(world[0], name="j2", best=2, supersedes="j1")
        store.submit_all([first, second])
        assert store.judgements() == [second]
        assert store.judgements(current_only=False) == [first, second]
        assert store.counts()["edits"] == 1
        assert store.verify() == []

    def test_a_second_opinion_of_the_same_person_must_be_an_edit(self, store: FeedbackStore, world: list[Task]) -> None:
        store.submit(judgement(world[0]))
        with pytest.raises(PlauditError, match="an edit must supersede that"):
            store.submit(judgement(world[0], name="j2"))
        store.submit(judgement(world[0], name="j3", supersedes="j1"))
        with pytest.raises(PlauditError, match="an edit must supersede that"):
            store.submit(judgement(world[0], name="j4", supersedes="j1"))
        with pytest.raises(PlauditError, match="is not what ben says"):
            store.submit(judgement(world[0], "ben", name="j5", supersedes="j3"))

    @pytest.mark.parametrize(
        ("more", "sentence"),
        [
            ({"order": ("x", "y")}, "show every answer"),
            ({"strength": 2}, "only a pair"),
            ({"ratings": {"x": {"helpful": 3}}}, "does not have"),
            ({"flags": {"x": ("rude",)}}, "does not have"),
            ({"seconds": -1.0}, "zero or more"),
            ({"seconds": float("nan")}, "zero or more"),
        ],
    )
    def test_what_does_not_fit_the_task_is_refused(
        self, store: FeedbackStore, world: list[Task], more: dict[str, object], sentence: str
    ) -> None:
        with pytest.raises(PlauditError, match=sentence):
            store.submit(judgement(world[0], **more))

    def test_a_ranking_of_other_answers_is_refused(self, store: FeedbackStore, world: list[Task]) -> None:
        part = Judgement("j", world[0].id, "ana", Ranking((world[0].response_ids[:3],)))
        with pytest.raises(PlauditError, match="rank every answer"):
            store.submit(part)

    def test_one_that_does_not_fit_stops_all(self, store: FeedbackStore, world: list[Task]) -> None:
        with pytest.raises(PlauditError):
            store.submit_all([judgement(world[0]), judgement(world[1], name="j2", strength=9)])
        assert store.judgements() == []


class TestLeases:
    order = (3, 1, 0, 2)

    def test_the_shown_order_stays(self, store: FeedbackStore, world: list[Task]) -> None:
        given = store.assign(world[0].id, "ana", self.order)
        assert given == Assignment(content_id(world[0].id, "ana"), world[0].id, "ana", self.order)
        assert store.assign(world[0].id, "ana", (0, 1, 2, 3)) == given
        assert store.assignments("ana") == [given]
        assert store.assignments("ben") == []

    def test_a_task_has_as_many_places_as_its_overlap(self, store: FeedbackStore, world: list[Task]) -> None:
        assert store.assign(world[0].id, "ana", self.order)
        assert store.assign(world[0].id, "ben", self.order)
        assert store.assign(world[0].id, "cem", self.order) is None

    def test_a_skipped_place_is_free_again(self, store: FeedbackStore, world: list[Task]) -> None:
        store.assign(world[0].id, "ana", self.order)
        store.assign(world[0].id, "ben", self.order)
        store.skip(world[0].id, "ana", "I wrote one of these.")
        assert store.assign(world[0].id, "cem", self.order)
        assert store.assign(world[0].id, "ana", self.order) is None
        assert store.settled_tasks("ana") == {world[0].id}
        assert store.verify() == []

    def test_only_what_one_has_can_be_skipped(self, store: FeedbackStore, world: list[Task]) -> None:
        with pytest.raises(PlauditError, match="cannot skip"):
            store.skip(world[0].id, "ana", "")

    def test_a_lease_that_ran_out_can_be_taken_over_and_a_late_answer_still_counts(
        self, store: FeedbackStore, world: list[Task], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.assign(world[0].id, "ana", self.order)
        store.assign(world[0].id, "ben", self.order)
        monkeypatch.setattr(store, "_now", lambda: datetime.now(UTC) + timedelta(hours=2))
        assert store.assign(world[0].id, "cem", self.order)
        assert store.submit(judgement(world[0], "ana"))
        assert store.submit(judgement(world[0], "cem", "j2"))
        assert store.verify() == []

    def test_ones_own_lease_that_ran_out_is_taken_up_again(
        self, store: FeedbackStore, world: list[Task], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = store.assign(world[0].id, "ana", self.order)
        monkeypatch.setattr(store, "_now", lambda: datetime.now(UTC) + timedelta(hours=2))
        assert store.assign(world[0].id, "ana", (0, 1, 2, 3)) == first
        assert store.assign(world[0].id, "ben", self.order)
        assert store.assign(world[0].id, "cem", self.order) is None
        assert store.verify() == []

    def test_what_was_answered_keeps_its_place(
        self, store: FeedbackStore, world: list[Task], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("ana", "ben"):
            store.assign(world[0].id, name, self.order)
            store.submit(judgement(world[0], name, name))
        monkeypatch.setattr(store, "_now", lambda: datetime.now(UTC) + timedelta(hours=2))
        assert store.assign(world[0].id, "cem", self.order) is None

    def test_many_at_once(self, store: FeedbackStore, world: list[Task]) -> None:
        given = [
            Assignment(content_id(task.id, name), task.id, name, self.order)
            for task in world
            for name in ("ana", "ben")
        ]
        assert store.add_assignments(given) == 6
        assert store.add_assignments(given) == 0
        with pytest.raises(PlauditError, match="are taken"):
            store.add_assignments([Assignment(content_id(world[0].id, "cem"), world[0].id, "cem", self.order)])
        assert store.verify() == []

    def test_an_order_must_show_everything_once(self, store: FeedbackStore, world: list[Task]) -> None:
        with pytest.raises(PlauditError, match="does not show each"):
            store.assign(world[0].id, "ana", (0, 0, 1, 2))


class TestHarm:
    """What goes wrong leaves the store as it was."""

    def test_an_interrupted_transaction_leaves_nothing(self, store: FeedbackStore, world: list[Task]) -> None:
        before = store.counts()

        def interrupted() -> None:
            with store.transaction():
                store.add_prompts([Prompt.from_text("New?")])
                store.submit(judgement(world[0]))
                assert store.counts()["judgements"] == 1
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert store.counts() == before
        assert store.verify() == []

    def test_a_part_that_failed_half_way_is_undone_and_the_rest_kept(
        self, store: FeedbackStore, world: list[Task]
    ) -> None:
        def half_way() -> None:
            with store.transaction():
                store.submit(judgement(world[1], name="j2"))
                store.submit(judgement(world[1], name="j3"))

        with store.transaction():
            store.submit(judgement(world[0]))
            with pytest.raises(PlauditError):
                half_way()
        assert [j.id for j in store.judgements()] == ["j1"]
        assert store.verify() == []

    def test_a_refusal_survived_inside_a_transaction_leaves_the_rest(
        self, store: FeedbackStore, world: list[Task]
    ) -> None:
        with store.transaction():
            store.submit(judgement(world[0]))
            with pytest.raises(PlauditError):
                store.submit(judgement(world[0], best=1))
            store.submit(judgement(world[1], name="j2"))
        assert store.counts()["judgements"] == 2

    def test_without_savepoints_a_failure_that_was_survived_ends_all_of_it(
        self, store: FeedbackStore, world: list[Task]
    ) -> None:
        def go_on() -> None:
            with store.transaction(savepoints=False):
                store.add_prompts([Prompt.from_text("New?")])
                with pytest.raises(PlauditError):
                    store.submit(judgement(world[0], name="x" * 65))

        before = store.counts()
        with pytest.raises(RuntimeError, match="savepoints"):
            go_on()
        assert store.counts() == before
        store.submit(judgement(world[0]))
        assert store.verify() == []


class TestWhatHangsOnANewPrompt:
    """It is not looked up, and what is there twice is kept once all the same."""

    def test_it_is_kept_once(self, store: FeedbackStore, world: list[Task]) -> None:
        old, new = store.prompts()[0], Prompt.from_text("New?")
        with store.transaction(savepoints=False):
            for fresh in (1, 0):
                assert store.add_prompts([old, new]) == fresh
                answers = [Response(prompt.id, text) for prompt in (old, new) for text in ("Aye.", "Nay.")]
                assert store.add_responses(answers) == 4 * fresh
                asked = [Task(new.id, (answers[2].id, answers[3].id)), Task(old.id, (answers[0].id, answers[1].id))]
                assert store.add_tasks([*asked, *world]) == 2 * fresh
        assert store.verify() == []

    def test_a_savepoint_may_take_it_back_so_there_it_is_looked_up(self, store: FeedbackStore) -> None:
        prompt = Prompt.from_text("New?")

        def taken_back() -> None:
            with store.transaction():
                store.add_prompts([prompt])
                raise PlauditError("no")

        with store.transaction():
            with pytest.raises(PlauditError, match="no"):
                taken_back()
            with pytest.raises(PlauditError, match="There is no prompt"):
                store.add_responses([Response(prompt.id, "Yes.")])

    def test_what_is_not_there_is_missed(self, store: FeedbackStore, world: list[Task]) -> None:
        def of_none() -> None:
            with store.transaction(savepoints=False):
                store.add_prompts([new := Prompt.from_text("New?")])
                store.add_tasks([Task(new.id, (world[0].response_ids[0], "0" * 16))])

        with pytest.raises(PlauditError, match=r"There is no response 0{16}"):
            of_none()

    def test_an_answer_that_was_made_to_have_anothers_id_is_refused(
        self, store: FeedbackStore, world: list[Task]
    ) -> None:
        def forge() -> None:
            with store.transaction(savepoints=False):
                store.add_prompts([new := Prompt.from_text("New?")])
                forged = Response(new.id, "Mine.")
                forged.__dict__["id"] = world[0].response_ids[0]
                store.add_responses([forged])

        before = store.counts()
        with pytest.raises(ConflictError, match="Two different texts have the id"):
            forge()
        assert store.counts() == before


class TestReplay:
    def test_it_mends_what_was_tampered_with(self, store: FeedbackStore, world: list[Task]) -> None:
        store.submit(judgement(world[0]))
        with writing_transaction(store._engine) as raw:
            forge = f"UPDATE prompts SET split = 'train', source = 'forged' WHERE id = '{world[0].prompt_id}'"
            raw.exec_driver_sql(forge)
            raw.exec_driver_sql("DELETE FROM judgements")
            raw.exec_driver_sql("INSERT INTO annotators VALUES ('ghost', 1, 'person', '')")
        found = store.verify()
        assert any("source" in sentence and world[0].prompt_id in sentence for sentence in found)
        assert any(sentence.startswith("judgements j1: missing") for sentence in found)
        assert any(sentence.startswith("annotators ghost: stored, but no event") for sentence in found)
        store.replay()
        assert store.verify() == []
        assert store.judgements() == [judgement(world[0])]


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        (tables.prompts, "messages", [["user"]]),
        (tables.prompts, "messages", [["nobody", "Hi"]]),
        (tables.responses, "stop_reason", "whim"),
        (tables.tasks, "gold", [["none"]]),
        (tables.tasks, "purpose", "whim"),
        (tables.judgements, "ranking", []),
        (tables.judgements, "flags", ["rude"]),
    ],
)
def test_what_is_no_noun_is_found(
    store: FeedbackStore, world: list[Task], table: Table, column: str, value: object
) -> None:
    store.submit(judgement(world[0]))
    assert store.verify() == []
    with writing_transaction(store._engine) as connection:
        connection.execute(update(table).values({column: value}))
    assert any(sentence.startswith(f"{table.name} ") and "differ from" not in sentence for sentence in store.verify())


def test_tens_of_thousands_of_rows_take_seconds(store: FeedbackStore) -> None:
    prompts = [Prompt.from_text(f"Question {i}") for i in range(2_500)]
    pairs = [(Response(p.id, "Yes."), Response(p.id, "No.")) for p in prompts]
    tasks = [Task(p.id, (a.id, b.id)) for p, (a, b) in zip(prompts, pairs, strict=True)]
    said = [Judgement(f"j{i}", t.id, "ana", Ranking((t.response_ids,))) for i, t in enumerate(tasks)]
    started = datetime.now(UTC)
    with store.transaction():
        store.add_annotators([Annotator("ana")])
        store.add_prompts(prompts)
        store.add_responses([r for pair in pairs for r in pair])
        store.add_tasks(tasks)
        store.submit_all(said)
    seconds = (datetime.now(UTC) - started).total_seconds()
    assert store.counts()["events"] == 12_501
    assert seconds < 8  # measured: about 1


def test_any_text_comes_back_as_it_was(store: FeedbackStore) -> None:
    prompt = Prompt.from_text("Odd?")
    odd = ["nul\0", "\uffff", "\ufffe", "\ufffe\uffff\0\ufffe\ufffe", "\0\uffff\ufffe", "\uffff\uffff", "", "plain"]
    added = [Response(prompt.id, text) for text in odd]
    store.add_prompts([prompt])
    store.add_responses(added)
    assert [response.text for response in store.responses()] == odd
    assert [response.id for response in store.responses()] == [response.id for response in added]
    assert store.verify() == []


def test_ids_come_from_content_and_never_change() -> None:
    """Stores and exports elsewhere hold these ids."""
    prompt = Prompt.from_text("Grün?\n", "x")
    a, b = Response(prompt.id, "Ja."), Response(prompt.id, "Nein.", StopReason.LENGTH, run_id="sample-001")
    assert (prompt.id, prompt.opening_id) == ("826d5d553cd47e2f", "826d5d553cd47e2f")
    assert (a.id, b.id) == ("20529ec396e80830", "7d1c4da043103ecb")
    assert Task(prompt.id, (a.id, b.id)).id == "f151f96150996f1d"
    assert Task(prompt.id, (b.id, a.id), "Which is safer?").id == "035c4185d4120361"
