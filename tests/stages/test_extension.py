"""A new stage is a file and a line, and a new algorithm a file and an entry: whatever else knows of them follows."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from plaudit.cli import commands, main
from plaudit.cli.commands import COMMANDS, Command
from plaudit.feedback.store import FeedbackStore
from plaudit.runs import Run, RunStatus
from plaudit.stages.stale import find_stale_runs
from plaudit.train.configs import ALGORITHMS, Algorithm, ReinforcementConfig
from plaudit.workspace import Workspace
from tests.test_docs import options, sections

STAGE_FILE = '''
from dataclasses import dataclass

from plaudit.runs import Run
from plaudit.stages import Flag, Stage
from plaudit.stages.inputs import ROLE, feedback_source, open_feedback, read_at_one_moment
from plaudit.stages.lifecycle import begin, record


@dataclass(frozen=True)
class CountConfig:
    least: int = 1  # judgements of an annotator who counts
    note: str = ""


def count(workspace, config, *, seed, resume=False, model=None):
    """How many annotators have judged enough."""
    with open_feedback(workspace) as store:
        inputs = lambda: {"reward": workspace.finished("reward"), ROLE: feedback_source(store)}
        run, config = begin(workspace, STAGE, config, seed, resume, inputs)
        with record(run, workspace), read_at_one_moment(run, store):
            if config.note == "cut me" and not resume:
                raise KeyboardInterrupt
            judged = [judgement.annotator_id for judgement in store.judgements()]
            run.results["annotators"] = sum(judged.count(name) >= config.least for name in set(judged))
    return run


STAGE = Stage(
    count,
    CountConfig,
    lambda results: f"{results['annotators']} annotators count.",
    flags=(Flag("least", "Judgements of each."),),
    reads=("judgements",),
    has_checkpoint=False,
    needs_model=False,
)
'''

ALGORITHM_FILE = '''
"""REINFORCE with the batch's mean as its baseline."""

import torch

from plaudit.models.logprobs import answer_logprobs
from plaudit.models.lora import LoraSettings


class Plain:
    name = "plain"

    def __init__(self, model, scorer, config, seed, policy="policy"):
        self.model, self.config, self.policy = model, config, policy
        model.trunk.add_adapter(policy, LoraSettings(config.rank, config.alpha), seed)
        self.tensors = model.trunk.adapter_parameters(policy)
        self.optimizers = {"optimizer": torch.optim.SGD(self.tensors.values(), lr=config.learning_rate)}

    def learn(self, rollouts, beta, iteration):
        mean = torch.cat([rollout.scores_A for rollout in rollouts]).mean()
        for rollout in rollouts:
            temperature = self.config.rollout.temperature
            logprobs, _ = answer_logprobs(self.model.trunk, self.policy, rollout.lower_BLD, rollout.packed, temperature)
            (-((rollout.scores_A - mean)[:, None] * logprobs).sum() * self.config.scale).backward()
        self.optimizers["optimizer"].step()
        self.optimizers["optimizer"].zero_grad()
        return {"policy_loss": 0.0}
