"""What a file says is stored as it is said, and what cannot be stored is told: scales, sides, answers, odd cells."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from plaudit.errors import UsageError
from plaudit.feedback.exchange.formats import FORMATS, recognise
from plaudit.feedback.exchange.formats.comparison import Comparison
from plaudit.feedback.exchange.formats.fields import moment, side_of
from plaudit.feedback.exchange.imports import import_preferences, import_prompts
from plaudit.feedback.store import FeedbackStore
from plaudit.types import AnnotatorKind, Split
from tests.feedback.exchange.formats.forms.form import FIRST, SECOND, TIE, said, user

PAIR = {"chosen": "The a x", "rejected": "The b y"}
HELPSTEER = dict.fromkeys(("helpfulness", "correctness", "coherence", "complexity", "verbosity"), 3)


def write(path: Path, rows: list[Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def read(record: dict[str, Any]) -> Comparison:
    format = recognise(record)
    assert format is not None
    found = format.said(record)[0]
    assert isinstance(found, Comparison), found
    return found


def asked(number: int) -> dict[str, Any]:
    return {"prompt": f"Q{number}?", **PAIR}


@pytest.mark.parametrize("prompt", [{}, {"prompt": "Why?"}, {"question": "Why?"}])
@pytest.mark.parametrize("scores", [("score_chosen", "score_rejected"), ("chosen_score", "rejected_score")])
def test_equal_scores_are_a_tie_whatever_stands_beside_them(prompt: dict[str, str], scores: tuple[str, str]) -> None:
    texts = {"chosen": "So.", "rejected": "No."}
    talks = {name: [user("Why?"), said(text)] for name, text in texts.items()}
    for record in ([texts] if prompt else []) + [talks]:
        for values, tiers in (((8.0, 8.0), TIE), ((8.0, 3.0), FIRST)):
            [vote] = read(prompt | record | dict(zip(scores, values, strict=True))).votes
            assert (vote.tiers, vote.simulated) == (tiers, scores[0] == "score_chosen")


@pytest.mark.parametrize("column", ["title", "topic", "feedback", "metadata", "meta", "info", "critique"])
def test_no_prompt_is_made_up_beside_a_text_that_may_be_it(column: str) -> None:
    with pytest.raises(Exception, match=f'no column is called "prompt", and "{column}" may be it: say which, as --map'):
        FORMATS["trl"].said({column: "Why is the sky blue?", **PAIR})
    assert read({column: "Tea", "question": "Why?", **PAIR}).messages[0].content == "Why?"


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ("frage", "--map prompt=frage,chosen=chosen,rejected=rejected"),
        ("die frage", "--map 'prompt=die frage,chosen=chosen,rejected=rejected'"),
        ("frage, lang", '--map FILE.toml with the lines prompt = ["frage, lang"]; chosen = ["chosen"]; rejected'),
    ],
)
def test_the_hint_for_a_column_works(store: FeedbackStore, tmp_path: Path, column: str, told: str) -> None:
    with pytest.raises(UsageError) as refused:
        import_preferences(store, write(tmp_path / "x.jsonl", [{column: "Why?", **PAIR}]))
    assert told in str(refused.value)


def test_an_empty_prompt_hides_no_instruction() -> None:
    record = {"prompt": "", "instruction": "Say why.", "input": "Tea is warm.", **PAIR}
    assert read(record).messages[0].content == "Say why.\n\nTea is warm."


@pytest.mark.parametrize(
    ("name", "side"),
    [("valid1", Split.HELDOUT), ("valid2", Split.HELDOUT), ("test_prefs", Split.HELDOUT), ("TEST", Split.HELDOUT),
     ("askculinary_test", Split.HELDOUT), ("askculinary_train", Split.TRAIN), ("validation-00000", Split.HELDOUT),
     ("train", Split.TRAIN), ("dev_train", None), ("latest", None), ("protest", None), ("data", None), ("", None)],
)  # fmt: skip
def test_a_part_is_on_the_side_that_its_name_says(name: str, side: Split | None) -> None:
    assert side_of(name) is side


PARTS = {
    "train": ["train.jsonl", "train/0.jsonl", "data/train-00000-of-00001.jsonl", "mine_train.jsonl"],
    "test": ["test.jsonl", "test/0.jsonl", "data/test-00000-of-00001.jsonl", "mine_test.jsonl"],
}


def sides(store: FeedbackStore) -> dict[str, Split]:
    return {prompt.question: side for side in Split for prompt in store.prompts(split=side)}


def all_on_their_sides(store: FeedbackStore) -> bool:
    return sides(store) == {f"Q{n}?": Split.TRAIN if n < 12 else Split.HELDOUT for n in range(24)}


@pytest.mark.parametrize("layout", range(4))
@pytest.mark.parametrize("is_archive", [False, True])
@pytest.mark.parametrize("is_prompts", [False, True])
def test_a_part_called_test_is_held_out(
    store: FeedbackStore, tmp_path: Path, layout: int, is_archive: bool, is_prompts: bool
) -> None:
    source = tmp_path / "source"
    for first, part in ((0, "train"), (12, "test")):
        write(source / PARTS[part][layout], [asked(n) for n in range(first, first + 12)])
    if is_archive:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for file in source.rglob("*.jsonl"):
                archive.write(file, file.relative_to(source))
        source = tmp_path / "a.zip"
    (import_prompts if is_prompts else import_preferences)(store, str(source))
    assert all_on_their_sides(store)


def test_parts_of_one_document_and_of_a_saved_data_set(tmp_path: Path) -> None:
    import datasets

    parts = {"train": [asked(n) for n in range(12)], "test": [asked(n) for n in range(12, 24)]}
    (tmp_path / "whole.json").write_text(json.dumps(parts))
    saved = {name: datasets.Dataset.from_list(rows) for name, rows in parts.items()}
    datasets.DatasetDict(saved).save_to_disk(str(tmp_path / "saved"))
    for source in (tmp_path / "whole.json", tmp_path / "saved"):
        with FeedbackStore.open("sqlite://") as store:
            import_preferences(store, str(source))
            assert all_on_their_sides(store)


def test_a_record_knows_its_side_better_than_its_file(store: FeedbackStore, tmp_path: Path) -> None:
    write(tmp_path / "d" / "test.jsonl", [asked(n) | {"split": "train"} for n in range(9)])
    write(tmp_path / "d" / "user-test.jsonl", [asked(9)])
    import_preferences(store, str(tmp_path / "d"))
    assert [sides(store)[f"Q{n}?"] for n in range(9)] == [Split.TRAIN] * 9
    assert [prompt.tags.get("split") for prompt in store.prompts() if prompt.question == "Q9?"] == [None]


def test_the_same_reason_twice_is_said_once_and_strengths_on_another_scale_are_not_kept(
    store: FeedbackStore, tmp_path: Path
) -> None:
    rows = [asked(n) | {"annotator": "jo", "strength": n} for n in range(1, 8)]
    summary = import_preferences(store, write(tmp_path / "x.jsonl", rows))
    assert summary.notes == ["Strengths go from 1 to 7, which is not within 1 to 4: not kept."]
    assert {judgement.strength for judgement in store.judgements()} == {None}
    summary = import_preferences(store, write(tmp_path / "y.jsonl", rows[:4]), name="y")
    assert summary.notes == []
    assert {each.strength for each in store.judgements() if each.source == "y"} == {1, 2, 3, 4}


def test_annotators_who_disagree_are_two_voices(store: FeedbackStore, tmp_path: Path) -> None:
    turned = {"prompt": "Q1?", "chosen": PAIR["rejected"], "rejected": PAIR["chosen"], "annotator": "mo"}
    summary = import_preferences(store, write(tmp_path / "x.jsonl", [asked(1) | {"annotator": "jo"}, turned]))
    assert (summary.pairs, summary.skipped) == (2, {})
    assert {(each.id, each.kind) for each in store.annotators()} == {
        (f"trl:x/{name}", AnnotatorKind.DATASET) for name in ("jo", "mo")
    }


def test_rows_of_a_prompt_that_do_not_follow_each_other_are_told(store: FeedbackStore, tmp_path: Path) -> None:
    rows = [{"prompt": prompt, "response": str(n), **HELPSTEER} for n, prompt in enumerate("cdc")]
    summary = import_preferences(store, write(tmp_path / "x.jsonl", rows))
    assert "1 prompt has records that do not follow each other: only those that do were compared." in str(summary)
    apart = [{"prompt": "c", "response": str(n), "system": str(n), **HELPSTEER} for n in range(2)]
    assert import_preferences(store, write(tmp_path / "y.jsonl", apart)).singles == 2


@pytest.mark.parametrize("label", ["1", "1.0", 1, 1.0, True])
def test_whole_numbers_of_a_table_are_what_they_are(label: Any) -> None:
    shp = {"history": "Why?", "human_ref_A": "So.", "human_ref_B": "No.", "labels": label}
    pku = {"prompt": "Why?", "response_0": "So.", "response_1": "No.", "better_response_id": label}
    kto = {"prompt": "Why?", "completion": "So.", "label": label}
    if label is not True:
        assert [read(record).votes[0].tiers for record in (shp, pku)] == [FIRST, SECOND]
    assert not read(kto).votes[0].all_bad


@pytest.mark.parametrize("harm", ['{"X": true, "Y": false}', "{'X': True, 'Y': False}", "['X']", {"X": True}, ["X"]])
@pytest.mark.parametrize("place", [0, 1])
def test_flags_are_kept_as_text_and_of_one_answer_alone(harm: Any, place: int) -> None:
    record = {"prompt": "Why?", "response_0": "So.", "response_1": "No.", "better_response_id": 0,
              "safer_response_id": 0, f"response_{place}_harm_category": harm}  # fmt: skip
    assert read(record).votes[0].flags == {place: ("X",)}


@pytest.mark.parametrize("spelt", ["1682351591.0", 1682351591.0, "1682351591000", "2023-04-24T15:53:11", 1682351591e6])
def test_a_time_is_read_however_it_is_counted(spelt: Any) -> None:
    at = moment(spelt)
    assert at is not None
    assert at.isoformat() == "2023-04-24T15:53:11+00:00"


def test_a_day_without_signs_is_no_number_of_seconds() -> None:
    assert str(moment("20230424")) == "2023-04-24 00:00:00+00:00"


def ultrafeedback(*answers: tuple[str, int]) -> dict[str, Any]:
    rated = {"helpfulness": {"Rating": "4"}}
    texts = [{"response": text, "fine-grained_score": score, "annotations": rated} for text, score in answers]
    return {"instruction": "Why?", "completions": texts}


@pytest.mark.parametrize(
    ("answers", "kept", "tiers", "why"),
    [
        ([("A", 1), ("", 2), ("B", 3), ("C", 4)], "ABC", ((2,), (1,), (0,)), ["it is empty"]),
        ([("A", 1), (" ", 1), ("B", 3)], "AB", SECOND, ["it is empty"]),
        ([("A", 1), ("A", 1), ("B", 3), ("C", 4)], "ABC", ((2,), (1,), (0,)), ["it repeats another"]),
        ([("A", 1), ("A", 2), ("B", 3), ("C", 4)], "BC", SECOND, 2 * ["it is there twice, and judged otherwise"]),
    ],
)
def test_an_answer_that_says_nothing_takes_no_other_with_it(
    answers: list[tuple[str, int]], kept: str, tiers: Any, why: list[str]
) -> None:
    found = read(ultrafeedback(*answers))
    assert (found.answers, found.votes[0].tiers) == (tuple(kept), tiers)
    assert [told[: len(wanted)] for told, wanted in zip(found.without, why, strict=True)] == why
    assert found.votes[0].ratings == {place: {"helpfulness": 4} for place in range(len(kept))}


def test_answers_that_are_left_out_are_counted(store: FeedbackStore, tmp_path: Path) -> None:
    rows = [{"prompt": "c", "response": text, **HELPSTEER} for text in ("A", "")]
    summary = import_preferences(store, write(tmp_path / "h.jsonl", rows))
    assert (summary.singles, summary.notes[-1]) == (1, "1 answer was left out of a comparison: it is empty.")
    many = {"question": "Why?", "answers": [{"text": f"t{n}", "pm_score": n} for n in range(12)]}
    summary = import_preferences(store, write(tmp_path / "s.jsonl", [many]))
    assert (summary.rankings, summary.notes) == (1, ["3 answers were left out of a comparison: a task shows nine."])
    assert {response.text for response in store.responses()} == {"A", *(f"t{n}" for n in range(3, 12))}


@pytest.mark.parametrize(
    ("label", "is_good"),
    [("thumbs up", True), ("thumbs_down", False), ("Thumbs-Up", True), ("👎", False), ("True", True), ("0.0", False)],
)
def test_thumbs_in_words(label: str, is_good: bool) -> None:
    assert read({"prompt": "Why?", "completion": "So.", "label": label}).votes[0].all_bad is not is_good


WEBGPT = {"question": {"full_text": "Why?", "dataset": "d"}, "answer_0": "A", "answer_1": "B"}


@pytest.mark.parametrize(
    ("record", "told", "not_told"),
    [
        (
            {"prompt": "Why?", "response": "So.", "thumbs": "up"},
            "or of single answers prompt=…,answers=…,good=…",
            "nearest",
        ),
        (
            {"instruction": "Why?", "input": "Tea", "output": ["A", "B"]},
            "is the better, say so: --map prompt=instruction,prompt=input,chosen=output",
            "KTO",
        ),
        (
            WEBGPT | {"score_0": None, "score_1": None},
            'WebGPT comparisons, but nothing stands in "score_0", "score_1": nobody has judged it',
            "nearest",
        ),
    ],
)
def test_a_stranger_is_told_what_helps(
    store: FeedbackStore, tmp_path: Path, record: dict[str, Any], told: str, not_told: str
) -> None:
    with pytest.raises(UsageError) as refused:
        import_preferences(store, write(tmp_path / "x.jsonl", [record]))
    assert told in str(refused.value)
    assert not_told not in str(refused.value)


@pytest.mark.parametrize(("column", "end"), [("promt", '"promt" to map. Did you mean `prompt`?'), ("x", '"x" to map.')])
def test_an_unknown_name_ends_as_a_sentence(store: FeedbackStore, tmp_path: Path, column: str, end: str) -> None:
    with pytest.raises(UsageError) as refused:
        import_preferences(store, write(tmp_path / "x.jsonl", [asked(1)]), columns={column: "q"})
    assert str(refused.value).endswith(end)


def test_earlier_turns_are_part_of_a_mapped_prompt(store: FeedbackStore, tmp_path: Path) -> None:
    row = {"q": "Why?", "past": [["Hi.", "Yes?"]], "more": "Soon.", **PAIR}
    columns = {"prompt": ["past", "q", "more"], "chosen": "chosen", "rejected": "rejected"}
    import_preferences(store, write(tmp_path / "x.jsonl", [row]), columns=columns)
    [prompt] = store.prompts()
    assert [message.content for message in prompt.messages] == ["Hi.", "Yes?", "Why?\n\nSoon."]
