"""What a run rests on: the models by their digest, and what computed each of its sessions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from plaudit.cli import main
from plaudit.models.identity import model_digest
from plaudit.runs import Run, RunStatus
from plaudit.workspace import Workspace

SMALL = ["--set", "training.rollout.prompts=2", "--set", "training.rollout.answers=2"]
SMALL += ["--set", "training.rollout.max_tokens=6", "--iterations", "2"]


@pytest.fixture
def own(copied: Workspace, tmp_path: Path) -> tuple[Workspace, Path]:
    """The chain's workspace, whose model is a folder that a test may change."""
    folder = tmp_path / "model"
    shutil.copytree(copied.model, folder)
    settings = copied.path / "plaudit.toml"
    settings.write_text(settings.read_text().replace(json.dumps(copied.model), json.dumps(str(folder))))
    return Workspace.open(copied.path), folder


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], None]:
    """Run a command and cut it at its first metrics."""

    def run_cut(command: list[str]) -> None:
        def interrupted(run: Run, **metrics: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Run, "log", interrupted)
            assert main(command) == 130

    return run_cut


def change_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] * 1.01
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_tokenizer(folder: Path) -> None:
    file = folder / "tokenizer.json"
    file.write_text(file.read_text().replace('"add_prefix_space": false', '"add_prefix_space": true'))


def test_the_model_is_among_the_inputs_and_every_session_says_what_computed_it(chain) -> None:
    for run in (chain.sample, chain.reward, chain.align, chain.evaluate):
        stored = json.loads((run.path / "run.json").read_text())
        assert stored["inputs"]["model"]["digest"] == model_digest(chain.workspace.model)
        (session,) = stored["sessions"]
        assert session["models"] == {"model": model_digest(chain.workspace.model)}
        assert session["versions"].keys() >= {"torch", "transformers", "plaudit"}
        assert session["arithmetic"].keys() >= {"dtype", "threads", "processor"}


@pytest.mark.parametrize("change", [change_weights, change_tokenizer])
def test_the_digest_knows_weights_and_tokenizer_and_no_readme(tiny_folder: Path, tmp_path: Path, change) -> None:
    shutil.copytree(tiny_folder, tmp_path / "m")
    before = model_digest(str(tmp_path / "m"))
    assert before == model_digest(str(tiny_folder))
    (tmp_path / "m" / "README.md").write_text("About it.")
    assert model_digest(str(tmp_path / "m")) == before
    change(tmp_path / "m")
    assert model_digest(str(tmp_path / "m")) != before


@pytest.mark.parametrize("command", [["sample", "--answers", "1", "--max-tokens", "4"], ["align", *SMALL], ["reward"]])
def test_a_run_goes_on_only_with_the_model_that_it_was_begun_with(own, cut, command, capsys) -> None:
    workspace, folder = own
    where = ["-w", str(workspace.path)]
    cut([*command, *where])
    run_id = workspace.resumable(command[0]).id
    shutil.copy(folder / "model.safetensors", folder.parent / "kept")
    change_weights(folder)
    assert main([command[0], "--resume", *where]) == 2
    assert (
        f"{run_id} cannot go on: {folder} has other weights or another tokenizer than when" in capsys.readouterr().err
    )
    shutil.copy(folder.parent / "kept", folder / "model.safetensors")
    assert main([command[0], "--resume", run_id, *where]) == 0
    assert len(workspace.run(run_id).sessions) == 2


def test_it_can_be_forced(own, cut) -> None:
    workspace, folder = own
    where = ["-w", str(workspace.path)]
    cut(["sample", "--answers", "1", "--max-tokens", "4", *where])
    change_weights(folder)
    assert main(["sample", "--resume", "--force", *where]) == 0
    sessions = workspace.latest("sample").sessions
    assert sessions[0]["models"] != sessions[1]["models"]
    assert main(["sample", "--force", *where]) == 2


def test_another_machine_is_said_in_a_line(own, cut, capsys: pytest.CaptureFixture) -> None:
    workspace, _ = own
    where = ["-w", str(workspace.path)]
    cut(["sample", "--answers", "1", "--max-tokens", "4", *where])
    run = workspace.resumable("sample")
    run.sessions[0]["versions"]["torch"] = "1.0"
    run.sessions[0]["arithmetic"]["threads"] = 64
    run.save()
    capsys.readouterr()
    assert main(["sample", "--resume", *where]) == 0
    said = capsys.readouterr().err
    assert f"{run.id} goes on with torch " in said
    assert " instead of 1.0, threads " in said
    assert " instead of 64. Numbers round differently" in said


@pytest.mark.parametrize(
    "command",
    [["align", *SMALL], ["evaluate", "--answers", "1"], ["sample", "--policy", "align-001", "--answers", "1"]],
)
def test_an_adapter_is_put_on_no_other_trunk(own, command, capsys: pytest.CaptureFixture) -> None:
    workspace, folder = own
    change_weights(folder)
    assert main([*command, "-w", str(workspace.path)]) == 2
    said = capsys.readouterr().err
    built = {"align": "reward-", "evaluate": "align-", "sample": "align-001"}[command[0]]
    assert f"{built}" in said
    assert f" was made with other weights or another tokenizer than {folder} has now" in said
    assert workspace.runs(command[0])[-1].status is RunStatus.FAILED
