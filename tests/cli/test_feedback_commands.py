"""`tasks`, `withdraw`, `verify`, `backup`, `restore` and what `runs` says of withdrawn feedback, as they are typed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from plaudit.cli import main
from plaudit.feedback.aggregate import preferences
from plaudit.feedback.exchange.exports import export_judgements
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.store import FeedbackStore
from plaudit.runs import Source
from plaudit.stages.inputs import feedback_source
from plaudit.stages.lifecycle import command_for
from plaudit.stages.reward import RewardStageConfig, gather
from plaudit.types import (
    Annotator,
    AnnotatorKind,
    Demonstration,
    Judgement,
    Prompt,
    Ranking,
    Response,
    Task,
    TaskPurpose,
)
from plaudit.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Twenty prompts with three answers each; ana has judged what there was to judge before."""
    made = Workspace.create(tmp_path / "w")
    prompts = [Prompt.from_text(f"Question {i}?", "mine") for i in range(20)]
    with FeedbackStore.open(made.database) as store:
        store.add_prompts(prompts)
        store.add_responses([Response(p.id, f"Answer {k}.") for p in prompts for k in range(3)])
        store.add_annotators([Annotator("ana"), Annotator("ben")])
    return made


def run(workspace: Workspace, *words: str) -> int:
    return main([*words, "-w", str(workspace.path)])


def judge_all(workspace: Workspace, annotator: str) -> int:
    with FeedbackStore.open(workspace.database) as store:
        judged = 0
        while given := store.next_assignment(annotator):
            ids = store.task(given.task_id).response_ids
            store.submit(Judgement(given.id, given.task_id, annotator, Ranking(tuple((r,) for r in sorted(ids)))))
            judged += 1
        return judged


