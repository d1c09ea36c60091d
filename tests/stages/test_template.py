"""What a chat template is told: the workspace's arguments, and the day on which the run began."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from plaudit.cli import main
from plaudit.models.chat import encode_prompt
from plaudit.runs import Run
from plaudit.stages import template
from plaudit.workspace import Workspace

DATED = (
    "{% for m in messages %}{{ '<start>' + strftime_now('%d %b %Y') + m['role'] + m['content'] + '<end>' }}{% endfor %}"
    "{% if enable_thinking is defined and not enable_thinking %}no thinking{% endif %}"
    "{% if add_generation_prompt %}{{ '<start>assistant' }}{% endif %}"
)
SAMPLE = ["sample", "--answers", "1", "--max-tokens", "4"]


@pytest.fixture
def dated(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A workspace whose model's template writes the date and reads an argument."""
    folder = tmp_path / "dated"
    shutil.copytree(workspace.model, folder)
    (folder / "chat_template.jinja").write_text(DATED)
    settings = workspace.path / "plaudit.toml"
    settings.write_text(settings.read_text().replace(json.dumps(workspace.model), json.dumps(str(folder))))
    return Workspace.open(workspace.path)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prompts as the model reads them."""
    found: list[str] = []

    def watched(tokenizer, *given):
        ids = encode_prompt(tokenizer, *given)
        found.append(tokenizer.decode(ids))
        return ids

    monkeypatch.setattr("plaudit.models.chat.encode_prompt", watched)
    return found


class Tomorrow(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime(2031, 5, 4, tzinfo=tz)


def test_a_run_that_goes_on_after_midnight_reads_what_it_began_with(
    dated: Workspace, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(run: Run, **metrics: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", cut)
        assert main([*SAMPLE, "-w", str(dated.path)]) == 130
    today = datetime.now(UTC).strftime("%d %b %Y")
    assert read
    assert all(today in text for text in read)
    before = set(read)
    read.clear()
    monkeypatch.setattr(template, "datetime", Tomorrow)
    assert main(["sample", "--resume", "-w", str(dated.path)]) == 0
    assert set(read) == before
    assert main([*SAMPLE, "-w", str(dated.path)]) == 0
    assert "04 May 2031" in read[-1]
    assert dated.latest("sample").template == {"day": "2031-05-04", "arguments": {}}


def test_a_template_has_the_workspaces_arguments_and_no_others(
    dated: Workspace, read: list[str], capsys: pytest.CaptureFixture
) -> None:
    settings = dated.path / "plaudit.toml"
    plain = settings.read_text()
    settings.write_text(f"{plain}template = {{enable_thinking = false}}\n")
    assert main([*SAMPLE, "-w", str(dated.path)]) == 0
    assert all("no thinking" in text for text in read)
    assert dated.latest("sample").template["arguments"] == {"enable_thinking": False}
    settings.write_text(f"{plain}template = {{enable_thinkin = false}}\n")
    assert main([*SAMPLE, "-w", str(dated.path)]) == 2
    assert "reads no `enable_thinkin`: correct `template` in plaudit.toml" in capsys.readouterr().err
