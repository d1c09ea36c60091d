"""Whether an import ever fails with a traceback, or loses a vote uncounted: 20,000 files of records of random shape.

The records begin as those of every format that the importer knows, and are changed in up to three places by hypothesis.
"""

from __future__ import annotations

from typing import Any

from bench import Row
from bench._random_records import try_records
from plaudit.feedback.exchange.formats import SIMPLE
from plaudit.feedback.exchange.formats.mapping import ColumnMap

SEEDS = (0,)
FILES, QUICK_FILES = 20_000, 200
TURNS = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
TEXTS = {"prompt": "Why?", "response-1": "One.", "response-2": "Two."}
TOOLS: list[Any] = [
    {"chosen": "\n\nHuman: Hi\n\nAssistant: A", "rejected": "\n\nHuman: Hi\n\nAssistant: B"},
    {"prompt": "Why?", "chosen": "A", "rejected": "B", "tags": {"topic": "x"}, "split": "test"},
    {"prompt": TURNS[:1], "chosen": TURNS, "rejected": [*TURNS[:1], {"role": "assistant", "content": "No."}]},
    {"conversations": [{"from": "human", "value": "Hi"}], "chosen": {"from": "gpt", "value": "A"},
     "rejected": {"from": "gpt", "value": "B"}},
    {"context": [["prompter", "Hi"]], "chosen": "A", "rejected": "B"},
    {"prompt": "Why?", "chosen": ["A"], "rejected": ["B", "C"]},
    {"message_tree_id": "t", "prompt": {"role": "prompter", "text": "Hi", "lang": "en", "replies": [
        {"role": "assistant", "text": "A", "rank": 0, "replies": []}, {"role": "assistant", "text": "B", "rank": 1}]}},
    {"arg1": "A", "arg2": "B", "title": "T", "votes": [{"annotator": "w", "value": "a1", "reason": "r"}]},
    {"data": {"prompt": "P?", "answer1": "A", "answer2": "B"}, "annotations": [{"id": 1, "completed_by": 1, "result": [
        {"from_name": "c", "to_name": "answer1,answer2", "type": "pairwise", "value": {"selected": "left"}},
        {"from_name": "quality_1", "to_name": "answer1", "type": "rating", "value": {"rating": 4}},
        {"from_name": "why", "to_name": "prompt", "type": "textarea", "value": {"text": ["r"]}},
        {"from_name": "which", "to_name": "prompt", "type": "choices", "value": {"choices": ["A is much better"]}}]}]},
    {"data": {"prompt": "P?", "items": [{"id": "a", "body": "A"}, {"id": "b", "body": "B"}]}, "annotations": [
        {"completed_by": {"email": "a@example.org"}, "result": [{"from_name": "rank", "to_name": "r", "type": "ranker",
         "value": {"ranker": {"rank": ["b", "a"]}}}], "updated_at": "2026-01-01T00:00:00Z"}]},
    {"fields": TEXTS, "metadata": {"topic": "x"}, "responses": {
        "ranking": [
            {"user_id": "u", "value": [{"value": "response-2", "rank": 1}, {"value": "response-1", "rank": 1}]}],
        "helpful_1": [{"value": 3, "user_id": "u", "status": "submitted"}]}},
    {"fields": TEXTS, "responses": [
        {"values": {"better": {"value": "response-1"}}, "status": "submitted", "user_id": "u"}]},
    {**TEXTS, "better.responses": ["response-2"], "better.responses.users": ["u"],
     "better.responses.status": ["submitted"]},
    {"text": "Why?", "options": [{"id": 1, "text": "A"}, {"id": 2, "text": "B"}], "accept": [2], "answer": "accept"},
    {"id": "1", "displayed_text": "Why?<br>A. One.<br>B. Two.", "label_annotations": {"better": {"A is better": "1"}}},
    {"prompt": "Why?", "answer_a": "A", "answer_b": "B", "label": "A is better", "annotator": "ana", "lead_time": 3},
    {"conversation_id": "c", "user_id": "u", "conversation_history": [
        {"turn": 0, "role": "user", "content": "Hi"}, {"turn": 0, "role": "model", "content": "A", "score": 9},
        {"turn": 0, "role": "model", "content": "B", "score": 1, "if_chosen": True}]},
    {"text": None, "inputs": {"prompt": "Hi", "response-1": "A", "response-2": "B"}, "prediction": None,
     "annotation": "response-2", "annotation_agent": "ana", "status": "Validated", "metadata": {}},
    {"text": "Hi", "prediction": [{"text": "A", "score": 0.5}, {"text": "B", "score": 0.1}], "annotation": "B",
     "annotation_agent": "ana", "status": "Validated", "metadata": {}, "event_timestamp": None},
    {"utterance_id": "ut0", "conversation_id": "c", "user_id": "u", "turn": 0, "within_turn_id": 0, "user_prompt": "Hi",
     "model_response": "A", "score": 80, "if_chosen": True},
    {"data_row": {"row_data": {"actors": {"h": {"role": "human"}, "m": {"role": "model"}}, "messages": {
        "q": {"actorId": "h", "content": [{"type": "text", "content": "Hi"}], "childMessageIds": ["a", "b"]},
        "a": {"actorId": "m", "content": [{"type": "text", "content": "A"}], "childMessageIds": []},
        "b": {"actorId": "m", "content": [{"type": "text", "content": "B"}], "childMessageIds": []}}}},
     "projects": {"p": {"labels": [{"label_details": {"created_by": "a@example.org"}, "annotations": {
         "objects": [{"name": "rank", "ranked_messages": {"parent_message_id": "q", "ranked_messages": [
             {"message_id": "b", "order": 1}, {"message_id": "a", "order": 2}]}}],
         "classifications": [{"name": "why", "text_answer": {"content": "r"}}, {
             "name": "quality", "message_id": "a", "conversational_radio_answer": {"name": "4"}}]}}]}}},
    "text", 3, None, [], {},
]  # fmt: skip


