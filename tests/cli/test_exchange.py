"""`plaudit export` and `plaudit import` together: what goes out by an option comes back by the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plaudit.cli import main
from plaudit.workspace import Workspace


@pytest.fixture
def labelled(tmp_path: Path, capsys: pytest.CaptureFixture) -> str:
    """A workspace with three preferences from the source `first`."""
    rows = ({"prompt": f"What is {n}?", "chosen": f"It is {n}.", "rejected": "No."} for n in range(3))
    (tmp_path / "first.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = str(Workspace.create(tmp_path / "w").path)
    assert main(["import", str(tmp_path / "first.jsonl"), "-w", folder]) == 0
    capsys.readouterr()
    return folder


@pytest.mark.parametrize("what", ["preferences", "judgements", "rewardbench", "rewardbench2"])
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_every_kind_in_every_file_comes_back(
    what: str, suffix: str, labelled: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = str(tmp_path / f"out{suffix}")
    assert main(["export", out, "--what", what, "-w", labelled]) == 0
    assert capsys.readouterr().out == f"Wrote 3 rows to {out}.\n"
    other = str(Workspace.create(tmp_path / "other").path)
    assert main(["import", out, "-w", other]) == 0
    assert "3 new preferences, 3 new prompts." in capsys.readouterr().out


def test_plain_texts_and_a_card(labelled: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out, card = tmp_path / "release" / "out.jsonl", tmp_path / "release" / "README.md"
    assert main(["export", str(out), "--plain", "--card", "--license", "first=CC-BY-4.0", "-w", labelled]) == 0
    assert sorted(json.loads(line)["prompt"] for line in out.read_text().splitlines())[0] == "What is 0?"
    assert 'license: "CC-BY-4.0"' in card.read_text()
    assert main(["export", str(tmp_path / "release" / "two.jsonl"), "--card", "-w", labelled]) == 2
    assert "README.md exists already, and --card writes there: put FILE into another" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["out.xlsx"], "none of .jsonl, .csv, .parquet"),
        (["out.csv", "--license", "MIT"], "add --card"),
        (["out.csv", "--card", "--license", "frist=MIT"], "There is no source frist to license. Did you mean `first`?"),
        (["out.csv", "--what", "judgements", "--plain"], "--plain is about preferences, prompts, sft"),
        (["out.csv", "--source", "nowhere"], "no preferences from nowhere to export"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_writes_nothing(
    typed: list[str], sentence: str, labelled: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "out"
    assert main(["export", str(folder / typed[0]), *typed[1:], "-w", labelled]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not folder.exists()


def test_a_file_of_its_own_columns_is_shown_mapped_and_what_is_malformed_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    source, bad = tmp_path / "mine.jsonl", tmp_path / "bad.jsonl"
    source.write_text('{"frage": "P?", "gut": "A", "schlecht": "B"}\n{"frage": \n')
    columns = ["--map", "prompt=frage,chosen=gut,rejected=schlecht"]
    assert main(["import", str(source), *columns, "--show"]) == 2  # a malformed line, and nowhere to put it
    assert "mine.jsonl, line 2: not JSON" in capsys.readouterr().err
    folder = str(Workspace.create(tmp_path / "w").path)
    assert main(["import", str(source), *columns, "--skip-bad", str(bad), "-w", folder]) == 0
    said = capsys.readouterr().out
    assert "1 new preference, 1 new prompt; set aside 1 because not JSON" in said
    assert json.loads(bad.read_text())["record"] == '{"frage":'
    assert main(["import", str(source), *columns, "--skip-bad", str(bad), "-w", folder]) == 2
    assert "exists already; name another file for --skip-bad" in capsys.readouterr().err
    source.write_text(source.read_text().splitlines()[0])
    assert main(["import", str(source), *columns, "--show"]) == 0
    shown = capsys.readouterr().out
    assert "  user: P?\n  A: A\n  B: B\n  somebody: A > B\n" in shown
    for option in (["--map", "a=b"], ["--question", "q"], ["--show"]):
        assert main(["import", str(source), "--prompts", *option, "-w", folder]) == 2
        assert "are about preferences; not with --prompts" in capsys.readouterr().err
