"""The demo on the tiny model: it ends with a report, is not done twice, goes on where it was cut, and takes people."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plaudit.cli import main
from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.store import FeedbackStore
from plaudit.report.outcome import QUICK_NOTE
from plaudit.runs import Run, RunStatus
from plaudit.stages.demo import Demo, demo
from plaudit.types import Split
from plaudit.workspace import Workspace


@pytest.fixture
def asked(tmp_path: Path, tiny_folder: Path) -> Demo:
    return Demo.from_options(out=tmp_path / "demo", model=str(tiny_folder), quick=True, iterations=None)


def pages(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in ("report.html", "summary.json")}


def test_an_unknown_model_leaves_nothing_behind(tmp_path: Path) -> None:
    asked = Demo.from_options(out=tmp_path / "demo", model=str(tmp_path / "nowhere"), quick=True, iterations=None)
    with pytest.raises(PlauditError):
        demo(asked)
    assert not (tmp_path / "demo").exists()


def test_the_demo_ends_with_a_report_and_is_not_done_twice(tmp_path, tiny_folder, capsys, monkeypatch) -> None:
    typed = ["demo", "--out", str(tmp_path / "demo"), "--model", str(tiny_folder), "--quick", "--seed", "3"]
    assert main(typed) == 0
    said = capsys.readouterr().out
    for words in ("Sampled 76 answers to 19 prompts", "A simulated panel of 13", "The reward model learned from",
                  "Aligned the model by RLOO in 2 iterations", "held-out prompts the aligned model's answers win",
                  "The panel was simulated", f"Open {tmp_path / 'demo' / 'report.html'}"):  # fmt: skip
        assert words in said
    first = pages(tmp_path / "demo")
    summary = json.loads(first["summary.json"])
    assert summary["simulated"] is True
    assert summary["seed"] == 3
    assert summary["overlap"]["bleu"]["after"] is not None
    assert summary["proof"].startswith(QUICK_NOTE)
    assert QUICK_NOTE in first["report.html"].decode()
    assert QUICK_NOTE in said

    def loads_nothing(*_: object) -> None:
        raise AssertionError("nothing is left to do")

    monkeypatch.setattr("plaudit.models.catalog.load", loads_nothing)
    (tmp_path / "demo" / "report.html").unlink()
    start = time.monotonic()
    assert main(typed) == 0
    assert time.monotonic() - start < 3  # a third of a second on an idle machine
    assert pages(tmp_path / "demo") == first
    assert "Open " in capsys.readouterr().out


def test_a_cut_demo_goes_on_and_ends_as_it_would_have(asked: Demo, monkeypatch, tmp_path) -> None:
    log, cut = Run.log, []

    def interrupted(run: Run, **metrics: object) -> None:
        if run.stage == "align" and metrics["step"] == 2 and not cut:
            cut.append(run)
            raise KeyboardInterrupt
        log(run, **metrics)

    monkeypatch.setattr(Run, "log", interrupted)
    with pytest.raises(KeyboardInterrupt):
        demo(asked, write=lambda line: None)
    said: list[str] = []
    assert demo(asked, write=said.append)
    assert said[1].startswith("It will take about ")
    assert [line.endswith("Done before.") for line in said[2:7]] == [True, True, True, False, False]
    runs = Workspace.open(asked.folder).runs()
    assert [run.status for run in runs] == [RunStatus.FINISHED] * 5
    whole = Demo.from_options(out=tmp_path / "whole", model=asked.model, quick=True, iterations=None)
    assert demo(whole, write=lambda line: None)
    assert [run.digest() for run in runs] == [run.digest() for run in Workspace.open(whole.folder).runs()]


def test_other_settings_repeat_only_what_depends_on_them(asked: Demo) -> None:
    demo(asked, write=lambda line: None)
    said: list[str] = []
    more = Demo.from_options(out=asked.out, model=asked.model, quick=True, iterations=1, algorithm="ppo")
    assert more.folder == asked.folder
    assert demo(more, write=said.append)
    assert said[1].startswith("It will take about ")
    assert [line.endswith("Done before.") for line in said[2:7]] == [True, True, True, False, False]
    assert json.loads((asked.out / "summary.json").read_text())["algorithm"] == "ppo"
    assert demo(asked, write=said.append)
    assert json.loads((asked.out / "summary.json").read_text())["algorithm"] == "rloo"
    assert len(Workspace.open(asked.folder).runs()) == 7
    direct = Demo.from_options(out=asked.out, model=asked.model, quick=True, iterations=None, algorithm="dpo")
    said.clear()
    assert demo(direct, write=said.append)
    summary = json.loads((asked.out / "summary.json").read_text())
    assert summary["algorithm"] == "dpo"
    assert summary["win_rate"] is not None
    assert [line.endswith("Done before.") for line in said[2:7]] == [True, True, True, False, False]


def test_fresh_starts_over_and_touches_nothing_else(asked: Demo) -> None:
    demo(asked, write=lambda line: None)
    (asked.out / "notes.txt").write_text("mine")
    made = Workspace.open(asked.folder).latest("sample").created_at
    demo(asked, fresh=True, write=lambda line: None)
    runs = Workspace.open(asked.folder).runs()
    assert len(runs) == 5
    assert runs[0].created_at > made
    assert (asked.out / "notes.txt").read_text() == "mine"


def test_preferences_that_people_gave_take_the_place_of_sampling_and_panel(tmp_path, tiny_folder) -> None:
    rows = [
        {"prompt": f"What is {n} and {n}?", "chosen": f"It is {2 * n}.", "rejected": "I would rather not say."}
        for n in range(40)
    ]
    source = tmp_path / "sums.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = Demo.from_options(
        out=tmp_path / "demo", model=str(tiny_folder), quick=True, iterations=None, preferences=str(source)
    )
    said: list[str] = []
    assert demo(asked, write=said.append)
    workspace = Workspace.open(asked.folder)
    assert [run.stage for run in workspace.runs()] == ["reward", "align", "evaluate"]
    with FeedbackStore.open(workspace.database) as store:
        assert workspace.latest("align").results["prompts"] == len(store.prompts(Split.TRAIN))
    summary = json.loads((asked.out / "summary.json").read_text())
    assert summary["win_rate"] is None
    assert summary["simulated"] is False
    assert summary["reward_accuracy"] > 0.9
    assert "No judge compared the answers" in summary["proof"]
    assert "No judge compared the answers" in said[-2]
    assert "noise_ceiling" not in summary
    assert "simulated" not in "".join(said)


class Person:
    """Ranks by alphabet, as long as patience lasts."""

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def read(self, question: str) -> str:
        self.patience -= 1
        if self.patience < 0:
            raise EOFError
        return "a>b>c>d"


def test_a_person_can_rank_stop_go_on_and_get_a_loop_of_their_own(tmp_path, tiny_folder) -> None:
    asked = Demo.from_options(out=tmp_path / "demo", model=str(tiny_folder), quick=True, iterations=None, people=True)
    said: list[str] = []
    assert not demo(asked, read=Person(1).read, write=said.append)
    assert said[-1] == "The reward model is trained when all 4 are ranked or skipped; 3 to go."
    assert not (asked.out / "report.html").exists()
    assert demo(asked, read=Person(3).read, write=said.append)
    workspace = Workspace.open(asked.folder)
    assert [run.stage for run in workspace.runs()] == ["sample", "reward", "align", "evaluate"]
    assert workspace.latest("reward").results["judgements"] == 4
    assert workspace.latest("reward").results["prompts_heldout"] == 1
    summary = json.loads((asked.out / "summary.json").read_text())
    assert (summary["simulated"], summary["win_rate"]) == (False, None)


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"people": True, "preferences": "x.jsonl"}, "give one of them"),
        ({"algorithm": "dpoo"}, "no algorithm dpoo; use rloo or ppo or grpo or dpo"),
        ({"algorithm": "kto"}, "kto learns from thumbs up or down on single answers, and the demo has rankings"),
        ({"algorithm": "dpo", "iterations": 3}, "dpo has no iterations"),
        ({"iterations": 0}, "--iterations must be at least 1"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_anything_is_done(wish, sentence) -> None:
    with pytest.raises(UsageError, match=sentence):
        Demo.from_options(**{"quick": False, "iterations": None, **wish})


def test_two_demos_do_not_work_in_one_folder(asked: Demo) -> None:
    Workspace.create(asked.folder, asked.model)
    run = Workspace.open(asked.folder).start("sample", {}, 0, {})
    with run.recording(), pytest.raises(UsageError, match="Another process is at work"):
        demo(asked, write=lambda line: None)


def test_feedback_of_other_settings_is_not_mixed_in(asked: Demo) -> None:
    Workspace.create(asked.folder, asked.model)
    with Workspace.open(asked.folder).start("sample", {"answers": 7}, 0, {}).recording():
        pass
    with pytest.raises(UsageError, match="was made with other settings; --fresh starts it over"):
        demo(asked, write=lambda line: None)


def test_each_source_of_feedback_has_its_own_folder(tmp_path: Path) -> None:
    def folders() -> Iterator[Path]:
        for wish in ({}, {"seed": 1}, {"people": True}, {"preferences": "a/x.jsonl"}, {"preferences": "b/x.jsonl"},
                     {"model": "some/model"}):  # fmt: skip
            yield Demo.from_options(**{"quick": False, "iterations": None, **wish}).folder

    found = list(folders())
    assert found[0] == Path("demo/seed-0")
    assert len(set(found)) == len(found)
