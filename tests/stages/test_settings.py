"""`--set`: what is put in arrives, and what is misspelled does not pass."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.cli import main
from plaudit.config import change, leaves, parse_assignment
from plaudit.errors import UsageError
from plaudit.stages import panel, sample, stage_named
from plaudit.stages.align import align_config
from plaudit.stages.sample import SampleConfig
from plaudit.types import Preference, Prompt, Response
from plaudit.workspace import Workspace


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("a=1", ("a", 1)),
        ("a.b=0.5", ("a.b", 0.5)),
        ("a=5e-4", ("a", 5e-4)),
        ("a=true", ("a", True)),
        ("a=heldout", ("a", "heldout")),
        ('a="7"', ("a", "7")),
        ("a=x=y", ("a", "x=y")),
        ("a=", ("a", "")),
    ],
)
def test_a_value_is_written_as_in_toml_and_quotes_may_be_left_out(assignment: str, expected: tuple) -> None:
    assert parse_assignment(assignment) == expected
    assert type(parse_assignment(assignment)[1]) is type(expected[1])


@pytest.mark.parametrize("assignment", ["answers", "=4", ""])
def test_an_assignment_has_a_key_and_a_value(assignment: str) -> None:
    with pytest.raises(UsageError, match="--set takes KEY=VALUE"):
        parse_assignment(assignment)


def test_assignments_come_after_flags_and_flags_not_given_change_nothing() -> None:
    config = sample.STAGE.configure({"answers": 2, "split": None}, ["answers=3", "split=train"])
    assert (config.answers, config.split, config.max_tokens) == (3, "train", 64)


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("anotators=4", "Unknown key `anotators` in the configuration. Did you mean `annotators`?"),
        ("annotators=many", "`annotators` in the configuration must be a whole number, not 'many'"),
        ("annotators=1.5", "must be a whole number, not 1.5"),
    ],
)
def test_what_does_not_fit_is_fatal(assignment: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        panel.STAGE.configure({}, [assignment])


def test_a_key_deep_inside_is_pointed_out() -> None:
    default = asdict(align_config({"algorithm": "ppo"}))
    with pytest.raises(UsageError, match=r"Did you mean `training\.lam`"):
        change(default, {}, ["lam=0.9"])
    assert align_config(change(default, {}, ["training.rollout.rows=1"])).training.rollout.rows == 1
    with pytest.raises(UsageError, match=r"Unknown key `training\.lam`"):
        change(asdict(align_config({})), {}, ["training.lam=0.9"])


@pytest.mark.parametrize(
    ("assignment", "advice"),
    [
        ("foo=1", "There are answers, max_tokens, temperature, prompt_tokens, split, source, policy, hint, hinted."),
        ("foo.max_tokens=1", "There are answers, max_tokens, "),
    ],
)
def test_where_no_key_is_like_it_all_are_listed(assignment: str, advice: str) -> None:
    with pytest.raises(UsageError) as refused:
        sample.STAGE.configure({}, [assignment])
    assert advice in str(refused.value)


def test_what_two_keys_share_in_front_makes_them_not_alike() -> None:
    default = asdict(align_config({}))
    with pytest.raises(UsageError) as refused:
        change(default, {}, ["training.foo=1"])
    assert "Did you mean" not in str(refused.value)
    assert "training.learning_rate" in str(refused.value)
    with pytest.raises(UsageError, match=r"Did you mean `training\.rollout\.max_tokens`"):
        change(default, {}, ["training.max_token=1"])


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(UsageError, match="no algorithm dpoo; use rloo or ppo or grpo or dpo"):
        align_config({"algorithm": "dpoo"})


@pytest.mark.parametrize("stage", ["sample", "panel", "reward", "align", "evaluate", "demo"])
def test_a_stage_loads_no_torch_when_it_is_imported(stage: str) -> None:
    """So a wrong setting is refused at once."""
    program = f"import plaudit.stages.{stage}, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("stage", ["sample", "reward", "align", "evaluate"])
def test_how_threads_wait_is_settled_before_torch_is_loaded(stage: str, copied: Workspace) -> None:
    """OpenMP reads the variable when torch loads it; later is never."""
    program = f"""
import sys
class Torch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            assert "plaudit.models.processor" in sys.modules
            print("looked")
            sys.exit(0)
