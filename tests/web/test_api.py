"""The annotator's API: the next task, and what is said about it, once and for all."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from plaudit.feedback.labelling.settings import ProjectSettings
from plaudit.types import Judgement, Message, Prompt, Ranking, Response, Role, Task, TaskPurpose
from plaudit.web.site import Site
from tests.web.conftest import add_tasks


def test_a_task_is_shown_judged_and_followed_by_the_next(site: Site, join: Any) -> None:
    add_tasks(site, 2)
    ann = join("ann")
    task = ann.task()
    assert task["kind"] == "rank"
    assert task["question"] == "Which answer is better?"
    assert [turn["role"] for turn in task["conversation"]] == ["user"]
    assert len(task["answers"]) == 2
    assert 0 < task["lease_seconds"] <= 15 * 60
    assert task["progress"] == {"done": 0, "skipped": 0, "left": 2}
    assert ann.task()["assignment"] == task["assignment"]
    answer = ann.judge(task, tiers=[[1], [0]], strength=3, ratings={"1": {"helpful": 6}}, flags={"0": ["false"]})
    assert (answer.status_code, answer.json()) == (200, {"stored": True})
    [said] = site.store.judgements()
    assignment = site.store.assignment(site.secret.assignment_of(task["assignment"]))
    asked = site.store.task(said.task_id)
    shown = [asked.response_ids[i] for i in assignment.order]
    assert said.ranking.tiers == ((shown[1],), (shown[0],))
    assert said.order == tuple(shown)
    assert said.ratings == {shown[1]: {"helpful": 6}}
    assert said.flags == {shown[0]: ("false",)}
    assert (said.strength, said.seconds, said.annotator_id) == (3, 3.5, "ann")
    following = ann.task()
    assert following["assignment"] != task["assignment"]
    assert following["previous"] == said.id
    ann.judge(following)
    done = ann.task()
    assert (done["assignment"], done["why"], done["progress"]["done"]) == (None, "nothing-left", 2)


def test_a_submit_that_comes_twice_is_stored_once(site: Site, join: Any) -> None:
    add_tasks(site, 1)
    ann = join("ann")
    task = ann.task()
    key = str(uuid.uuid4())
    assert ann.judge(task, id=key).json() == {"stored": True}
    assert ann.judge(task, id=key).json() == {"stored": False}
    site.store.publish_guidelines({"en": "Be fair."}, "the test")
    site.store.read_guidelines("ann", 1)
    assert ann.judge(task, id=key).json() == {"stored": False}, "read guidelines since, it is still the same"
    assert ann.judge(task, id=key, all_bad=True).status_code == 409
    assert ann.judge(task).status_code == 409, "another judgement of the same task that is no edit"
    assert len(site.store.judgements(current_only=False)) == 1


def test_an_entry_is_edited_and_taken_back(site: Site, join: Any) -> None:
    add_tasks(site, 1, answers=3)
    ann = join("ann")
    task = ann.task()
    first = str(uuid.uuid4())
    ann.judge(task, id=first, tiers=[[2], [0, 1]], reason="Because.", ratings={"2": {"coherent": 7}})
    opened = ann.get(f"/api/entries/{first}").json()
    assert opened["assignment"] == task["assignment"]
    assert opened["answers"] == task["answers"]
    assert opened["draft"]["tiers"] == [[2], [0, 1]]
    assert opened["draft"]["ratings"] == {"2": {"coherent": 7}}
    assert opened["draft"]["reason"] == "Because."
    second = str(uuid.uuid4())
    assert ann.judge(opened, id=second, supersedes=first).json() == {"stored": True}
    assert ann.get(f"/api/entries/{first}").status_code == 404, "what was edited is no more what is said"
    back = ann.post("/api/retractions", {"id": second}).json()
    assert back["assignment"] == task["assignment"]
    assert back["lease_seconds"] > 0
    assert back["draft"]["tiers"] == [[0], [1], [2]]
    assert site.store.judgements() == []
    assert ann.judge(back).json() == {"stored": True}
    assert len(site.store.judgements(current_only=False)) == 3
    assert site.store.verify() == []


def test_an_answer_is_written_edited_and_taken_back(site: Site, join: Any) -> None:
    prompt = Prompt((Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Why?")), "made")
    site.store.add_prompts([prompt])
    site.store.add_tasks([Task(prompt.id, ())])
    ann = join("ann")
    task = ann.task()
    assert (task["kind"], task["answers"]) == ("write", [])
    assert [turn["role"] for turn in task["conversation"]] == ["system", "user"]
    body = {"id": str(uuid.uuid4()), "assignment": task["assignment"], "text": "That is why.", "seconds": 9}
    assert ann.post("/api/demonstrations", body).json() == {"stored": True}
    assert ann.post("/api/demonstrations", body).json() == {"stored": False}
    assert ann.get(f"/api/entries/{body['id']}").json()["draft"] == {"text": "That is why.", "seconds": 9}
    assert ann.get("/api/history").json()["entries"][0]["text"] == "That is why."
    edit = body | {"id": str(uuid.uuid4()), "text": "It is why.", "supersedes": body["id"]}
    assert ann.post("/api/demonstrations", edit).json() == {"stored": True}
    assert site.store.demonstrations() == {prompt.id: ("It is why.",)}
    assert ann.post("/api/retractions", {"id": edit["id"]}).json()["draft"]["text"] == "It is why."
    assert site.store.demonstrations() == {}


def test_a_skip_gives_the_task_to_somebody_else(site: Site, join: Any) -> None:
    add_tasks(site, 1)
    ann, ben = join("ann"), join("ben")
    task = ann.task()
    assert ben.task()["why"] == "nothing-left"
    skipped = ann.post("/api/skips", {"assignment": task["assignment"], "reason": "knowledge: law"})
    assert skipped.json()["progress"] == {"done": 0, "skipped": 1, "left": 0}
    assert ann.task()["why"] == "nothing-left"
    assert ben.task()["assignment"]
    [entry] = ann.get("/api/history").json()["entries"]
    assert (entry["kind"], entry["text"]) == ("skip", "knowledge: law")


def test_a_heartbeat_keeps_the_task(site: Site, join: Any) -> None:
    add_tasks(site, 1)
    ann = join("ann")
    answer = ann.post("/api/heartbeats", {"assignment": ann.task()["assignment"]})
    assert 0 < answer.json()["lease_seconds"] <= 15 * 60


def test_guidelines_come_first_and_again_when_they_change(site: Site, join: Any) -> None:
    add_tasks(site, 2)
    ann = join("ann")
    site.store.publish_guidelines({"en": "# Be *fair*"}, "the test")
    assert (ann.task()["assignment"], ann.task()["why"]) == (None, "guidelines")
    assert "<em>fair</em>" in ann.get("/guidelines").text
    assert ann.send("/guidelines", version="1").headers["location"] == "/work"
    task = ann.task()
    assert task["assignment"]
    site.store.publish_guidelines({"en": "Be kind."}, "the test")
    assert ann.judge(task).json() == {"stored": True}, "what was begun before is not lost"
    assert site.store.judgements()[0].guidelines_version == 1
    assert ann.task()["why"] == "guidelines"
    assert ann.send("/guidelines", version="1").headers["location"] == "/guidelines", "that one was replaced"
    ann.send("/guidelines", version="2")
    assert ann.task()["assignment"]


def test_a_late_submit_is_kept_and_nobody_is_told(site: Site, join: Any) -> None:
    add_tasks(site, 1)
    ann, ben = join("ann"), join("ben")
    task = ann.task()
    with site.store.writing() as connection:
        from plaudit.feedback.events.schema import assignments

        connection.execute(assignments.update().values(leased_until="2020-01-01T00:00:00.000000+00:00"))
    assert ben.judge().json() == {"stored": True}
    assert ann.judge(task).json() == {"stored": True}
    assert {j.annotator_id: j.surplus for j in site.store.judgements()} == {"ann": True, "ben": False}


@pytest.mark.parametrize(
    "wrong",
    [
        {"tiers": [[0]]},
        {"tiers": [[0, 1, 1]]},
        {"tiers": [[0], [1], [2]]},
        {"tiers": [[0], []]},
        {"tiers": []},
        {"tiers": [["a"], [1]]},
        {"strength": 5},
        {"strength": 0},
        {"ratings": {"2": {"helpful": 3}}},
        {"ratings": {"0": {"helpful": 8}}},
        {"flags": {"x": ["false"]}},
        {"seconds": -1},
        {"seconds": "NaN"},
        {"id": "not a uuid"},
        {"reason": "x" * 20_001},
        {"surprise": 1},
        {"annotator_id": "ben"},
        {"surplus": False},
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_in_a_sentence(wrong: dict[str, Any], site: Site, join: Any) -> None:
    add_tasks(site, 1)
    answer = join("ann").judge(**wrong)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"] == "malformed"
    assert answer.json()["message"].endswith(".")
    assert site.store.judgements() == []


def test_strength_is_for_pairs(site: Site, join: Any) -> None:
    add_tasks(site, 1, answers=3)
    assert join("ann").judge(strength=2).status_code == 422


def test_texts_that_databases_choke_on_are_stored(site: Site, join: Any) -> None:
    add_tasks(site, 1)
    ann = join("ann")
    task = ann.task()
    raw = (
        f'{{"id": "{uuid.uuid4()}", "assignment": "{task["assignment"]}", "tiers": [[0], [1]], '
        '"reason": "nul \\u0000 and half \\ud83d and whole \\ud83d\\ude00"}'
    )
    headers = {"X-CSRF-Token": ann.csrf, "Content-Type": "application/json"}
    answer = ann.client.post("/api/judgements", content=raw, headers=headers)
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 200:
        assert "whole 😀" in site.store.judgements()[0].reason


def test_what_a_lead_may_ask_for_can_be_answered(site: Site, join: Any) -> None:
    names = tuple(f"{number} {'long ' * 30}" for number in range(50))
    site.store.change_settings(ProjectSettings(attributes=names, flags=names), "lead")
    add_tasks(site, 1)
    answer = join("ann").judge(ratings={"0": dict.fromkeys(names, 7)}, flags={"1": list(names)})
    assert answer.status_code == 200, answer.text
    [said] = site.store.judgements()
    assert [len(given) for given in said.ratings.values()] == [50]


def test_a_judgement_is_of_the_guidelines_that_were_read_when_it_was_made(site: Site, join: Any) -> None:
    add_tasks(site, 2)
    ann = join("ann")
    for version in (1, 2):
        site.store.publish_guidelines({"en": f"Be kind, {version}."}, "lead")
        site.store.read_guidelines("ann", version)
        if version == 1:
            task = ann.task()
    ann.judge(task, guidelines_version=task["guidelines_version"])  # made before the second was read, sent after
    ann.judge(guidelines_version=9)
    assert sorted(said.guidelines_version or 0 for said in site.store.judgements()) == [1, 2]


def test_what_is_left_is_told_roughly(site: Site, join: Any) -> None:
    add_tasks(site, 27)
    ann, ben = join("ann"), join("ben")
    before = ann.task()["progress"]["left"]
    for _ in range(3):
        ben.judge()
    assert before == ann.task()["progress"]["left"] == 20


def test_history_goes_back_page_by_page(site: Site, join: Any) -> None:
    add_tasks(site, 60)
    ann = join("ann")
    for task in site.store.tasks():
        site.store.assign(task.id, "ann", [0, 1])
        ranking = Ranking(tuple((response_id,) for response_id in task.response_ids))
        site.store.submit(Judgement(str(uuid.uuid4()), task.id, "ann", ranking, task.response_ids))
    first = ann.get("/api/history").json()
    second = ann.get(f"/api/history?before={first['entries'][-1]['seq']}").json()
    assert (first["more"], second["more"]) == (True, False)
    entries = [*first["entries"], *second["entries"]]
    assert len({entry["id"] for entry in entries}) == 60
    assert [entry["at"] for entry in entries] == sorted((entry["at"] for entry in entries), reverse=True)
    assert entries[0]["ranking_text"] == "A > B"
    assert ann.get("/api/history?before=99").json() is not None


def test_who_did_not_pass_the_qualification_is_told(site: Site, join: Any) -> None:
    add_tasks(site, 1)
    prompt = Prompt.from_text("Which is polite?", "made")
    site.store.add_prompts([prompt])
    good, bad = Response(prompt.id, "Please."), Response(prompt.id, "Now!")
    site.store.add_responses([good, bad])
    gold = ((good.id,), (bad.id,))
    site.store.add_tasks([Task(prompt.id, (good.id, bad.id), gold=gold, purpose=TaskPurpose.QUALIFICATION)])
    right, wrong = join("right"), join("wrong")
    for person, best in ((right, "Please."), (wrong, "Now!")):
        task = person.task()
        place = next(i for i, answer in enumerate(task["answers"]) if best in answer["html"])
        person.judge(task, tiers=[[place], [1 - place]])
    assert right.task()["assignment"]
    assert (wrong.task()["assignment"], wrong.task()["why"]) == (None, "not-qualified")
