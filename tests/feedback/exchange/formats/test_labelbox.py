"""Labelbox: chats with several models, conversations with outputs, and texts, each with what an annotator said."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from plaudit.feedback.exchange.exports import export_judgements
from plaudit.feedback.exchange.formats import FORMATS, recognise
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError, Vote
from plaudit.feedback.exchange.formats.questionnaire import Ballot
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Message, Role

Q, A, B, C = "Why is the sky blue?", "Air scatters blue light.", "Because of the sea.", "It is not."
FIRST, SECOND = ((0,), (1,)), ((1,), (0,))
AT = datetime(2024, 6, 14, 9, 13, 46, tzinfo=UTC)


def message(actor: str, text: str, *children: str) -> dict[str, Any]:
    return {"actorId": actor, "content": [{"type": "text", "content": text}], "childMessageIds": list(children)}


CHAT: dict[str, Any] = {
    "type": "application/vnd.labelbox.conversational.model-chat-evaluation", "version": 2,
    "actors": {
        "h": {"role": "human", "metadata": {"name": "User"}},
        "x": {"role": "model", "metadata": {"modelConfigId": "5a50d319", "modelConfigName": "Model X"}},
        "y": {"role": "model", "metadata": {"modelConfigId": "1cfc833a", "modelConfigName": "Model Y"}},
    },
    "messages": {
        "m0": message("h", "Hi.", "m1"), "m1": message("x", "Hello.", "m2"),
        "m2": message("h", Q, "a", "b", "c"), "a": message("x", A), "b": message("y", B), "c": message("y", C),
    },
    "rootMessageIds": ["m0"],
}  # fmt: skip
BEFORE = (Message(Role.USER, "Hi."), Message(Role.ASSISTANT, "Hello."), Message(Role.USER, Q))


def ranked(parent: str, *order: str, **ranks: int) -> dict[str, Any]:
    given = ranks or {key: place for place, key in enumerate(order, 1)}
    listed = [{"message_id": key, "model_config_name": "…", "order": rank} for key, rank in given.items()]
    return {
        "name": "Message ranking", "annotation_kind": "MessageRanking", "classifications": [],
        "ranked_messages": {"ranked_messages": listed, "parent_message_id": parent},
    }  # fmt: skip


def selected(parent: str, *keys: str) -> dict[str, Any]:
    chosen = [{"message_id": key, "model_config_name": "…"} for key in keys]
    several = {"selected_messages": {"messages": chosen, "parent_message_id": parent}}
    one = {"selected_message": {**chosen[0], "parent_message_id": parent}}
    return {"name": "Message selection", "classifications": [], **(one if len(keys) == 1 else several)}


def radio(name: str, answer: str, **more: Any) -> dict[str, Any]:
    kind = "conversational_radio_answer" if "message_id" in more else "radio_answer"
    return {"name": name, "value": name.lower(), kind: {"name": answer, "value": answer, "classifications": []}, **more}


def text(name: str, content: str) -> dict[str, Any]:
    return {"name": name, "value": name.lower(), "text_answer": {"content": content}}


def label(who: str, objects: list[Any] | None = None, said: list[Any] | None = None, **pace: Any) -> dict[str, Any]:
    return {
        "label_kind": "Default", "version": "1.0.0", "id": f"label-{who}",
        "label_details": {"created_at": "2024-06-14T09:12:00.000+00:00", "updated_at": "2024-06-14T09:13:46.000+00:00",
                          "created_by": f"{who}@example.org", "reviews": []},
        "performance_details": {"seconds_to_create": 106, "seconds_to_review": 0, "skipped": False, **pace},
        "annotations": {"objects": objects or [], "classifications": said or [], "relationships": []},
    }  # fmt: skip


def row(shown: Any, *labels: dict[str, Any]) -> dict[str, Any]:
    return {
        "data_row": {"id": "clx1", "global_key": "chat-1", "row_data": shown},
        "media_attributes": {"asset_type": "llm-human-preference", "mime_type": "application/json"},
        "projects": {"clp8": {"name": "RLHF", "labels": list(labels), "project_details": {}}},
    }


def read(*records: dict[str, Any]) -> list[Comparison | UnusableError]:
    ballot, format = Ballot(), FORMATS["labelbox"]
    assert format.survey
    for record in records:
        assert recognise(record) is format
        format.survey(record, ballot)
    ballot.decide()
    return [said for record in records for said in format.said(record, ballot)]


def votes(*records: dict[str, Any]) -> list[Vote]:
    return [vote for said in read(*records) if isinstance(said, Comparison) for vote in said.votes]


@pytest.mark.parametrize("shown", [CHAT, json.dumps(CHAT)], ids=["whole", "as text"])
def test_a_ranking_of_the_answers_to_a_message(shown: Any) -> None:
    said = [text("Why", "It is right."), radio("Accuracy", "5", message_id="a")]
    [found] = read(
        row(shown, label("ana", [ranked("m2", "b", "a", "c")], said), label("bo", [ranked("m2", a=1, b=2, c=2)]))
    )
    assert isinstance(found, Comparison)
    assert (found.messages, found.answers) == (BEFORE, (A, B, C))
    ana, bo = found.votes
    assert (ana.tiers, ana.annotator, ana.seconds, ana.at) == (((1,), (0,), (2,)), "ana@example.org", 106.0, AT)
    assert (ana.ratings, ana.reason) == ({0: {"Accuracy": 5}}, "It is right.")
    assert bo.tiers == ((0,), (1, 2))


def test_a_selection_of_one_or_of_several() -> None:
    assert [v.tiers for v in votes(row(CHAT, label("ana", [selected("m2", "b")])))] == [((1,), (0, 2))]
    assert [v.tiers for v in votes(row(CHAT, label("bo", [selected("m2", "a", "c")])))] == [((0, 2), (1,))]


def test_what_ranks_some_of_the_answers_or_skips_is_counted() -> None:
    labels = (
        label("ana", [ranked("m2", "b", "a")]),
        label("bo", [ranked("m2", "c", "b", "a")]),
        label("cy", skipped=True),
    )
    [found] = read(row(CHAT, *labels))
    assert isinstance(found, Comparison)
    assert (found.lost, [vote.annotator for vote in found.votes]) == (
        ("not all answers are ranked",),
        ["bo@example.org", "cy@example.org"],
    )
    assert found.votes[1].tiers == ()


def test_every_turn_is_a_comparison_until_the_chat_goes_on_from_several_answers() -> None:
    longer = json.loads(json.dumps(CHAT))
    for key in "abc":
        longer["messages"][key]["childMessageIds"] = ["m3"]
    longer["messages"] |= {
        "m3": message("h", "And at night?", "d", "e"),
        "d": message("x", "Dark."),
        "e": message("y", "No."),
    }
    first, second = read(row(longer, label("ana", [ranked("m2", "a", "b", "c"), ranked("m3", "e", "d")])))
    assert isinstance(first, Comparison)
    assert first.votes[0].tiers == ((0,), (1,), (2,))
    assert str(second) == "the chat went on from several answers, so what was said before is not one"
    longer["messages"]["b"]["childMessageIds"] = longer["messages"]["c"]["childMessageIds"] = []
    _, second = read(row(longer, label("ana", [ranked("m2", "a", "b", "c"), ranked("m3", "e", "d")])))
    assert isinstance(second, Comparison)
    assert [m.content for m in second.messages] == ["Hi.", "Hello.", Q, A, "And at night?"]
    assert second.votes[0].tiers == SECOND


OUTPUTS = {
    "type": "application/vnd.labelbox.conversational", "version": 1,
    "messages": [{"messageId": "message-0", "timestampUsec": 1530718491, "content": Q, "align": "left",
                  "user": {"userId": "User 00686", "name": "User"}, "canLabel": False}],
    "modelOutputs": [{"title": "Response A", "content": A, "modelConfigName": "GPT-3.5"},
                     {"title": "Response B", "content": B, "modelConfigName": "GPT-4"}],
}  # fmt: skip


def test_human_preference_names_an_output() -> None:
    choice = radio("Choose the best response", "Response B")
    [found] = read(row(OUTPUTS, label("ana", [], [choice, text("Provide a reason for your choice", "Clear.")])))
    assert isinstance(found, Comparison)
    assert (found.messages, found.answers) == ((Message(Role.USER, Q),), (A, B))
    assert found.votes == (Vote(SECOND, "ana@example.org", reason="Clear.", seconds=106.0, at=AT),)
    boxes = {"name": "Evaluations done", "checklist_answers": [{"name": "Safe", "classifications": []}]}
    with_boxes = votes(row(OUTPUTS, label("ana", [], [choice, boxes])))
    assert [(vote.tiers, vote.reason) for vote in with_boxes] == [(SECOND, "Evaluations done: Safe")]


def test_a_classified_text_shows_its_answers_or_has_none() -> None:
    shown = f"{Q}\n\nResponse A: {A}\n\nResponse B: {B}"
    assert [v.tiers for v in votes(row(shown, label("ana", [], [radio("Better", "A is much better")])))] == [FIRST]
    [none] = read(row("A tweet.", label("ana", [], [radio("Sentiment", "Positive")])))
    assert (str(none), isinstance(none, UnusableError) and none.votes) == ("there are no answers to choose among", 1)
    with pytest.raises(MalformedError, match="is an address, and the texts are there"):
        read(row("https://storage.example.org/chat.json?sig=1", label("ana")))


def test_labelbox_goes_round_through_our_own(tmp_path: Path) -> None:
    """As the NDJSON that its exports are."""
    source, out = tmp_path / "export.ndjson", tmp_path / "out.jsonl"
    rows = [row(CHAT, label("ana", [ranked("m2", "b", "a", "c")]), label("bo", [ranked("m2", "a", "b", "c")])),
            row(CHAT, label("cy"))]  # fmt: skip
    source.write_text("".join(json.dumps(each) + "\n" for each in rows))
    with FeedbackStore.open("sqlite://") as store, FeedbackStore.open("sqlite://") as other:
        summary = import_preferences(store, str(source), name="chats")
        assert (len(store.judgements()), summary.skipped) == (2, {})
        assert {each.id for each in store.annotators()} == {"labelbox:ana@example.org", "labelbox:bo@example.org"}
        export_judgements(store, out)
        import_preferences(other, str(out))
        assert other.judgements() == store.judgements()
        assert other.verify() == []
