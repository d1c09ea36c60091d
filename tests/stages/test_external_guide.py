"""Alignment guided by a reward model from elsewhere, from the command line to the proof."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from plaudit.cli import main
from plaudit.errors import UsageError
from plaudit.files import content_digest
from plaudit.stages.align import AlignConfig, align
from plaudit.workspace import Resume, Workspace
from tests.stages.test_template import Tomorrow


@pytest.fixture
def classifier(tiny_folder, tmp_path) -> str:
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, num_labels=1, pad_token_id=0,
    )  # fmt: skip
    LlamaForSequenceClassification(config).save_pretrained(tmp_path / "rm")
    tokenizer.save_pretrained(tmp_path / "rm")
    return str(tmp_path / "rm")


def test_an_external_reward_model_guides_and_is_no_proof(workspace, classifier, capsys) -> None:
    where = ["-w", str(workspace.path)]
    quick = ["iterations=2", "rollout.prompts=2", "rollout.answers=2", "rollout.max_tokens=6"]
    settings = [word for setting in quick for word in ("--set", f"training.{setting}")]
    assert main(["align", *where, "--reward-model", classifier, *settings]) == 2
    assert "only 0 answers to the training prompts" in capsys.readouterr().err
    assert main(["sample", *where, "--answers", "2", "--max-tokens", "6"]) == 0
    assert main(["align", *where, "--reward-model", classifier, *settings]) == 0
    run = workspace.latest("align")
    assert run.results["guided_by"] == classifier
    scale = json.loads((run.path / "reward_scale.json").read_text())
    assert scale[f"model:{classifier}"]["std"] > 0
    assert main(["evaluate", *where, "--answers", "1"]) == 0
    assert "score higher by the reward model" in capsys.readouterr().out
    proof = workspace.latest("evaluate")
    summary = proof.read_json("summary.json")
    assert (summary["win_rate"], summary["reward_accuracy"], summary["simulated"]) == (None, None, False)
    assert "No judge compared the answers but the reward model" in summary["proof"]
    assert [r.id for r in workspace.ancestry(proof)] == [run.id, proof.id]


def test_two_guides_are_one_too_many() -> None:
    with pytest.raises(ValueError, match="several rewards are named"):
        AlignConfig(reward="reward-001", reward_model="somewhere")


def test_a_cut_run_keeps_the_scale_that_it_began_with(workspace, classifier, quick_training, monkeypatch) -> None:
    from plaudit.runs import Run
    from plaudit.stages.align import align_config
    from plaudit.stages.sample import SampleConfig, sample

    sample(workspace, SampleConfig(answers=2, max_tokens=6), seed=0)

    def interrupted(run: Run, **_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "log", interrupted)
    with pytest.raises(KeyboardInterrupt):
        align(workspace, align_config(quick_training(iterations=1, reward_model=classifier)), seed=0)
    monkeypatch.undo()
    before = workspace.resumable("align").read_json("reward_scale.json")
    sample(workspace, SampleConfig(answers=3, max_tokens=9), seed=1)
    assert align(workspace, AlignConfig(), seed=0, resume=True).read_json("reward_scale.json") == before


WITNESS = (
    "{% for m in messages %}{{ strftime_now('%d %b %Y') + m['role'] + m['content'] }}{% endfor %}"
    "{% if strict is defined and strict %}be strict{% endif %}"
)


def test_its_template_is_told_the_day_and_the_arguments_that_the_run_began_with(
    workspace, classifier, quick_training, monkeypatch, capsys
) -> None:
    """Cut before midnight and resumed after it, with another setting by then: the same bytes, and the same proof."""
    from plaudit.models import chat
    from plaudit.runs import Run
    from plaudit.stages import template
    from plaudit.stages.align import align_config
    from plaudit.stages.evaluate import EvaluateConfig, evaluate
    from plaudit.stages.sample import SampleConfig, sample

    (Path(classifier) / "chat_template.jinja").write_text(WITNESS)
    settings = workspace.path / "plaudit.toml"
    plain = settings.read_text()
    settings.write_text(f"{plain}reward_template = {{strict = true}}\n")
    strict = Workspace.open(workspace.path)
    sample(strict, SampleConfig(answers=2, max_tokens=6), seed=0)
    config = align_config(quick_training(iterations=2, reward_model=classifier))
    whole = align(strict, config, seed=0)
    today = date.fromisoformat(whole.template["day"]).strftime("%d %b %Y")
    assert whole.template["reward_arguments"] == {"strict": True}
    assert whole.template["arguments"] == {}, "the model's own are others"

    read, render, log = [], chat.render, Run.log

    def watched(tokenizer, *given, **more):
        text = render(tokenizer, *given, **more)
        read.extend([text] if tokenizer.name_or_path == classifier else [])
        return text

    def cut(run: Run, **metrics: object) -> None:
        log(run, **metrics)
        if metrics["step"] == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(chat, "render", watched)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", cut)
        with pytest.raises(KeyboardInterrupt):
            align(strict, config, seed=0)
    settings.write_text(plain)
    lax = Workspace.open(workspace.path)
    monkeypatch.setattr(template, "datetime", Tomorrow)
    resumed = align(lax, config, seed=0, resume=True)
    assert content_digest(resumed.adapter_dir) == content_digest(whole.adapter_dir)
    assert resumed.read_json("reward_scale.json") == whole.read_json("reward_scale.json")
    evaluate(lax, EvaluateConfig(answers=1), seed=0)
    assert read
    assert all(today in text and text.endswith("be strict") for text in read)
    settings.write_text(f"{plain}reward_template = {{strickt = true}}\n")
    assert main(["align", "-w", str(workspace.path), "--reward-model", classifier]) == 2
    assert f"{classifier} reads no `strickt`: correct `reward_template`" in capsys.readouterr().err


def test_another_reward_model_under_the_same_name_is_noticed(
    workspace, classifier, quick_training, monkeypatch
) -> None:
    """By a run that goes on, and by the proof of a run that the first one guided."""
    from plaudit.runs import Run
    from plaudit.stages.align import align_config
    from plaudit.stages.evaluate import EvaluateConfig, evaluate
    from plaudit.stages.sample import SampleConfig, sample

    sample(workspace, SampleConfig(answers=2, max_tokens=6), seed=0)
    config = align_config(quick_training(iterations=1, reward_model=classifier))
    done = align(workspace, config, seed=0)
    assert done.inputs["reward_model"]["digest"] != done.inputs["model"]["digest"]

    def interrupted(run: Run, **_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", interrupted)
        with pytest.raises(KeyboardInterrupt):
            align(workspace, config, seed=1)
    file = Path(classifier) / "model.safetensors"
    weights = load_file(file)
    save_file({name: tensor * 1.5 for name, tensor in weights.items()}, file, metadata={"format": "pt"})
    with pytest.raises(UsageError, match=rf"align-002 cannot go on: {classifier} has other weights"):
        align(workspace, config, seed=0, resume=True)
    with pytest.raises(UsageError, match=rf"align-001 was made with other weights .* than {classifier} has now"):
        evaluate(workspace, EvaluateConfig(answers=1), seed=0)
    assert align(workspace, config, seed=0, resume=Resume("align-002", force=True)).id == "align-002"
