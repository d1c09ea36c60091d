"""`plaudit quality` prints what the report holds, for people and for programs."""

import json

import pytest

from plaudit.cli import main
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Annotator, Judgement, Prompt, Ranking, Response, Task


@pytest.fixture
def workspace(tmp_path, capsys):
    assert main(["init", "-w", str(tmp_path / "clinic")]) == 0
    capsys.readouterr()
    with FeedbackStore.open(tmp_path / "clinic" / "feedback.db") as store:
        prompts = [Prompt.from_text(f"Question {i}?") for i in range(12)]
        pairs = [[Response(p.id, text) for text in ("one", "another")] for p in prompts]
        tasks = [Task(p.id, tuple(r.id for r in pair), overlap=2) for p, pair in zip(prompts, pairs, strict=True)]
        store.add_prompts(prompts)
        store.add_responses(r for pair in pairs for r in pair)
        store.add_tasks(tasks)
        store.add_annotators([Annotator("ana"), Annotator("ben")])
        for i, task in enumerate(tasks):
            for who in ("ana", "ben"):
                a, b = task.response_ids if who == "ana" or i % 4 else task.response_ids[::-1]
                store.submit(
                    Judgement(f"{who}{i}", task.id, who, Ranking(((a,), (b,))), task.response_ids, seconds=30.0)
                )
    return tmp_path / "clinic"


def test_a_page_to_read(workspace, capsys) -> None:
    assert main(["quality", "-w", str(workspace)]) == 0
    said = capsys.readouterr().out
    assert "24 judgements by 2 annotators of 12 tasks (2.0 a task): 24 choices, 0% of them ties." in said
    assert "Krippendorff's α" in said
    assert "\nWhat to do\n• " in said
    assert "\n• No task has a gold answer." in said
    assert "30 s a comparison" in said


def test_json_for_programs(workspace, capsys) -> None:
    assert main(["quality", "--json", "-w", str(workspace)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["agreement"]["percent"]["value"] == pytest.approx(0.75)
    assert report["annotators"][0].keys() >= {"annotator", "weight", "flags", "consensus"}


def test_without_judgements_it_is_one_sentence(tmp_path, capsys) -> None:
    main(["init", "-w", str(tmp_path / "w")])
    assert main(["quality", "-w", str(tmp_path / "w")]) == 2
    assert capsys.readouterr().err.endswith(
        "holds no feedback yet: bring some in by `plaudit import` or `plaudit label`.\n"
    )
    FeedbackStore.open(tmp_path / "w" / "feedback.db").close()
    assert main(["quality", "-w", str(tmp_path / "w")]) == 1
    assert "Nobody has compared any answers yet" in capsys.readouterr().err


@pytest.mark.parametrize("width", [80, 120])
def test_names_are_whole_however_narrow_the_terminal(workspace, capsys, monkeypatch, width: int) -> None:
    monkeypatch.setattr("plaudit.cli.labelling.PIPED_WIDTH", width)
    long = "annotator-" + "0123456789" * 4
    with FeedbackStore.open(workspace / "feedback.db") as store:
        store.add_annotators([Annotator("simulated-04"), Annotator(long)])
        for who in ("simulated-04", long):
            for task in store.tasks():
                tiers = Ranking(tuple((one,) for one in task.response_ids))
                store.submit(Judgement(f"{who[:9]} {task.id}", task.id, who, tiers, task.response_ids))
    assert main(["quality", "-w", str(workspace)]) == 0
    tables = capsys.readouterr().out.split("\nannotator ")
    assert len(tables) == 3
    for table in tables[1:]:
        names = [line.split("  ")[0].strip() for line in table.splitlines()[1:] if line[:1].strip()]
        assert "simulated-04" in names
        assert long in "".join(names)
    assert "…" not in tables[1]
    assert ("at first" in tables[1]) == (width > 100)


def test_what_is_not_known_of_an_annotator_is_left_blank(workspace, capsys) -> None:
    with FeedbackStore.open(workspace / "feedback.db") as store:
        store.add_annotators([Annotator("lone")])
        prompt = Prompt.from_text("Alone?")
        pair = [Response(prompt.id, text) for text in ("yes", "no")]
        task = Task(prompt.id, tuple(r.id for r in pair))
        store.add_prompts([prompt])
        store.add_responses(pair)
        store.add_tasks([task])
        store.submit(Judgement("alone", task.id, "lone", Ranking(tuple((r.id,) for r in pair)), task.response_ids))
    assert main(["quality", "-w", str(workspace)]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("lone"))
    assert len(line.split()) == 3  # the name, how many were judged, and what a vote counts
    assert main(["quality", "--json", "-w", str(workspace)]) == 0
    lone = json.loads(capsys.readouterr().out)["annotators"][-1]
    assert (lone["annotator"], lone["knowing"], lone["accuracy"], lone["competence"]) == ("lone", None, None, None)
    assert 0.05 <= lone["weight"] <= 1
