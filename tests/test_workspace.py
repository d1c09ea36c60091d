"""Workspaces: one folder, found or explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from plaudit.errors import UsageError
from plaudit.runs import Run, RunStatus
from plaudit.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "clinic", seed=7)


def finished(workspace: Workspace, stage: str) -> Run:
    run = workspace.start(stage, {}, 0, {})
    with run.recording():
        pass
    return run


def interrupted(workspace: Workspace, stage: str) -> Run:
    run = workspace.start(stage, {}, 0, {})
    with pytest.raises(KeyboardInterrupt), run.recording():
        raise KeyboardInterrupt
    return run


def test_settings_read_back_as_they_were_written(tmp_path: Path) -> None:
    made = Workspace.create(tmp_path / "w", model='a "quoted" \\ model', seed=3, name="Café")
    assert Workspace.open(tmp_path / "w") == made
    assert (made.name, made.model, made.seed, made.path) == ("Café", 'a "quoted" \\ model', 3, tmp_path / "w")
    assert made.database == tmp_path / "w" / "feedback.db"


def test_a_command_computes_as_it_is_told_and_the_workspace_stays(workspace: Workspace) -> None:
    other = workspace.override(dtype="fp32", threads=None)
    assert (other.dtype, other.threads, other.path, other.seed) == ("fp32", 0, workspace.path, 7)
    assert (workspace.dtype, Workspace.open(workspace.path).dtype) == ("auto", "auto")
    with pytest.raises(
        UsageError, match="`dtype` in the command must be one of 'auto', 'bf16', 'fp16', 'fp32', not 'f8'"
    ):
        workspace.override(dtype="f8")


def test_the_name_is_the_folder_s_unless_given(workspace: Workspace) -> None:
    assert workspace.name == "clinic"


def test_a_workspace_is_made_once(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="is a workspace already"):
        Workspace.create(workspace.path)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ('name = "x"\nsed = 1', "Unknown key `sed` in .*Did you mean `seed`"),
        ('name = "x"\nseed = "1"', "`seed` in .* must be a whole number, not '1'"),
        ('name = "x"\nseed = 3000000000', "seed must lie between 0 and 2147483647, not 3000000000"),
        ('name = "x"\ndtype = "float"', "`dtype` in .* must be one of 'auto', 'bf16'"),
        ('name = "x"\nthreads = -1', "threads must be at least 0, not -1"),
        ('name = "x"\nheldout_share = 2', "heldout_share must lie between 0 and 1"),
        ("seed = 1", "`name` is missing"),
        ("name = ", "not valid TOML"),
        (f"name = {'9' * 5_000}", "not valid TOML: .*4300 digits"),
        (f"name = {'[' * 20_000}", "not valid TOML: lists stand in lists without end"),
    ],
)
def test_wrong_settings_are_named(workspace: Workspace, settings: str, sentence: str) -> None:
    (workspace.path / "plaudit.toml").write_text(settings)
    with pytest.raises(UsageError, match=sentence):
        Workspace.open(workspace.path)


def test_no_workspace_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="plaudit init"):
        Workspace.open(tmp_path)


def test_runs_come_in_the_order_of_their_making(workspace: Workspace) -> None:
    made = [workspace.start(stage, {}, 0, {}).id for stage in ("sample", "reward", "reward", "align")]
    assert made == ["sample-001", "reward-001", "reward-002", "align-001"]
    assert [run.id for run in workspace.runs()] == made
    assert [run.id for run in workspace.runs("reward")] == ["reward-001", "reward-002"]


def test_an_unknown_run_is_answered_with_the_nearest(workspace: Workspace) -> None:
    workspace.start("reward", {}, 0, {})
    with pytest.raises(UsageError, match=r"No run `rewrad-001` .*Did you mean `reward-001`"):
        workspace.run("rewrad-001")
    with pytest.raises(UsageError, match="`plaudit runs` lists them"):
        workspace.run("zzz")


def test_latest_is_the_newest_finished_run(workspace: Workspace) -> None:
    assert workspace.latest("reward", required=False) is None
    with pytest.raises(UsageError, match="run `plaudit reward"):
        workspace.latest("reward")
    interrupted(workspace, "reward")
    with pytest.raises(UsageError, match=r"reward-001 is interrupted; finish it by .*--resume"):
        workspace.latest("reward")
    second = finished(workspace, "reward")
    interrupted(workspace, "reward")
    assert workspace.latest("reward").id == second.id


def test_resumable_is_the_newest_run_that_was_cut(workspace: Workspace) -> None:
    finished(workspace, "align")
    with pytest.raises(UsageError, match="No align run to resume"):
        workspace.resumable("align")
    cut = interrupted(workspace, "align")
    finished(workspace, "align")
    assert workspace.resumable("align").id == cut.id
    never_recorded = workspace.start("align", {}, 0, {})  # its process went away before it began
    assert workspace.resumable("align").id == never_recorded.id
    assert workspace.resumable("align").status is RunStatus.INTERRUPTED


def test_inputs_are_recorded_and_watched(workspace: Workspace, tmp_path: Path) -> None:
    reward = workspace.start("reward", {}, 0, {})
    with reward.recording():
        reward.write_json("scores.json", [1])
    inside, outside = workspace.path / "labels.jsonl", tmp_path / "prompts.jsonl"
    inside.write_text("a")
    outside.write_text("b")
    run = workspace.start("align", {}, 0, {"reward": reward, "labels": inside, "prompts": outside})
    assert run.inputs["reward"] == {"id": "reward-001", "digest": reward.digest()}
    assert run.inputs["labels"]["id"] == "labels.jsonl"
    assert run.changed_inputs(workspace) == []
    outside.write_text("c")
    assert run.changed_inputs(workspace) == ["prompts"]
    with pytest.raises(UsageError, match="does not exist"):
        workspace.start("align", {}, 0, {"labels": tmp_path / "none"})


def test_a_seed_that_no_database_holds_makes_no_workspace(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="seed must lie between 0 and 2147483647"):
        Workspace.create(tmp_path / "w", seed=2**31)
    assert not (tmp_path / "w").exists()
