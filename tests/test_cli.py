"""The command line's frame: quick, and one sentence with the right exit code for whatever goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plaudit.cli import main
from plaudit.cli.commands import COMMANDS, Command
from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.store import FeedbackStore
from plaudit.files import content_digest
from plaudit.workspace import Workspace

HEAVY = {"torch", "transformers", "datasets", "pandas", "matplotlib", "scipy", "sqlalchemy"}
PLAUDIT = [sys.executable, "-c", "import sys; from plaudit.cli import main; sys.exit(main())"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "w")


def raising(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_version_and_help(capsys: pytest.CaptureFixture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("plaudit 0.")
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(command.name in shown for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_help_and_a_workspace(command: Command, capsys: pytest.CaptureFixture) -> None:
    assert main([command.name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert command.help.split(":")[0][:40] in shown
    if command.name != "demo":  # makes its own
        assert "--workspace" in shown
        assert "-w" in shown


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["runs", "--jsn"], "plaudit: No such option: --jsn. Did you mean --json? See `plaudit runs --help`.\n"),
        (["--vrsion"], "plaudit: No such option: --vrsion. Did you mean --version? See `plaudit --help`.\n"),
        (["rusn"], "plaudit: There is no command `rusn`. Did you mean `runs`?\n"),
        (["qqq"], "plaudit: There is no command `qqq`. `plaudit --help` lists them.\n"),
        (["runs", "-w", "nowhere"], "plaudit: No workspace in nowhere: run `plaudit init nowhere` first, "),
        (["init", "--seed", "x"], "plaudit: Invalid value for '--seed': "),
        (["init", "a", "-w", "b"], "plaudit: Two folders were given"),
        (["init", "a", "--model", "./nosuch"], "plaudit: There is no model folder ./nosuch: check the path, or name"),
        (["runs", "reward-001", "more"], "plaudit: Got unexpected extra argument(s) (more). See"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_exit_code_2(
    typed: list[str], sentence: str, capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(typed) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(sentence)
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (PlauditError("The network is down."), 1, "plaudit: The network is down.\n"),
        (UsageError("No such model."), 2, "plaudit: No such model.\n"),
        (OSError(28, "No space left", "x.json"), 1, "plaudit: The disk is full: x.json was not written. Free some"),
        (PermissionError(13, "Permission denied", "x"), 1, "plaudit: No permission for x. Change its permissions or"),
        (FileNotFoundError(2, "No such file", "x"), 1, "plaudit: x: No such file.\n"),
        (MemoryError(), 1, "plaudit: There was not enough memory. Choose a smaller model or batch"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, "plaudit: There was not enough memory."),
        (KeyboardInterrupt(), 130, "plaudit: Interrupted. What was stored is whole: run the same command again.\n"),
        (ValueError("a\nb"), 70, "plaudit: This is a bug in plaudit: ValueError: a b. Run again with PLAUDIT_DEBUG=1"),
        (OSError(9, "Bad file descriptor"), 70, "plaudit: This is a bug in plaudit: OSError: [Errno 9] Bad file"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_escapes_a_command_is_one_sentence(
    error: BaseException, code: int, sentence: str, plant: Any, capsys: pytest.CaptureFixture
) -> None:
    plant(raising(error))
    assert main(["boom"]) == code
    captured = capsys.readouterr().err
    assert captured.startswith(sentence)
    assert captured.count("\n") == 1


def test_debug_shows_the_traceback(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAUDIT_DEBUG", "1")
    plant(raising(PlauditError("sentence")))
    with pytest.raises(PlauditError, match="sentence"):
        main(["boom"])


def test_it_can_be_imported_where_there_is_no_fcntl_and_no_resource() -> None:
    """As on Windows."""
    modules = "plaudit.cli", "plaudit.runs", "plaudit.feedback.store", "plaudit.stages.demo", "plaudit.web.app"
    code = "import sys; sys.modules['fcntl'] = sys.modules['resource'] = None; import " + ", ".join(modules)
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_full_disk_leaves_no_half_made_workspace(tmp_path: Path) -> None:
    """The system itself refuses: a process that may write files of at most 10 bytes."""
    limited = [*PLAUDIT[:-1], "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)); " + PLAUDIT[-1]]
    done = subprocess.run([*limited, "init", "w"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "plaudit: The disk is full: w/plaudit.toml was not written. Free some space and run the same command again.\n",
    )
    assert contents(tmp_path) == {}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_behind_the_output_is_said() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*PLAUDIT, "--version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("plaudit: The disk is full: the output was not written.")
    assert done.stderr.count("\n") == 1


def test_a_closed_pipe_is_quiet(workspace: Workspace) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    listing = [*PLAUDIT, "runs", "-w", str(workspace.path)]
    done = subprocess.run(listing, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 128 + signal.SIGPIPE


def pairs(count: int) -> str:
    rows = ({"prompt": f"What is {n}?", "chosen": f"It is {n}.", "rejected": "No."} for n in range(count))
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def labelled(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture) -> Workspace:
    """A workspace with five preferences in it."""
    (tmp_path / "first.jsonl").write_text(pairs(5))
    assert main(["import", str(tmp_path / "first.jsonl"), "-w", str(workspace.path)]) == 0
    assert capsys.readouterr().out.startswith("first (TRL-style preferences; 5 records): 5 new preferences")
    return workspace


def test_what_is_imported_can_be_exported(labelled: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out, folder = tmp_path / "out.jsonl", str(labelled.path)
    assert main(["export", str(out), "-w", folder]) == 0
    assert capsys.readouterr().out == f"Wrote 5 rows to {out}.\n"
    assert main(["export", str(out), "-w", folder]) == 2
    assert "exists already" in capsys.readouterr().err

    assert main(["export", str(tmp_path / "prompts.jsonl"), "--what", "prompts", "-w", folder]) == 0
    assert "Wrote 5 rows" in capsys.readouterr().out
    assert main(["export", str(tmp_path / "sft.jsonl"), "--what", "sft", "-w", folder]) == 2
    assert "plaudit: There are no " in capsys.readouterr().err

    other = Workspace.create(tmp_path / "other")
    assert main(["import", str(out), "--name", "first", "-w", str(other.path)]) == 0
    again = tmp_path / "again.jsonl"
    assert main(["export", str(again), "-w", str(other.path)]) == 0
    assert again.read_text() == out.read_text()


def test_prompts_are_imported_without_preferences(labelled: Workspace, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "questions.jsonl").write_text('"Why?"\n{"prompt": "How?"}\n')
    assert main(["import", str(tmp_path / "questions.jsonl"), "--prompts", "-w", str(labelled.path)]) == 0
    assert capsys.readouterr().out == "questions (prompts; 2 records): 2 new prompts.\n"


@pytest.mark.parametrize(("share", "side"), [(0.001, "train"), (0.999, "heldout")])
def test_the_workspace_says_how_many_prompts_are_held_out(
    share: float, side: str, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (workspace.path / "plaudit.toml").write_text(f'name = "w"\nheldout_share = {share}\n')
    (tmp_path / "few.jsonl").write_text(pairs(5))
    assert main(["import", str(tmp_path / "few.jsonl"), "-w", str(workspace.path)]) == 0
    out = tmp_path / f"{side}.jsonl"
    assert main(["export", str(out), "--split", side, "-w", str(workspace.path)]) == 0
    assert capsys.readouterr().out.endswith(f"Wrote 5 rows to {out}.\n")


@pytest.mark.parametrize(
    ("line_17", "sentence"),
    [('{"prompt": "What', "line 17: not JSON"), ('{"prompt": "a", "chosen": "b"}', "line 17: "), ("3", "line 17: ")],
)
def test_a_malformed_line_17_is_named_and_nothing_is_imported(
    line_17: str, sentence: str, labelled: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    lines = pairs(40).splitlines()
    lines[16] = line_17
    (tmp_path / "bad.jsonl").write_text("\n".join(lines))
    before = stored(labelled)
    assert main(["import", str(tmp_path / "bad.jsonl"), "-w", str(labelled.path)]) == 2
    captured = capsys.readouterr()
    assert f"bad.jsonl, {sentence}" in captured.err
    assert captured.err.startswith("plaudit: ")
    assert captured.err.count("\n") == 1
    assert stored(labelled) == before


@pytest.mark.parametrize(
    "typed",
    [
        ["missing.jsonl"],
        ["first.jsonl", "--format", "hhh"],
        ["first.jsonl", "--format", "hh", "--prompts"],
        ["first.jsonl", "--limit", "0"],
        ["first.jsonl", "--frmat", "hh"],
    ],
    ids=" ".join,
)
def test_an_import_that_cannot_be_leaves_the_store_as_it_was(
    typed: list[str], labelled: Workspace, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = stored(labelled)
    assert main(["import", *typed, "-w", str(labelled.path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert stored(labelled) == before


def test_a_full_disk_during_an_import_leaves_nothing_but_that_it_began(labelled: Workspace, tmp_path: Path) -> None:
    """The system itself refuses: a process whose files may not grow beyond the database's size."""
    (tmp_path / "many.jsonl").write_text(pairs(3000))
    before, most = stored(labelled), labelled.database.stat().st_size + 4096
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most})); "
    limited = [*PLAUDIT[:-1], limit + PLAUDIT[-1], "import", "many.jsonl", "-w", str(labelled.path)]
    done = subprocess.run(limited, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("plaudit: ")
    assert "disk" in done.stderr
    assert done.stderr.count("\n") == 1
    one_more = {noun: before[1][noun] + 1 for noun in ("actions", "events")}
    assert stored(labelled)[1] == before[1] | one_more
    with FeedbackStore.open(labelled.database, create=False) as store:
        assert store.actions(1)[0].action == "began to import"


def stored(workspace: Workspace) -> tuple[str, dict[str, int]]:
    with FeedbackStore.open(workspace.database, create=False) as store:
        assert store.verify() == []
        return content_digest(workspace.database), store.counts()


def test_runs_lists_and_shows(workspace: Workspace, capsys: pytest.CaptureFixture) -> None:
    folder = str(workspace.path)
    assert main(["runs", "-w", folder]) == 0
    assert capsys.readouterr().out == f"No runs in {folder} yet.\n"
    reward = workspace.start("reward", {"model": "tiny", "epochs": 1, "layers": [1]}, 5, {})
    with reward.recording():
        reward.results |= {"accuracy": 0.6712345, "pairs": 1200}
    align = workspace.start("align", {"steps": 20}, 5, {"reward": reward})
    with pytest.raises(RuntimeError), align.recording():
        raise RuntimeError("diverged")
    assert main(["runs", "-w", folder]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "reward-001", "align-001"]
    assert "finished" in lines[1]
    assert "seed 5, model tiny, epochs 1" in lines[1]
    assert "accuracy 0.671, pairs 1,200" in lines[1]
    assert "failed (RuntimeError: diverged)" in lines[2]

    assert main(["runs", "align-001", "-w", folder]) == 0
    shown = capsys.readouterr().out
    assert f"reward-001 ({reward.digest()[:12]})" in shown
    reward.write_json("more.json", 1)
    main(["runs", "align-001", "-w", folder])
    assert "changed since" in capsys.readouterr().out
    main(["runs", "reward-001", "-w", folder])
    assert "Its outputs were changed after it finished." in capsys.readouterr().out

    main(["runs", "--stage", "reward", "--json", "-w", folder])
    assert [run["id"] for run in json.loads(capsys.readouterr().out)] == ["reward-001"]
    main(["runs", "reward-001", "--json", "-w", folder])
    assert json.loads(capsys.readouterr().out)["results"] == {"accuracy": 0.6712345, "pairs": 1200}


@pytest.fixture(scope="module")
def some_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = Workspace.create(tmp_path_factory.mktemp("quick") / "w")
    for _ in range(20):
        with workspace.start("reward", {}, 0, {}).recording() as run:
            run.results["accuracy"] = 0.5
    return workspace.path


@pytest.mark.parametrize(
    "typed", [["--help"], ["--version"], ["init", "new"], ["runs"], ["runs", "reward-007"]], ids=" ".join
)
def test_a_command_without_a_model_takes_less_than_half_a_second(
    typed: list[str], some_runs: Path, tmp_path: Path
) -> None:
    seconds = []
    for attempt in range(5):  # the quickest of five: the machine may be busy with something else
        if typed[0] == "init":
            typed = ["init", str(tmp_path / str(attempt))]
        began = time.perf_counter()
        subprocess.run([*PLAUDIT, *typed], cwd=some_runs, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.5, seconds


@pytest.mark.parametrize("typed", [["--help"], ["init", "new"], ["runs", "-w", "RUNS"]], ids=" ".join)
def test_light_commands_import_nothing_heavy(typed: list[str], some_runs: Path, tmp_path: Path) -> None:
    typed = [word.replace("RUNS", str(some_runs)) for word in typed]
    code = "import sys; from plaudit.cli import main; main(); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code, *typed], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert HEAVY.isdisjoint(module.split(".")[0] for module in done.stderr.split())
