"""What leads decide: settings, guidelines, withdrawal, and the log of what they did."""

from __future__ import annotations

import pytest

from plaudit.errors import ConflictError, NotThereError, UsageError
from plaudit.feedback.aggregate import preferences
from plaudit.feedback.labelling.settings import ProjectSettings
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Demonstration, Judgement, Ranking, Task

ON_BOTH_DATABASES = True


def judged(task: Task, annotator: str = "ana", name: str = "j1", **more: object) -> Judgement:
    return Judgement(name, task.id, annotator, Ranking((task.response_ids,)), **more)  # type: ignore[arg-type]


class TestSettings:
    def test_they_come_back_as_they_were_set(self, store: FeedbackStore) -> None:
        assert store.settings() == ProjectSettings()
        changed = ProjectSettings("Clinic", "Which is kinder?", (), ("rude",), False, False, 5.0, 0.9, 22.5, "EUR")
        store.change_settings(changed, "lead")
        assert store.settings() == changed
        before = store.counts()["events"]
        store.change_settings(changed, "lead")
        assert store.counts()["events"] == before
        store.change_settings(ProjectSettings(), "lead")
        assert store.settings() == ProjectSettings()
        assert store.verify() == []

    @pytest.mark.parametrize(
        ("wrong", "sentence"),
        [
            ({"question": " "}, "question"),
            ({"attributes": ("kind", "kind")}, "attribute needs a name of its own"),
            ({"flags": ("",)}, "flag needs a name"),
            ({"lease_minutes": 0}, "lease_minutes"),
            ({"lease_minutes": float("nan")}, "lease_minutes"),
            ({"qualification_pass": 1.1}, "between 0 and 1"),
            ({"hourly_cost": -1.0}, "hourly_cost"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, wrong: dict[str, object], sentence: str) -> None:
        with pytest.raises(ValueError, match=sentence):
            ProjectSettings(**wrong)  # type: ignore[arg-type]


class TestGuidelines:
    def test_versions_count_up_and_readings_are_kept(self, store: FeedbackStore, world: list[Task]) -> None:
        assert store.guidelines() is None
        assert store.publish_guidelines({"en": "# Be kind", "ja": "親切に"}, "lead") == 1
        assert store.publish_guidelines({"en": "# Be kind", "ja": "親切に"}, "lead") == 1
        assert store.publish_guidelines({"en": "# Be honest"}, "lead") == 2
        newest, first = store.guidelines(), store.guidelines(1)
        assert newest is not None
        assert first is not None
        assert (newest.version, newest.texts, newest.author) == (2, {"en": "# Be honest"}, "lead")
        assert first.texts["ja"] == "親切に"
        assert store.guidelines(3) is None
        assert store.version_read("ana") is None
        for version in (1, 1, 2):
            store.read_guidelines("ana", version)
        assert store.version_read("ana") == 2
        assert store.version_read("ben") is None
        assert store.counts()["readings"] == 2
        assert store.verify() == []

    def test_a_judgement_records_the_version_that_its_author_had_read(
        self, store: FeedbackStore, world: list[Task]
    ) -> None:
        store.publish_guidelines({"en": "One"}, "lead")
        store.read_guidelines("ana", 1)
        store.submit(judged(world[0]))
        assert not store.submit(judged(world[0]))  # sent again, still without a version
        store.publish_guidelines({"en": "Two"}, "lead")
        store.read_guidelines("ana", 2)
        assert not store.submit(judged(world[0]))
        store.submit(judged(world[1], name="j2"))
        store.submit(judged(world[1], "ben", "j3"))
        store.submit(judged(world[2], name="j4", guidelines_version=1))
        assert [j.guidelines_version for j in store.judgements()] == [1, 2, None, 1]

    def test_what_cannot_be_is_refused(self, store: FeedbackStore, world: list[Task]) -> None:
        for texts in ({}, {"en": " "}, {"": "Text"}):
            with pytest.raises(UsageError, match="Guidelines need a text"):
                store.publish_guidelines(texts, "lead")
        with pytest.raises(NotThereError, match="no version 1"):
            store.read_guidelines("ana", 1)
        store.publish_guidelines({"en": "One"}, "lead")
        with pytest.raises(NotThereError, match="no annotator nobody"):
            store.read_guidelines("nobody", 1)


class TestWithdrawal:
    def test_all_that_somebody_said_leaves_for_good(self, store: FeedbackStore, world: list[Task]) -> None:
        writing = Task(world[0].prompt_id, (), "Write a good answer.")
        store.add_tasks([writing])
        store.submit_all([judged(world[0]), judged(world[1], name="j2"), judged(world[0], "ben", "j3")])
        store.submit(judged(world[0], name="j4", supersedes="j1"))
        store.write(Demonstration("d1", writing.prompt_id, "So.", "app", "ana", writing.id))
        before = store.settled_tasks("ana")
        assert store.withdraw(annotator_id="ana", reason="asked to", actor="lead") == 4
        assert store.withdraw(annotator_id="ana", reason="asked to", actor="lead") == 0
        assert [j.id for j in store.judgements(current_only=False)] == ["j3"]
        assert store.demonstrations() == {}
        assert (store.judgement("j1"), store.demonstration("d1")) == (None, None)
        assert {p.votes for p in preferences(store)} == {1.0}
        assert store.settled_tasks("ana") == before
        assert store.history("ana") == []
        assert store.counts()["withdrawn"] == 4
        assert store.verify() == []

    def test_one_entry_goes_with_all_its_versions_and_nothing_else(
        self, store: FeedbackStore, world: list[Task]
    ) -> None:
        store.submit_all([judged(world[0]), judged(world[1], name="j2")])
        store.submit(judged(world[0], name="j3", supersedes="j1"))
        assert store.withdraw(entry_id="j1", reason="", actor="lead") == 2
        assert [j.id for j in store.judgements(current_only=False)] == ["j2"]
        with pytest.raises(ConflictError, match="was withdrawn"):
            store.submit(judged(world[0], name="j5", supersedes="j3"))
        with pytest.raises(NotThereError):
            store.retract("j3", "ana")
        assert store.verify() == []

    def test_its_place_is_free_for_others_but_not_for_its_author(self, store: FeedbackStore, world: list[Task]) -> None:
        for name in ("ana", "ben"):
            store.assign(world[0].id, name, (0, 1, 2, 3))
            store.submit(judged(world[0], name, name))
        assert store.progress("cem").left == 2
        store.withdraw(annotator_id="ana", reason="", actor="lead")
        assert store.progress("cem").left == 3
        assert store.progress("ana").left == 2
        assert store.assign(world[0].id, "cem", (0, 1, 2, 3))
        assert store.verify() == []

    def test_a_data_sets_demonstration_can_be_withdrawn(self, store: FeedbackStore, world: list[Task]) -> None:
        store.add_demonstrations([(world[0].prompt_id, "Out of a book."), (world[0].prompt_id, "Free.")])
        [book, _] = store.written()
        assert store.withdraw(entry_id=book.id, reason="copyright", actor="lead") == 1
        assert store.demonstrations() == {world[0].prompt_id: ("Free.",)}
        assert store.verify() == []

    def test_what_is_not_there_is_refused(self, store: FeedbackStore, world: list[Task]) -> None:
        with pytest.raises(NotThereError, match="no annotator nobody"):
            store.withdraw(annotator_id="nobody", reason="", actor="lead")
        with pytest.raises(UsageError, match="no judgement or demonstration j9"):
            store.withdraw(entry_id="j9", reason="", actor="lead")
        for both in ({}, {"annotator_id": "ana", "entry_id": "j1"}):
            with pytest.raises(UsageError, match="either the annotator or the entry"):
                store.withdraw(**both, reason="", actor="lead")


def test_actions_are_kept_newest_first(store: FeedbackStore) -> None:
    store.act("owner", "invite", "lead", {"role": "lead"})
    store.act("lead", "disable", "ana", {})
    found = store.actions(limit=10)
    assert [(a.actor, a.action, a.target, a.details) for a in found] == [
        ("lead", "disable", "ana", {}),
        ("owner", "invite", "lead", {"role": "lead"}),
    ]
    assert len(store.actions(limit=1)) == 1
    assert store.verify() == []
