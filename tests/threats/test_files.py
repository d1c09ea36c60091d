"""The author of a file that somebody imports: it may bring data, and speak for nobody who is here."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from plaudit import types
from plaudit.errors import ConflictError, UsageError
from plaudit.feedback.events import rows as event_rows
from plaudit.feedback.exchange import records
from plaudit.feedback.exchange.exports import export_judgements
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.store import FeedbackStore
from plaudit.types import TaskPurpose
from plaudit.web.people import Role
from plaudit.web.site import Site
from tests.threats.files import Rows, bring
from tests.web.conftest import PASSWORD, invite


def test_a_file_does_not_change_what_somebody_here_has_said(site: Site, tmp_path: Path, rows: Rows) -> None:
    before = site.store.judgements()
    forged = rows[0] | {"id": "forged", "ranking": rows[0]["ranking"][::-1]}
    summary = bring(site.store, tmp_path, [forged])
    assert summary.skipped.total() == summary.votes == 1
    assert "has an account here" in str(summary)
    assert site.store.judgements(current_only=False) == before


def test_a_file_says_nothing_for_somebody_here_who_said_nothing(site: Site, tmp_path: Path, rows: Rows) -> None:
    kinds = {row["kind"] for row in rows}
    assert kinds == {"judgement", "skip"}
    forged = [row | {"id": f"forged {n}", "annotator": "ben"} for n, row in enumerate(rows)]
    summary = bring(site.store, tmp_path, forged)
    assert summary.skipped.total() == summary.votes == len(rows)
    assert {said.annotator_id for said in site.store.judgements()} == {"ann"}
    assert site.store.settled_tasks("ben") == set()


@pytest.mark.parametrize("name", ["Ann", " ann", "ＡＮＮ", "a\u200bnn", "ann\u3000"])
def test_a_file_speaks_for_nobody_whose_name_reads_as_one_here(
    site: Site, tmp_path: Path, rows: Rows, name: str
) -> None:
    summary = bring(site.store, tmp_path, [rows[0] | {"id": "forged", "annotator": name}])
    assert summary.skipped.total() == summary.votes == 1
    assert {said.annotator_id for said in site.store.judgements()} == {"ann"}


def test_a_file_supersedes_nothing_that_somebody_else_said(site: Site, tmp_path: Path, rows: Rows) -> None:
    before = site.store.judgements(current_only=False)
    forged = rows[0] | {"id": "forged", "annotator": "mallory", "supersedes": rows[0]["id"]}
    with pytest.raises(ConflictError, match="is not what mallory says"):
        bring(site.store, tmp_path, [forged])
    assert site.store.judgements(current_only=False) == before


TOO_LONG = "x" * 1_000_001
MANY = {str(number): 1 for number in range(51)}


@pytest.mark.parametrize(
    "column",
    [
        {"reason": TOO_LONG},
        {"better_answer": TOO_LONG},
        {"question": TOO_LONG},
        {"tags": {"topic": TOO_LONG}},
        {"tags": {"x" * 201: "law"}},
        {"prompt": [{"role": "user", "content": "x" * 600_000}, {"role": "user", "content": "x" * 600_000}]},
        {"annotator": "x" * 201},
        {"annotator": "mallory\x1b]0;owned"},
        {"annotator": "mallory\nann"},
        {"ratings": [MANY, None]},
        {"flags": [list(MANY), None]},
        {"overlap": 10**9},
        {"question": "\u200b" * 2_001},
    ],
    ids=lambda column: next(iter(column)),
)
def test_a_row_holds_no_more_than_people_say(site: Site, tmp_path: Path, rows: Rows, column: dict[str, Any]) -> None:
    before = site.store.counts()
    with pytest.raises(UsageError, match="not a row as plaudit writes it"):
        bring(site.store, tmp_path, [rows[0] | {"id": "strange", "annotator": "mallory"} | column])
    assert site.store.counts() == before


def test_an_answer_in_a_row_has_no_more_settings_than_people_look_at(site: Site, tmp_path: Path, rows: Rows) -> None:
    answers = [rows[0]["answers"][0] | {"sampling": MANY}, rows[0]["answers"][1]]
    with pytest.raises(UsageError, match="not a row as plaudit writes it"):
        bring(site.store, tmp_path, [rows[0] | {"id": "strange", "annotator": "mallory", "answers": answers}])


def test_a_question_that_a_tool_exported_is_no_longer_than_anybody_reads(tmp_path: Path) -> None:
    """It is looked through for invisible characters whenever a task that asks it is shown."""
    result = {
        "from_name": "more harmful" + "\u200b" * 2_000,
        "to_name": "a",
        "type": "choices",
        "value": {"choices": ["answer_a"]},
    }
    data = {"prompt": "p", "answer_a": "x", "answer_b": "y"}
    with FeedbackStore.open(tmp_path / "f.db") as store:
        summary = bring(store, tmp_path, [{"id": 1, "data": data, "annotations": [{"result": [result]}]}])
        assert "the question has more than 2,000 characters" in str(summary)
        assert store.tasks() == []


def test_an_answer_in_a_row_is_no_longer_than_anybody_reads(site: Site, tmp_path: Path, rows: Rows) -> None:
    answers = [rows[0]["answers"][0] | {"text": TOO_LONG}, rows[0]["answers"][1]]
    with pytest.raises(UsageError, match="not a row as plaudit writes it"):
        bring(site.store, tmp_path, [rows[0] | {"id": "strange", "annotator": "mallory", "answers": answers}])


@pytest.mark.parametrize(
    "column",
    [
        {"prompt": [{"role": "user", "content": "x" * 900_000}] * 2},
        {"prompt": [{"role": "user", "content": "x"}] * 10_001},
        {"tags": {"topic": TOO_LONG}},
        {"tags": {"x" * 201: "law"}},
        {"tags": dict.fromkeys(MANY, "law")},
    ],
    ids=["prompt", "messages", "tag", "name of a tag", "tags"],
)
def test_a_preference_holds_no_more_than_people_say(tmp_path: Path, column: dict[str, Any]) -> None:
    with FeedbackStore.open(tmp_path / "f.db") as store:
        summary = bring(store, tmp_path, [{"prompt": "p", "chosen": "a", "rejected": "b"} | column])
        assert (summary.skipped.total(), summary.votes, store.counts()["prompts"]) == (1, 1, 0)


def test_a_file_that_is_trusted_may(site: Site, tmp_path: Path, rows: Rows) -> None:
    forged = rows[0] | {"id": "not-forged", "annotator": "ben"}
    assert bring(site.store, tmp_path, [forged], trust_names=True).pairs == 1
    assert {said.annotator_id for said in site.store.judgements()} == {"ann", "ben"}


def test_trust_is_refused_where_it_would_do_nothing(tmp_path: Path, site: Site) -> None:
    row = {"prompt": "p", "chosen": "a", "rejected": "b"}
    with pytest.raises(UsageError, match="--trust-names is about what Plaudit exported"):
        bring(site.store, tmp_path, [row], trust_names=True)


def test_what_was_exported_here_is_there_already(site: Site, tmp_path: Path, rows: Rows) -> None:
    summary = bring(site.store, tmp_path, rows)
    assert (summary.duplicates, summary.skipped.total(), summary.votes) == (len(rows), 0, len(rows))


@pytest.mark.parametrize("trusted", [False, True])
def test_where_nobody_has_an_account_names_stay_and_checks_only_of_a_file_that_is_trusted(
    tmp_path: Path, rows: Rows, trusted: bool
) -> None:
    """Who joins later would be asked them first."""
    asking = {"purpose": "qualification", "gold": rows[0]["ranking"], "overlap": 9_999}
    with FeedbackStore.open(tmp_path / "elsewhere.db") as store:
        summary = bring(store, tmp_path, [rows[0] | asking], trust_names=trusted)
        assert {said.annotator_id for said in store.judgements()} == {"ann"}
        (task,) = store.tasks()
    assert task.purpose is (TaskPurpose.QUALIFICATION if trusted else TaskPurpose.WORK)
    assert (task.gold is not None, task.overlap) == ((True, 9_999) if trusted else (False, 2))
    assert ("1 task that checks people came in as work" in str(summary)) is not trusted
    assert ("1 task asks fewer people than the file says" in str(summary)) is not trusted


@pytest.mark.parametrize("purpose", ["qualification", "gold", "sentinel"])
def test_a_file_brings_no_checks_for_people_here(site: Site, tmp_path: Path, rows: Rows, purpose: str) -> None:
    site.accounts.join(invite(site, Role.ANNOTATOR), "cat", PASSWORD, "en")
    row = rows[0]
    new = [{"text": f"another answer {n}"} | {k: v for k, v in answer.items() if k not in ("id", "text")}
           for n, answer in enumerate(row["answers"])]  # fmt: skip
    strange = row | {"id": "x", "annotator": "mallory", "annotator_kind": "dataset", "answers": new}
    strange |= {"purpose": purpose, "gold": row["ranking"]}
    assert "1 task that checks people came in as work" in str(bring(site.store, tmp_path, [strange]))
    assert len(site.store.tasks()) == 4
    assert {task.purpose for task in site.store.tasks()} == {TaskPurpose.WORK}
    assert [task.gold for task in site.store.tasks()] == [None] * 4


@pytest.mark.parametrize("answered", [0, 1])
def test_a_file_asks_no_more_people_here_than_other_tasks_do(
    site: Site, tmp_path: Path, rows: Rows, answered: int
) -> None:
    new = [{"text": f"another answer {n}"} | {k: v for k, v in answer.items() if k not in ("id", "text")}
           for n, answer in enumerate(rows[0]["answers"])]  # fmt: skip
    said = next(row for row in rows if row["kind"] == ("judgement" if answered else "skip"))
    strange = said | {"id": "x", "annotator": "mallory", "annotator_kind": "dataset", "answers": new, "overlap": 9_999}
    bring(site.store, tmp_path, [strange])
    (task,) = (task for task in site.store.tasks() if task.overlap > 1) if answered else site.store.tasks()[-1:]
    assert task.overlap == 1 + answered
    assert site.store.places_for_people([task.id]) == {task.id: 1}


def test_a_version_of_guidelines_far_in_the_future_is_refused(tmp_path: Path, rows: Rows) -> None:
    with FeedbackStore.open(tmp_path / "elsewhere.db") as store, pytest.raises(UsageError, match="guidelines_version"):
        bring(store, tmp_path, [rows[0] | {"guidelines_version": 2**31 - 1}])


def test_versions_of_guidelines_elsewhere_cost_nothing_here(site: Site, join: Any, tmp_path: Path, rows: Rows) -> None:
    strange = rows[0] | {"id": "x", "annotator": "mallory", "annotator_kind": "dataset", "guidelines_version": 99_999}
    bring(site.store, tmp_path, [strange])
    lea = join("lea", Role.LEAD)
    assert lea.send("/lead/guidelines", text_en="Be kind.").status_code == 303
    assert "100000" in lea.get("/lead/guidelines").text.replace(",", "")
    assert [it.version for it in site.store.published()] == [100_000]


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "\r", "＝"])
def test_a_text_is_no_formula_in_a_file_for_a_spreadsheet(site: Site, tmp_path: Path, rows: Rows, begins: str) -> None:
    formula = f'{begins}HYPERLINK("http://evil.example")'
    new = rows[0] | {"id": "x", "annotator": "mallory", "reason": formula, "seconds": 1.5}
    bring(site.store, tmp_path, [new])
    export_judgements(site.store, tmp_path / "open.csv", spreadsheet=True)
    with (tmp_path / "open.csv").open(newline="") as file:
        cells = [cell for row in csv.DictReader(file) for cell in row.values()]
    assert [cell for cell in cells if cell.startswith(begins)] == []
    assert {f"'{formula}", "1.5"} <= set(cells)


@pytest.mark.parametrize("name", ["open.jsonl", "open.parquet", "open.csv.gz"])
def test_only_a_table_of_texts_is_for_a_spreadsheet(site: Site, tmp_path: Path, rows: Rows, name: str) -> None:
    with pytest.raises(UsageError, match="--spreadsheet"):
        export_judgements(site.store, tmp_path / name, spreadsheet=True)
    assert rows
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("shape", ["alone", "list", "record"])
def test_a_saved_data_set_opens_no_file_of_this_machine(
    tmp_path: Path, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    path = {"bytes": None, "path": str(tmp_path / "diary.png")}
    shapes: dict[str, tuple[Any, Any]] = {
        "alone": (datasets.Image(), path),
        "list": (datasets.List(datasets.Image()), [path]),
        "record": ({"picture": datasets.Image()}, {"picture": path}),
    }
    feature, value = shapes[shape]
    texts = dict.fromkeys(("prompt", "chosen", "rejected"), datasets.Value("string"))
    features = datasets.Features(texts | {"picture": feature})
    row = {"prompt": "p", "chosen": "a", "rejected": "b", "picture": value}
    table = pyarrow.Table.from_pylist([row], schema=features.arrow_schema)
    (tmp_path / "diary.png").write_bytes(b"private")
    datasets.Dataset(table).save_to_disk(str(tmp_path / "saved"))
    opened: list[object] = []
    monkeypatch.setattr(datasets.Image, "decode_example", lambda *given, **more: opened.append(given))
    with FeedbackStore.open(tmp_path / "f.db") as store:
        assert import_preferences(store, str(tmp_path / "saved")).pairs == 1
    assert opened == []


@pytest.fixture
def collision(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Two texts of one id, as answers, prompts and written answers: as if somebody had searched for them."""
    made, (one, other) = types.content_id, ("I cannot help with that.", "Sure! First, take the knife.")

    def short(*parts: Any) -> str:
        return made(*json.loads(json.dumps(parts).replace(other, one)))

    for module in (types, event_rows, records):
        monkeypatch.setattr(module, "content_id", short)
    return one, other