def test_tasks_of_every_kind(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold = tmp_path / "gold.jsonl"
    gold.write_text('{"prompt": "Gold?", "chosen": "Yes.", "rejected": "No."}\n')
    words = ["tasks", "--sentinels", "2", "--shared", "0.1", "--gold", str(gold), "--write", "3", "--overlap", "1"]
    assert run(workspace, *words) == 0
    assert "24 new tasks: 1 gold, 2 sentinel, 2 shared, 16 work, 3 to write. Next:" in capsys.readouterr().out
    with FeedbackStore.open(workspace.database) as store:
        tasks = store.tasks()
        assert sum(t.is_writing for t in tasks) == 3
        assert {t.purpose for t in tasks} == {
            TaskPurpose.GOLD, TaskPurpose.SENTINEL, TaskPurpose.SHARED, TaskPurpose.WORK
        }  # fmt: skip
        assert {t.question for t in tasks if not t.is_writing} == {store.settings().question}
    assert run(workspace, *words) == 0
    assert capsys.readouterr().out.startswith("0 new tasks. 24 more were there already. Next:")


GOLD = '{"prompt": "Gold?", "answers": ["Yes.", "No."]}\n{"prompt": "Gold too?", "answers": ["Yes.", "No."]}\n'


def test_a_check_is_no_data(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold, first, ordinary = (tmp_path / f"{name}.jsonl" for name in ("gold", "first", "prompts"))
    gold.write_text(GOLD + '{"prompt": "Question 0?", "answers": ["Answer 1.", "Made up.", "Made up, too."]}\n')
    first.write_text('{"prompt": "First?", "answers": ["Yes.", "No."]}\n')
    for _ in range(2):  # at once, and later
        words = ["--gold", str(gold), "--qualification", str(first), "--sentinels", "1", "--write", "100"]
        assert run(workspace, "tasks", "--answers", "9", "--per-prompt", "9", *words) == 0
    assert run(workspace, "export", str(ordinary), "--what", "prompts") == 0
    with FeedbackStore.open(workspace.database) as store:
        tasks = [task for task in store.tasks() if task.purpose not in (TaskPurpose.GOLD, TaskPurpose.QUALIFICATION)]
        texts = {response.id: response.text for response in store.responses()}
        asked = {store.prompt(task.prompt_id).question for task in tasks}
        assert {question.split()[0] for question in asked} == {"Question"}
        assert len(asked) == 20
        assert {texts[r] for task in tasks for r in task.response_ids} == {"Answer 0.", "Answer 1.", "Answer 2."}
        assert sum(task.purpose is TaskPurpose.GOLD for task in store.tasks()) == 3
    assert ordinary.read_text().count("Question") == len(ordinary.read_text().splitlines()) == 20


def test_imported_pairs_are_judged_anew(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [f'{{"prompt": "Pair {n}?", "chosen": "Yes {n}.", "rejected": "No."}}\n' for n in range(10)]
    (tmp_path / "pairs.jsonl").write_text("".join(pairs))
    assert run(workspace, "import", str(tmp_path / "pairs.jsonl"), "--name", "bought") == 0
    assert judge_all(workspace, "ana") == 0
    words = ["tasks", "--source", "bought", "--shared", "0"]
    capsys.readouterr()
    assert run(workspace, *words) == 0
    said = "0 new tasks. 10 more were there already. 10 of them got more places for people. Next:"
    assert said in capsys.readouterr().out
    assert run(workspace, *words) == 0
    assert "0 new tasks. 10 more were there already. Next:" in capsys.readouterr().out
    assert (judge_all(workspace, "ana"), judge_all(workspace, "ben")) == (10, 0)
    assert run(workspace, *words, "--overlap", "2") == 0
    assert "10 of them got more places for people." in capsys.readouterr().out
    assert (judge_all(workspace, "ana"), judge_all(workspace, "ben")) == (0, 10)
    assert run(workspace, *words, "--overlap", "1") == 0
    assert "10 of them had places for more people than 1; places are never taken away." in capsys.readouterr().out
    with FeedbackStore.open(workspace.database) as store:
        assert {p.votes for p in preferences(store)} == {3.0}
        assert store.verify() == []
        backup = tmp_path / "backup.zip"
        store.back_up(backup)
        export_judgements(store, tmp_path / "all.jsonl")
    with FeedbackStore.open(tmp_path / "restored.db") as restored:
        restored.restore(backup)
        assert {task.overlap for task in restored.tasks()} == {3}
    with FeedbackStore.open(tmp_path / "elsewhere.db") as elsewhere:
        import_preferences(elsewhere, str(tmp_path / "all.jsonl"))
        assert {task.overlap for task in elsewhere.tasks()} == {3}
        assert {p.votes for p in preferences(elsewhere)} == {3.0}


def test_data_that_is_called_gold_is_data(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('"Nugget?"\n')
    (tmp_path / "gold.jsonl").write_text(GOLD)
    assert run(workspace, "import", str(tmp_path / "p.jsonl"), "--prompts", "--name", "gold") == 0
    assert run(workspace, "tasks", "--limit", "0", "--write", "9", "--gold", str(tmp_path / "gold.jsonl")) == 0
    assert run(workspace, "tasks", "--limit", "0", "--write", "9", "--source", "gold") == 0
    with FeedbackStore.open(workspace.database) as store:
        written = [t for t in store.tasks() if t.is_writing and store.prompt(t.prompt_id).source == "gold"]
        assert [store.prompt(task.prompt_id).question for task in written] == ["Nugget?"]


def test_checks_that_are_work_already_are_counted(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gold.jsonl").write_text(GOLD + '{"prompt": "Question 0?", "answers": ["Answer 0.", "Answer 1."]}\n')
    assert run(workspace, "tasks", "--per-prompt", "3") == 0
    assert run(workspace, "tasks", "--per-prompt", "3", "--gold", str(tmp_path / "gold.jsonl")) == 0
    assert (
        "\n2 new tasks: 2 gold. 60 more were there already. "
        "1 of the checks were tasks for another purpose already: they check nothing. Next:"
    ) in capsys.readouterr().out


def test_a_malformed_gold_file_makes_no_tasks(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gold.jsonl").write_text('{"prompt": "Gold?"}\n')
    assert run(workspace, "tasks", "--gold", str(tmp_path / "gold.jsonl")) == 2
    assert "gold.jsonl, line 1" in capsys.readouterr().err
    with FeedbackStore.open(workspace.database) as store:
        assert store.tasks() == []


def test_what_cannot_be_done_whole_is_not_begun(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "gold.jsonl").write_text(GOLD)
    assert run(workspace, "tasks", "--gold", str(tmp_path / "gold.jsonl"), "--active", "a,b") == 2
    with FeedbackStore.open(workspace.database) as store:
        assert store.tasks() == []
        assert len(store.prompts()) == 20


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tasks", "--gold", "squad"], "There is no file squad"),
        (["tasks", "--qualification", "~nosuch/x.jsonl"], "There is no file or folder ~nosuch/x.jsonl"),
        (["import", "~nosuch/x.jsonl"], "There is no file or folder ~nosuch/x.jsonl"),
        (["tasks", "--overlap", "99999999999999999999"], "--overlap must be from 1 to 1,000"),
        (["tasks", "--sentinels", "99999999999999999999"], "--sentinels must be from 0 to 1,000"),
        (["tasks", "--answers", "10"], "--answers must be from 2 to 9"),
        (["tasks", "--source", "nowhere"], "no prompts from nowhere"),
        (["tasks", "--sample", "sample-001"], "No run `sample-001`"),
        (["tasks", "--active", "reward-001"], "No run `reward-001`"),
        (["withdraw"], "either the annotator or the entry"),
        (["withdraw", "--annotator", "nobody"], "no annotator nobody in the feedback store. `plaudit quality"),
        (["withdraw", "--entry", "none"], "no judgement or demonstration none"),
        (["restore", "none.zip"], "There is no file none.zip"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_is_one_sentence(
    words: list[str], sentence: str, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(workspace, *words) in (1, 2)
    captured = capsys.readouterr().err
    assert sentence in captured
    assert captured.count("\n") == 1


def test_withdrawing_names_the_runs_that_learnt_from_it_and_those_made_of_them(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    run(workspace, "tasks")
    assert judge_all(workspace, "ana") == 20
    with FeedbackStore.open(workspace.database) as store:
        read = feedback_source(store)
        entry = store.judgements()[0].id
    learnt = workspace.start("reward", {"source": None}, 0, {"feedback": read})
    elsewhere = workspace.start("reward", {"source": "other"}, 0, {"feedback": read})
    for one in (learnt, elsewhere):
        with one.recording():
            one.results["command"] = f"plaudit reward --again {one.id}"
    aligned = workspace.start("align", {}, 0, {"reward": learnt})
    with aligned.recording():
        aligned.results["command"] = "plaudit align --again"
    assert judge_all(workspace, "ben") > 0  # more feedback makes nothing stale
    capsys.readouterr()
    assert run(workspace, "runs") == 0
    assert "tale" not in capsys.readouterr().out
    assert run(workspace, "withdraw", "--entry", entry, "--reason", "consent withdrawn") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("Withdrew 1 entry")
    assert said[2:] == [
        "  reward-001 (1 entry): plaudit reward --again reward-001",
        "  align-001 (1 entry): plaudit align --again",
    ]
    assert run(workspace, "runs") == 0
    listed = capsys.readouterr().out
    assert listed.count("stale") == 2
    assert "  align-001: plaudit align --again" in listed
    assert run(workspace, "runs", "reward-001") == 0
    assert "Make it again by `plaudit reward --again reward-001`" in capsys.readouterr().out
    assert run(workspace, "withdraw", "--annotator", "ana") == 0
    assert "Withdrew 19 entries" in capsys.readouterr().out


def judged_by_ana(workspace: Workspace) -> Source:
    """Tasks for everything, all of them judged by ana; what a run records that reads it now."""
    run(workspace, "tasks")
    judge_all(workspace, "ana")
    with FeedbackStore.open(workspace.database) as store:
        return feedback_source(store)


def test_weights_come_from_all_sources_and_so_does_what_a_weighted_run_rests_on(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    read = judged_by_ana(workspace)
    for weighted in (True, False):
        config = {"source": "other", "weighted": weighted}
        with workspace.start("reward", config, 0, {"feedback": read}).recording():
            pass
    run(workspace, "withdraw", "--annotator", "ana")
    said = capsys.readouterr().out
    assert "reward-001 (20 entries)" in said
    assert "reward-002" not in said


def test_the_commands_name_no_run_that_is_made_again_itself(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    read = judged_by_ana(workspace)
    inputs: dict[str, object] = {"feedback": read}
    for stage, config in (
        ("reward", {}),
        ("align", {"reward": "reward-001"}),
        ("evaluate", {"align": "align-001", "answers": 2}),
    ):
        one = workspace.start(stage, config, 0, inputs)
        with one.recording():
            one.results["command"] = command_for(one, workspace)
        inputs = {stage: one}
    run(workspace, "withdraw", "--annotator", "ana")
    said = capsys.readouterr().out.splitlines()
    made_again = f"-w {workspace.path} --seed 0"
    assert said[-3:] == [
        f"  reward-001 (20 entries): plaudit reward {made_again}",
        f"  align-001 (20 entries): plaudit align {made_again}",
        f"  evaluate-001 (20 entries): plaudit evaluate {made_again} --set answers=2",
    ]


def test_withdrawing_a_written_answer_names_the_runs_that_compared_with_it(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    with FeedbackStore.open(workspace.database) as store:
        store.add_annotators([Annotator("ana")])
        prompt = next(iter(store.prompts()))
        store.write(Demonstration("w1", prompt.id, "As I would say it.", annotator_id="ana"))
        read = feedback_source(store)
    for stage in ("reward", "evaluate"):
        with workspace.start(stage, {"source": None}, 0, {"feedback": read}).recording():
            pass
    assert run(workspace, "withdraw", "--entry", "w1", "--reason", "consent withdrawn") == 0
    with FeedbackStore.open(workspace.database) as store:
        newest = store.actions()[0]
    assert (newest.actor, newest.action, newest.target) == ("the command line", "withdrew", "w1")
    assert newest.details == {"reason": "consent withdrawn", "entries": 1}
    said = capsys.readouterr().out
    assert "evaluate-001 (1 entry)" in said
    assert "reward-001" not in said


def test_verify_finds_and_repairs(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(workspace, "verify") == 0
    assert capsys.readouterr().out.startswith("Sound: 82 events")
    with sqlite3.connect(str(workspace.database)) as raw:
        raw.execute("UPDATE responses SET text = 'forged'")
    assert run(workspace, "verify") == 1
    captured = capsys.readouterr()
    assert captured.out.count("text differ from event") == 20
    assert "… and 40 more." in captured.out
    assert "plaudit verify --repair" in captured.err
    assert run(workspace, "verify", "--repair") == 0
    assert run(workspace, "verify") == 0


def test_a_backup_goes_into_a_workspace_on_postgresql_and_every_command_works_there(
    workspace: Workspace, tmp_path: Path, postgresql_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(workspace, "tasks")
    judge_all(workspace, "ana")
    file = str(tmp_path / "backup.zip")
    assert run(workspace, "backup", file) == 0
    assert run(workspace, "backup", file) == 2
    team = tmp_path / "team"
    assert main(["init", str(team), "--feedback", postgresql_url]) == 0
    assert main(["restore", file, "-w", str(team)]) == 0
    assert main(["restore", file, "-w", str(team)]) == 2
    assert "empty feedback store only" in capsys.readouterr().err
    opened = Workspace.open(team)
    assert not (team / "feedback.db").exists()
    with FeedbackStore.open(opened.database) as there, FeedbackStore.open(workspace.database) as here:
        assert there.judgements() == here.judgements() != []
    for words in (["verify"], ["tasks", "--answers", "3"], ["export", str(tmp_path / "out.jsonl")], ["runs"]):
        assert main([*words, "-w", str(team)]) == 0, words
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 20


def test_one_question_at_a_time(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(workspace, "tasks", "--shared", "0", "--question", "Which is safer?") == 0
    assert judge_all(workspace, "ana") == 20
    capsys.readouterr()
    named = "Nobody has answered “Which answer is better?” here, but “Which is safer?” (20 judgements). Name one by"
    for words in (["export", str(tmp_path / "none.jsonl")], ["quality"], ["reward"]):
        assert run(workspace, *words) == 2
        assert f"{named} `--question TEXT`." in capsys.readouterr().err
    assert not (tmp_path / "none.jsonl").exists()
    assert run(workspace, "tasks", "--shared", "0", "--limit", "3") == 0
    assert judge_all(workspace, "ben") == 3
    assert run(workspace, "export", str(tmp_path / "better.jsonl"), "--card") == 0
    said = capsys.readouterr().out
    assert "Wrote 3 rows" in said
    assert "left out 20 because they answer another question" in said
    assert "The question was: Which answer is better?" in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert run(workspace, "export", str(tmp_path / "safer.jsonl"), "--question", "Which is safer?") == 0
    assert "Wrote 20 rows" in capsys.readouterr().out
    assert run(workspace, "export", str(tmp_path / "all.jsonl"), "--what", "judgements") == 0
    assert "Wrote 23 rows" in capsys.readouterr().out
    assert run(workspace, "export", str(tmp_path / "p.jsonl"), "--what", "prompts", "--question", "Which?") == 2
    capsys.readouterr()
    assert run(workspace, "quality", "--question", "Which is safer?") == 0
    said = capsys.readouterr().out
    assert said.startswith("Question: Which is safer?\nNot in these figures: “Which answer is better?” (3 judgements);")
    assert "20 judgements by 1 annotator of 20 tasks" in said
    with FeedbackStore.open(workspace.database) as store:
        for question, judged in ((None, 3), ("Which is safer?", 20)):
            feedback = gather(workspace, store, RewardStageConfig(question=question))
            assert len(feedback.judgements) == judged
            assert {p.votes for group in feedback.groups for p in group.preferences} == {1.0}


NASTY = "\x1b[2J\u202eeve\x07"


def test_what_comes_from_outside_steers_no_terminal(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FeedbackStore.open(workspace.database) as store:
        for number, person in enumerate(Annotator(f"{NASTY}{n}", AnnotatorKind.DATASET) for n in range(2)):
            store.add_annotators([person])
            for i in range(12):
                prompt = Prompt.from_text(f"N{i}?", NASTY, **{NASTY: NASTY * (1 + i % 2)})
                pair = [Response(prompt.id, text) for text in ("one", "another one")]
                task = Task(prompt.id, tuple(r.id for r in pair), overlap=3)
                store.add_prompts([prompt])
                store.add_responses(pair)
                store.add_tasks([task])
                tiers = tuple((r.id,) for r in (pair if number else pair[::-1]))
                store.submit(Judgement(f"{number} {i}", task.id, person.id, Ranking(tiers)))
        store.assign(task.id, "ana", (0, 1))
        store.skip(task.id, "ana", NASTY)
    run(workspace, "quality")
    run(workspace, "withdraw", "--annotator", NASTY)
    run(workspace, "withdraw", "--entry", NASTY)
    run(workspace, "export", str(tmp_path / "x.jsonl"), "--source", f"no{NASTY}")
    run(workspace, "export", str(tmp_path / "x.jsonl"), "--tag", NASTY)
    run(workspace, "export", str(tmp_path / "x.jsonl"), "--card", "--license", f"no{NASTY}=MIT")
    run(workspace, "quality", "--question", NASTY)
    said = "".join(capsys.readouterr())
    assert not set(said) & set("\x1b\x07\u202e")
    assert said.count("\\x1b") >= 7


def test_one_is_one(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(workspace, "tasks", "--limit", "1", "--shared", "0") == 0
    assert capsys.readouterr().out.startswith("1 new task: 1 work.")
    assert judge_all(workspace, "ana") == 1
    assert run(workspace, "quality") == 0
    assert "\n1 judgement by 1 annotator of 1 task (1.0 a task): 1 choice, " in capsys.readouterr().out