sys.meta_path.insert(0, Torch())
from plaudit.cli import main
main(["{stage}", "-w", "{copied.path}"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "looked\n"), done.stderr


@given(st.integers(1, 9), st.floats(0.1, 5), st.sampled_from(["all", "train", "heldout"]))
def test_what_is_set_is_what_is_read_back(answers: int, temperature: float, split: str) -> None:
    settings = [f"answers={answers}", f"temperature={temperature!r}", f"split={split}"]
    config = sample.STAGE.configure({}, settings)
    assert dict(leaves(asdict(config))) == asdict(SampleConfig(answers, temperature=temperature, split=split))


CANNOT_WORK = {
    "sample": ("answers=0", "max_tokens=0", "max_tokens=-1", "temperature=0", "temperature=-1", "temperature=nan",
               "temperature=inf", "prompt_tokens=0", "prompt_tokens=-3", "hinted=9"),
    "panel": ("annotators=3", "overlap=0", "overlap=14", "flip_rate=0.5", "flip_rate=-0.1", "flip_rate=nan"),
    "reward": tuple(f"training.{it}" for it in (
        "depth=0", "rank=0", "alpha=0.0", "ridge=-1.0", "epochs=-1", "learning_rate=0", "learning_rate=-1",
        "learning_rate=nan", "learning_rate=inf", "head_learning_rate=0", "batch_prompts=0", "prompt_tokens=-3",
        "answer_tokens=0", "keep_mb=-1",
    )),
    "align": tuple(f"training.{it}" for it in (
        "iterations=0", "iterations=-1", "learning_rate=0", "learning_rate=-1", "learning_rate=nan", "rank=0",
        "alpha=0", "kl_coefficient=-0.1", "kl_target_nats=0", "kl_horizon_episodes=0", "max_grad_norm=0",
        "rollout.prompts=0", "rollout.answers=0", "rollout.answers=1", "rollout.max_tokens=0", "rollout.temperature=0",
        "rollout.prompt_tokens=-3", "rollout.unfinished_penalty=-1", "rollout.score_clip=0", "rollout.rows=0",
    )),
    "evaluate": ("answers=0", "prompts=0", "max_tokens=0", "temperature=0"),
}  # fmt: skip
PPO_CANNOT_WORK = ("epochs=0", "critic_learning_rate=0", "critic_head_learning_rate=-1", "gamma=1.1", "lam=-0.1",
                   "clip=0", "value_clip=0", "critic_warmup=-1")  # fmt: skip


@pytest.mark.parametrize(
    ("stage", "assignment"), [(stage, assignment) for stage, all_ in CANNOT_WORK.items() for assignment in all_]
)
def test_what_cannot_work_is_refused_by_name_when_the_configuration_is_made(stage: str, assignment: str) -> None:
    name = assignment.partition("=")[0].rpartition(".")[2]
    with pytest.raises(UsageError, match=rf"cannot be used: .*\b{name}\b"):
        stage_named(stage).configure({}, [assignment])


@pytest.mark.parametrize("assignment", PPO_CANNOT_WORK)
def test_so_is_what_cannot_work_for_one_algorithm(assignment: str) -> None:
    name = assignment.partition("=")[0]
    with pytest.raises(UsageError, match=rf"cannot be used: .*\b{name}\b"):
        stage_named("align").configure({"algorithm": "ppo"}, [f"training.{assignment}"])
    assert stage_named("align").configure({"algorithm": "ppo"}, ["training.rollout.answers=1"])


def test_nothing_is_begun_with_it(copied: Workspace, capsys: pytest.CaptureFixture) -> None:
    before = len(copied.runs())
    assert main(["align", "--iterations", "-1", "-w", str(copied.path)]) == 2
    assert "iterations must be at least 1, not -1" in capsys.readouterr().err
    assert len(copied.runs()) == before


def test_a_ridge_of_zero_is_no_ridge(tiny) -> None:
    from plaudit.progress import quiet
    from plaudit.train import reward
    from plaudit.train.configs import RewardConfig
    from plaudit.train.ensemble import train_reward

    prompt = Prompt.from_text("how")
    better, worse = Response(prompt.id, "tea"), Response(prompt.id, "wait")
    groups = [reward.Group(prompt, (better, worse), (Preference(prompt.id, better.id, worse.id, 1.0),))]

    fitted = []
    with pytest.MonkeyPatch.context() as patch, quiet():
        patch.setattr(reward, "choose_ridge", lambda *_: pytest.fail("it was given"))
        patch.setattr(reward, "fit_head", lambda d, p, w, ridge: fitted.append(ridge) or d.new_zeros(d.shape[1]))
        config = RewardConfig(ridge=0.0, epochs=0)
        train_reward(tiny, reward.make_batches(tiny, groups, config), config, seed=0)
    assert fitted == [0.0]


def test_a_panel_has_one_of_each_habit_at_least() -> None:
    from plaudit.feedback.simulated.panel import ODD_HABITS

    assert len(ODD_HABITS) + 1 == panel.FEWEST_ANNOTATORS