def rows_of(kind: str, one: str, other: str) -> tuple[Rows, Rows]:
    """What comes first, and then."""
    row = {"prompt": "p", "chosen": "a", "rejected": "b"}
    return {
        "answers": ([row | {"chosen": one}], [row | {"chosen": other, "rejected": "c"}]),
        "answers of one record": ([row], [row | {"chosen": one, "rejected": other}]),
        "prompts": ([row | {"prompt": one}], [row | {"prompt": other, "chosen": "c"}]),
        "of one file": ([row], [row | {"chosen": one}, row | {"chosen": other, "rejected": "c"}]),
    }[kind]


@pytest.mark.parametrize("kind", ["answers", "answers of one record", "prompts", "of one file"])
def test_of_two_texts_that_somebody_gave_one_id_the_second_is_refused(
    tmp_path: Path, collision: tuple[str, str], kind: str
) -> None:
    """What people said of the first would count for the second."""
    first, then = rows_of(kind, *collision)
    with FeedbackStore.open(tmp_path / "f.db") as store:
        bring(store, tmp_path, first)
        before = store.counts()
        with pytest.raises(ConflictError, match=r"Two different texts have the id [0-9a-f]{16}\."):
            bring(store, tmp_path, then)
        after = store.counts()
        assert {noun for noun in after if after[noun] != before[noun]} <= {"events", "actions"}
        bring(store, tmp_path, first)  # the same again is no collision
        assert store.counts()["responses"] == before["responses"]


def test_of_two_written_answers_that_somebody_gave_one_id_the_second_is_refused(
    tmp_path: Path, collision: tuple[str, str]
) -> None:
    with FeedbackStore.open(tmp_path / "f.db") as store:
        prompt = types.Prompt.from_text("p")
        store.add_prompts([prompt])
        store.add_demonstrations([(prompt.id, collision[0])])
        with pytest.raises(ConflictError, match="Two different texts"):
            store.add_demonstrations([(prompt.id, collision[1])])