def main(quick: bool) -> list[Row]:
    counted = try_records(known_records(), QUICK_FILES if quick else FILES)
    return [
        Row(
            "files of records of random shape, imported without a traceback",
            sum(counted[k] for k in ("read", "refused")),
        ),
        Row("of them refused in a sentence", counted["refused"]),
        Row("votes read, each stored or counted out", counted["votes"]),
    ]


def known_records() -> list[Any]:
    """A record of every format."""
    return [*TOOLS, *(_record(columns) for columns in SIMPLE.values())]


def _record(columns: ColumnMap) -> dict[str, Any]:
    """A record that has the columns of a mapping."""
    record: dict[str, Any] = {}
    texts = [*columns.needs, *columns.prompt, *columns.answers, *columns.chosen, *columns.rejected, *columns.reason]
    ratings = [path for paths in columns.ratings.values() for path in paths]
    inside = [f"{columns.votes[0]}.*.{name}" for name in (columns.signed, *columns.reason) if columns.votes and name]
    numbers = [
        *columns.rank,
        *columns.score,
        *ratings,
        *([columns.signed] if not columns.votes else []),
        columns.choice,
    ]
    for number, path in enumerate([*texts, *inside]):
        if not path.startswith("="):
            _put(record, path.removeprefix("rows.*.").split("."), f"Text {number}.")
    for number, path in enumerate(path for path in numbers if path):
        _put(record, path.removeprefix("rows.*.").split("."), number % 3)
    return record


def _put(owner: Any, parts: list[str], value: Any) -> None:
    """Set what stands at a path, making what is on the way there."""
    part, *rest = parts
    if isinstance(owner, list):
        for place, each in enumerate(owner):
            if rest:
                _put(each, rest, value)
            else:
                owner[place] = value
    elif isinstance(owner, dict) and rest:
        _put(owner.setdefault(part, [{}, {}] if rest[0] == "*" or rest[0].isdecimal() else {}), rest, value)
    elif isinstance(owner, dict):
        owner.setdefault(part, value)