'''


@dataclass(frozen=True)
class PlainConfig(ReinforcementConfig):
    scale: float = 1.0  # of the loss

    @property
    def passes(self) -> int:
        return 2


def load_as(name: str, source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file under the name that it would have in the package."""
    file = folder / f"{name.rpartition('.')[2]}.py"
    file.write_text(source)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """The file of a stage, and its line in the table of commands."""
    load_as("plaudit.stages.count", STAGE_FILE, tmp_path, monkeypatch)
    command = Command.of_stage("count", "Count the annotators who judged enough.")
    monkeypatch.setattr(commands, "COMMANDS", (*COMMANDS, command))
    monkeypatch.delenv("PLAUDIT_DEBUG", raising=False)
    yield command
    options.cache_clear()


def test_a_stage_of_ones_own(counting: Command, copied: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["-w", str(copied.path)]
    assert main(["count", *where, "--least", "2"]) == 0
    assert " annotators count. (count-001, " in capsys.readouterr().out

    assert main(["count", *where, "--set", "note=cut me"]) == 130
    assert "`plaudit count --resume count-002 -w" in capsys.readouterr().err
    assert main(["count", *where, "--resume"]) == 0
    assert [run.status for run in copied.runs("count")] == [RunStatus.FINISHED] * 2
    assert copied.run("count-002").config == {"least": 1, "note": "cut me"}
    assert copied.run("count-002").results["command"].endswith("--seed 0 --set 'note=cut me'")

    assert main(["count", *where, "--set", "leest=2"]) == 2
    assert "Did you mean `least`?" in capsys.readouterr().err
    assert main(["runs", *where, "count-001"]) == 0
    assert "annotators              " in capsys.readouterr().out
    assert main(["report", *where, "count-001"]) == 0
    page = (copied.path / "report.html").read_text(encoding="utf-8")
    assert all(run_id in page for run_id in ("sample-001", "reward-001", "count-001"))
    assert "command" not in json.loads((copied.path / "summary.json").read_text(encoding="utf-8"))

    with FeedbackStore.open(copied.database) as store:
        name = store.judgements()[0].annotator_id
        store.withdraw(annotator_id=name, reason="", actor="test")
    commands_of_stale = {stale.run.id: stale.command for stale in find_stale_runs(copied)}
    assert commands_of_stale["count-001"] == f"plaudit count -w {copied.path} --seed 0 --set least=2"


def test_the_docs_check_knows_of_it(counting: Command) -> None:
    assert options(counting) == {"--least", "--set", "--resume", "--seed", "--workspace", "-w"}
    assert counting.name not in sections((Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8"))


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of an algorithm, and its entry in the table."""
    load_as("plaudit.train.plain", ALGORITHM_FILE, tmp_path, monkeypatch)
    monkeypatch.setitem(ALGORITHMS, "plain", Algorithm(PlainConfig, "plaudit.train.plain:Plain"))
    monkeypatch.delenv("PLAUDIT_DEBUG", raising=False)


@pytest.mark.usefixtures("plain")
def test_an_algorithm_of_ones_own(
    copied: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ["-w", str(copied.path)]
    small = ("prompts=2", "answers=2", "max_tokens=8")
    settings = ["training.scale=0.5", *(f"training.rollout.{key}" for key in small)]
    command = ["align", *where, "--algorithm", "plain", "--iterations", "3"]
    command += [word for setting in settings for word in ("--set", setting)]
    assert main(command) == 0
    assert "Aligned the model by PLAIN in 3 iterations" in capsys.readouterr().out
    whole = copied.latest("align")
    assert whole.config["training"]["scale"] == 0.5
    assert whole.results["command"].startswith(f"plaudit align -w {copied.path} --seed 0 --algorithm plain --set")
    assert whole.costs.tokens_trained == 2 * whole.costs.tokens_generated  # by what its configuration says

    log = Run.log

    def cut(run: Run, **metrics: float) -> None:
        log(run, **metrics)
        if metrics["step"] == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", cut)
        assert main(command) == 130
    assert "`plaudit align --resume align-" in capsys.readouterr().err
    assert main(["align", *where, "--resume"]) == 0
    name = "adapter_model.safetensors"
    resumed = copied.latest("align")
    assert (resumed.adapter_dir / name).read_bytes() == (whole.adapter_dir / name).read_bytes()

    assert main(["align", *where, "--algorithm", "plane"]) == 2
    assert "use rloo or ppo or grpo or dpo or kto or plain." in capsys.readouterr().err
    assert main(["align", *where, "--algorithm", "plain", "--set", "training.scael=1"]) == 2
    assert "Did you mean `training.scale`?" in capsys.readouterr().err
    assert main(["evaluate", *where, "--answers", "1"]) == 0
    assert main(["report", *where]) == 0
    assert json.loads((copied.path / "summary.json").read_text(encoding="utf-8"))["algorithm"] == "plain"
    assert resumed.id in (copied.path / "report.html").read_text(encoding="utf-8")
    with FeedbackStore.open(copied.database) as store:
        store.withdraw(annotator_id=store.judgements()[0].annotator_id, reason="", actor="test")
    stale = {stale.run.id for stale in find_stale_runs(copied)}
    assert {whole.id, resumed.id, copied.latest("evaluate").id} <= stale


def test_a_run_of_a_stage_that_is_not_there_takes_nothing_down(
    copied: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """A newer version may have made it; what it read and was withdrawn since makes it stale as any other."""
    run = copied.latest("reward")
    file = run.path / "run.json"
    file.write_text(file.read_text().replace('"stage": "reward"', '"stage": "audit"'))
    assert main(["runs", "-w", str(copied.path)]) == 0
    assert "stale" not in capsys.readouterr().out
    with FeedbackStore.open(copied.database) as store:
        store.withdraw(annotator_id=store.judgements()[0].annotator_id, reason="", actor="test")
    assert main(["runs", "-w", str(copied.path)]) == 0
    assert f"{run.id}: plaudit reward" in capsys.readouterr().out
    assert main(["runs", run.id, "-w", str(copied.path)]) == 0
    assert "Stale: " in capsys.readouterr().out
