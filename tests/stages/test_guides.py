"""What guides a policy besides a reward run: a Python function, a judge, several with weights; up to the proof."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from plaudit.cli import main
from plaudit.errors import UsageError
from plaudit.files import content_digest
from plaudit.models.text_reward import Scale, TextReward
from plaudit.models.weighted_reward import Part, WeightedReward
from plaudit.runs import Run
from plaudit.stages.align import STAGE, align, align_config
from plaudit.stages.evaluate import EvaluateConfig, evaluate
from plaudit.stages.guides import Guide, Kind, guides_in, parse_guide
from plaudit.stages.sample import SampleConfig, sample
from plaudit.types import Prompt, Response
from tests.models.test_judge import Server, said, server  # noqa: F401 (a fixture)

SHORT = "def short(prompts, answers):\n    return [-len(answer) for answer in answers]\n"
LONG = "\n\ndef long(completions, **kwargs):\n    return [len(c[0]['content']) for c in completions]\n"


@pytest.fixture
def asked(workspace, monkeypatch: pytest.MonkeyPatch):
    """The workspace with some answers to take a scale from, and a module of reward functions beside it."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    (workspace.path / "our_rewards.py").write_text(SHORT + LONG)
    sample(workspace, SampleConfig(answers=2, max_tokens=6), seed=0)
    yield workspace
    sys.modules.pop("our_rewards", None)


@pytest.mark.parametrize(
    ("text", "guide"),
    [
        ("run", Guide(Kind.RUN, None)),
        ("run:reward-002=2", Guide(Kind.RUN, "reward-002", 2.0)),
        ("model:org/rm=-0.5", Guide(Kind.MODEL, "org/rm", -0.5)),
        ("function:rewards:short=0.3", Guide(Kind.FUNCTION, "rewards:short", 0.3)),
        ("judge:org/m:free@http://localhost:1/v1=1e-1", Guide(Kind.JUDGE, "org/m:free@http://localhost:1/v1", 0.1)),
        ("model:odd=name", Guide(Kind.MODEL, "odd=name")),
    ],
)
def test_a_reward_and_its_weight(text: str, guide: Guide) -> None:
    assert parse_guide(text) == guide


@pytest.mark.parametrize("text", ["", "model", "reward-001", "functon:a:b", "run=0", "run=nan", "run=inf"])
def test_what_is_no_reward_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        align_config({"rewards": [text]})


def test_one_way_to_name_them_at_a_time() -> None:
    with pytest.raises(UsageError, match="several rewards are named"):
        align_config({"judge": "m@http://localhost/v1", "reward_function": "a:b"})
    with pytest.raises(UsageError, match="`run` is there twice"):
        align_config({"rewards": ["run", "run=2"]})
    roles = [guide.role for guide in guides_in({"rewards": ["run", "run:reward-001", "model:x"]})]
    assert roles == ["reward", "reward-2", "reward_model"]


class Given(TextReward):
    def __init__(self, name: str, scores: list[float], scale: Scale) -> None:
        super().__init__(name, scale)
        self.scores = scores

    def raw(self, prompts, answers) -> torch.Tensor:
        return torch.tensor(self.scores)


def test_each_is_normalised_and_then_summed_by_weights() -> None:
    prompt = Prompt.from_text("tea?")
    answers = [Response(prompt.id, text) for text in ("a", "b")]
    both = WeightedReward(
        [Part("x", 0.5, Given("x", [4.0, 8.0], Scale(2, 2))), Part("y", -3.0, Given("y", [1.0, 0.0], Scale(0, 0.5)))]
    )
    total = both.score([prompt] * 2, answers, torch.zeros(1), None)  # type: ignore[arg-type]
    assert total.tolist() == [0.5 * 1 - 3 * 2, 0.5 * 3 - 3 * 0]
    assert both.take_means() == {"x": 2.0, "y": 1.0}
    assert both.take_means() == {}


def test_a_function_guides_from_the_command_line_to_the_proof(asked, capsys) -> None:
    where = ["-w", str(asked.path)]
    quick = ["iterations=2", "rollout.prompts=2", "rollout.answers=2", "rollout.max_tokens=6"]
    settings = [word for setting in quick for word in ("--set", f"training.{setting}")]
    assert main(["align", *where, "--reward-function", "our_rewards:short", *settings]) == 0
    run = asked.latest("align")
    assert run.results["guided_by"] == "our_rewards:short"
    source = run.inputs["reward_function"]
    assert source["digest"] == content_digest(asked.path / "our_rewards.py")
    assert run.read_json("reward_scale.json")["function:our_rewards:short"]["std"] > 0
    assert run.changed_inputs(asked) == []
    assert "--set reward_function=our_rewards:short" in run.results["command"]
    assert main(["evaluate", *where, "--answers", "1"]) == 0
    assert main(["runs", run.id, *where]) == 0
    capsys.readouterr()
    (asked.path / "our_rewards.py").write_text(SHORT)
    sys.modules.pop("our_rewards")
    assert main(["evaluate", *where, "--answers", "1"]) == 2
    assert "align-001 was made with another version of our_rewards:short" in capsys.readouterr().err


