"""The author of a file that somebody imports: what came in, also when nobody waited for the end, stands in the log."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from plaudit.cli import main
from plaudit.feedback.exchange.keeping import Keeper
from plaudit.feedback.store import FeedbackStore
from plaudit.workspace import Workspace

Rows = list[dict[str, Any]]


@pytest.mark.parametrize("option", ["--prompts", "--trust-names"])
def test_what_was_imported_stands_in_the_log_of_actions(tmp_path: Path, rows: Rows, option: str) -> None:
    workspace, file = Workspace.create(tmp_path / "w"), tmp_path / "said.jsonl"
    if option == "--prompts":
        file.write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n')
    assert main(["import", str(file), option, "-w", str(workspace.path)]) == 0
    with FeedbackStore.open(workspace.database) as store:
        logged = store.actions()
    assert [(it.action, it.target) for it in logged] == [("imported", str(file)), ("began to import", str(file))]
    for action in logged:
        assert action.details["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert action.details["names trusted"] == (option == "--trust-names")


def test_what_an_import_that_was_killed_has_kept_stands_in_the_log_of_actions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, file = Workspace.create(tmp_path / "w"), tmp_path / "data.jsonl"
    file.write_text("".join(f'{{"prompt": "{n}", "chosen": "a", "rejected": "b"}}\n' for n in range(300)))
    keep, batches = Keeper.keep, []

    def killed(self: Keeper, batch: Any, is_history: bool = False) -> None:
        batches.append(len(batch))
        if len(batches) > 1:
            raise KeyboardInterrupt
        keep(self, batch, is_history)

    monkeypatch.setattr(Keeper, "keep", killed)
    main(["import", str(file), "-w", str(workspace.path)])
    with FeedbackStore.open(workspace.database) as store:
        assert store.counts()["judgements"] == batches[0] > 0
        assert [it.action for it in store.actions()] == ["began to import"]


@pytest.mark.parametrize("option", ["--name=x", "--limit=1", "--skip-bad=bad.jsonl", "--trust-names"])
def test_showing_takes_no_option_that_would_do_nothing(
    tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n')
    assert main(["import", str(file), "--show", option]) == 2
    assert "--show keeps nothing" in capsys.readouterr().err


def test_what_was_refused_does_not(tmp_path: Path) -> None:
    workspace, file = Workspace.create(tmp_path / "w"), tmp_path / "data.jsonl"
    file.write_text("no data")
    assert main(["import", str(file), "-w", str(workspace.path)]) == 2
    with FeedbackStore.open(workspace.database) as store:
        assert store.actions() == []