def test_several_guide_and_each_ones_mean_is_logged(copied, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    Path("our_rewards.py").write_text(SHORT + LONG)
    where = ["-w", str(copied.path)]
    quick = ["iterations=1", "rollout.prompts=2", "rollout.answers=2", "rollout.max_tokens=6"]
    settings = [word for setting in quick for word in ("--set", f"training.{setting}")]
    rewards = ["run=2", "function:our_rewards:short=0.5", "function:our_rewards:long=-0.5"]
    words = [word for reward in rewards for word in ("--rewards", reward)]
    try:
        assert main(["align", *where, *words, *settings]) == 0
        run = copied.latest("align")
        assert run.config["rewards"] == rewards
        (row,) = run.metrics()
        means = [row[f"reward_mean:{name.rpartition('=')[0]}"] for name in rewards]
        assert row["reward_mean"] == pytest.approx(2 * means[0] + 0.5 * means[1] - 0.5 * means[2], abs=1e-4)
        assert means[1] == pytest.approx(-means[2], abs=1e-4), "the same on a scale of its own"
        assert run.inputs["reward"]["id"] == "reward-001"
        assert {"reward_function", "reward_function-2"} <= run.inputs.keys()
        assert run.results["guided_by"] == "reward-001 × 2 + our_rewards:short × 0.5 + our_rewards:long × -0.5"
        assert evaluate(copied, EvaluateConfig(answers=1), seed=0).results["prompts_heldout"]
    finally:
        sys.modules.pop("our_rewards", None)


def test_a_cut_run_goes_on_with_the_function_that_it_began_with(asked, quick_training, monkeypatch) -> None:
    config = align_config(quick_training(iterations=2, reward_function="our_rewards:long"))
    whole = align(asked, config, seed=0)
    log = Run.log

    def cut(run: Run, **metrics: object) -> None:
        log(run, **metrics)
        if metrics["step"] == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", cut)
        with pytest.raises(KeyboardInterrupt):
            align(asked, config, seed=0)
    file = asked.path / "our_rewards.py"
    file.write_text(SHORT + LONG + "\n# another\n")
    sys.modules.pop("our_rewards")
    with pytest.raises(UsageError, match="align-002 cannot go on: the file of our_rewards:long is another than when"):
        align(asked, config, seed=0, resume=True)
    file.write_text(SHORT + LONG)
    resumed = align(asked, config, seed=0, resume=True)
    assert content_digest(resumed.adapter_dir) == content_digest(whole.adapter_dir)


def test_a_judge_guides_and_a_resumed_run_asks_nothing_twice(
    asked,
    server: Server,  # noqa: F811
    quick_training,
    monkeypatch,
) -> None:
    server.reply = lambda body, number: said(f"[[{1 + len(body['messages'][1]['content']) % 10}]]")
    config = align_config(quick_training(iterations=2, judge=f"m@{server.url}"))
    log = Run.log

    def cut(run: Run, **metrics: object) -> None:
        log(run, **metrics)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", cut)
        with pytest.raises(KeyboardInterrupt):
            align(asked, config, seed=0)
    resumed = align(asked, config, seed=0, resume=True)
    texts = [body["messages"][1]["content"] for *_, body in server.asked]
    assert len(texts) == len(set(texts))
    before = len(texts)
    whole = align(asked, config, seed=0)
    assert len(server.asked) == before
    assert content_digest(whole.adapter_dir) == content_digest(resumed.adapter_dir)
    evaluate(asked, EvaluateConfig(answers=1), seed=0)
    assert resumed.changed_inputs(asked) == []
    other = {**json.loads((whole.path / "run.json").read_text())["config"], "judging": {"criteria": "short"}}
    assert align(asked, STAGE.parse(other), seed=0).inputs["judge"]["digest"] != whole.inputs["judge"]["digest"]


def test_a_secret_in_a_judges_url_is_written_nowhere(asked, capsys) -> None:
    assert main(["align", "-w", str(asked.path), "--judge", "m@https://me:hunter2@judge.example/v1"]) == 2
    assert "hunter2" not in capsys.readouterr().err
    assert asked.runs("align") == []


def test_a_run_of_an_earlier_version_is_still_proved(copied, tiny_folder, tmp_path, quick_training) -> None:
    """It knew no rewards but these two, and wrote an external model's scale alone."""
    from tests.models.test_external_reward import classifier

    name = classifier(tiny_folder, tmp_path / "rm")
    run = align(copied, align_config(quick_training(iterations=1, reward_model=name)), seed=0)
    stored = json.loads((run.path / "run.json").read_text())
    for key in ("reward_function", "judge", "rewards", "judging"):
        del stored["config"][key]
    (scale,) = run.read_json("reward_scale.json").values()
    run.write_json("reward_scale.json", scale)
    stored["finished_digest"] = run.digest()
    (run.path / "run.json").write_text(json.dumps(stored))
    assert evaluate(copied, EvaluateConfig(answers=1), seed=0).inputs["reward_model"]["id"] == name
