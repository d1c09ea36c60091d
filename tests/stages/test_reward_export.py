"""An exported reward model scores as the run's does: in transformers, in Plaudit itself, in its peers' programs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from bench._peers import cache_folder
from bench._tiny_models import tiny_model
from bench.reward_export import PEERS, conversations, random_reward, scores_in
from plaudit.cli import main
from plaudit.errors import PlauditError, UsageError
from plaudit.models.arithmetic import choose_arithmetic
from plaudit.models.catalog import LanguageModel, load, separate_pad
from plaudit.models.chat import tell_template
from plaudit.models.external_reward import ExternalReward
from plaudit.models.lora import LoraSettings
from plaudit.models.reward_export import export_reward
from plaudit.models.reward_model import RewardModel
from plaudit.models.trunk import Trunk
from plaudit.types import Message, Prompt, Response, Role, StopReason
from plaudit.workspace import Workspace

SAME = 1e-4
FAMILIES = ("Llama", "Mistral", "Qwen2", "Qwen3", "Qwen3Moe", "Gemma2", "Gemma3", "Phi3", "Olmo2", "GPTNeoX", "GptOss")
ASKED = (
    Prompt.from_text("how do I make tea?"),
    Prompt((Message(Role.USER, "tea?"), Message(Role.ASSISTANT, "wait"), Message(Role.USER, "and then?"))),
)
SAID = ("boil the water", "I do not know, but water is a start.", "wait. " * 40)


def trained(trunk: Trunk, answer_tokens: int = 256) -> RewardModel:
    return random_reward(trunk, trunk.depth - 1, answer_tokens)


def groups() -> list[tuple[Prompt, list[Response]]]:
    return [(prompt, [Response(prompt.id, text, StopReason.EOS) for text in SAID]) for prompt in ASKED]


def pairs() -> list[tuple[Prompt, Response]]:
    return [(prompt, answer) for prompt, answers in groups() for answer in answers]


def scores_of(folder: Path, monkeypatch: pytest.MonkeyPatch, side: str = "right") -> list[float]:
    """As anybody with transformers has them."""
    modules = folder.parent / "modules"
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(modules))
    monkeypatch.syspath_prepend(str(modules))
    own: dict[str, Any] = {"trust_remote_code": True}
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, **own).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **own)
    texts = [tokenizer.apply_chat_template(turns, tokenize=False) for turns in conversations(pairs())]
    given = tokenizer(texts, return_tensors="pt", padding=True, padding_side=side, add_special_tokens=False)
    with torch.no_grad():
        return [float(logit) for logit in model(**given).logits[:, 0]]


@pytest.mark.parametrize("family", FAMILIES)
def test_any_family_scores_the_same_in_transformers(family, tiny_folder, tmp_path, monkeypatch) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_folder)
    separate_pad(tokenizer)
    network = tiny_model(getattr(transformers, f"{family}ForCausalLM"), vocab_size=len(tokenizer))
    model = LanguageModel(family, Trunk(network), tokenizer, choose_arithmetic("fp32", torch.device("cpu")))
    reward = trained(model.trunk, answer_tokens=30)
    expected = list(reward.score_texts(model, groups()).values())
    export_reward(model, reward, tmp_path / "out", "card")
    for side in ("left", "right"):
        assert scores_of(tmp_path / "out", monkeypatch, side) == pytest.approx(expected, abs=SAME)
    assert len(set(expected)) == len(expected)


THINKING = (
    "{% for m in messages %}<start>{{ m['role'] }}{{ strftime_now('%d %b %Y') }}\n"
    "{% if m['role'] == 'assistant' and loop.last %}<think></think>{% endif %}{{ m['content'] }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}<start>assistant\n{% if calm is defined and calm %}calmly:\n{% endif %}{% endif %}\n"
)


@pytest.mark.parametrize("template", [THINKING, None])
def test_a_text_is_written_as_it_was_learned_from(template, tiny, tmp_path, monkeypatch) -> None:
    """Whatever the model's own template makes of a finished turn; with its arguments, and on the day of the run."""
    tiny.tokenizer.chat_template = template
    tell_template(tiny.tokenizer, {"calm": True} if template else {})
    reward = trained(tiny.trunk)
    expected = list(reward.score_texts(tiny, groups()).values())
    export_reward(tiny, reward, tmp_path / "out", "card")
    assert scores_of(tmp_path / "out", monkeypatch) == pytest.approx(expected, abs=SAME)


def test_a_text_without_an_answer_is_refused_and_not_scored(tiny, tmp_path) -> None:
    export_reward(tiny, trained(tiny.trunk), tmp_path / "out", "card")
    network = ExternalReward.load(str(tmp_path / "out"), "fp32").network
    with pytest.raises(ValueError, match="A text has no answer"):
        network(input_ids=torch.tensor([[5, 6, 7]]))
    external = ExternalReward.load(str(tmp_path / "out"), "fp32")
    with pytest.raises(PlauditError, match=f"cannot score an answer to the prompt {ASKED[0].id}: A text has no answer"):
        external.raw(ASKED[:1], [Response(ASKED[0].id, "wait. " * 2000)])


def test_what_would_score_otherwise_is_refused_and_nothing_is_written(tiny, tmp_path, monkeypatch) -> None:
    reward = trained(tiny.trunk)
    weights = Trunk.merged_weights
    monkeypatch.setattr(Trunk, "merged_weights", lambda self, name, depth: weights(self, "other", depth))
    tiny.trunk.add_adapter("other", LoraSettings(), seed=0)
    with pytest.raises(UsageError, match="what is left of it scores otherwise"):
        export_reward(tiny, reward, tmp_path / "out", "card")
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_what_guides_again(chain, tmp_path, capsys) -> None:
    """Our own class reads it: the code in the folder is not run by Plaudit."""
    out, where = tmp_path / "rm", ["-w", str(chain.workspace.path)]
    assert main(["export", str(out), "--what", "reward", *where]) == 0
    assert "Wrote reward-001 to" in capsys.readouterr().out
    names = {path.name for path in out.iterdir()}
    assert {"README.md", "config.json", "model.safetensors", "modeling_plaudit_reward.py", "tokenizer.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt"))]
    told = json.loads((out / "config.json").read_text())["text_config"]
    assert told["rope_theta"] == told["rope_parameters"]["rope_theta"], "where transformers 4 looks for it"
    assert told["num_hidden_layers"] < 4
    card = (out / "README.md").read_text()
    assert "simulated panel" in card
    assert str(chain.workspace.path.parent) not in card, "a path of this machine"
    (out / "modeling_plaudit_reward.py").write_text("raise SystemExit('code of a folder was run')\n")
    model = load(chain.workspace.model, dtype="fp32")
    reward = RewardModel.load(model.trunk, chain.reward.adapter_dir)
    expected = list(reward.score_texts(model, groups()).values())
    external = ExternalReward.load(str(out), "fp32")
    assert external.raw(*zip(*pairs(), strict=True)).tolist() == pytest.approx(expected, abs=SAME)


def test_the_cards_example_gives_the_score_that_it_says(chain, tmp_path, monkeypatch) -> None:
    assert main(["export", str(tmp_path / "rm"), "--what", "reward", "-w", str(chain.workspace.path)]) == 0
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "rm" / "README.md").read_text(), re.DOTALL)
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.chdir(tmp_path / "rm")
    names: dict[str, Any] = {}
    exec(code, names)
    assert float(names["score"]) == pytest.approx(float(code.rstrip().rpartition("# ")[2]), abs=SAME)


def test_what_cannot_be_exported_is_said(copied: Workspace, tmp_path, capsys) -> None:
    where = ["-w", str(copied.path)]
    for words, why in (
        ([str(tmp_path), "--what", "reward"], "exists already"),
        ([str(tmp_path / "x"), "--what", "reward", "--plain"], "leave all options out but --reward"),
        ([str(tmp_path / "x.jsonl"), "--reward", "reward-001"], "--reward names a reward run"),
        ([str(tmp_path / "x"), "--what", "reward", "--reward", "reward-009"], "reward-009"),
    ):
        assert main(["export", *words, *where]) == 2
        assert why in capsys.readouterr().err


@pytest.mark.parametrize("peer", PEERS)
def test_peers_programs_give_the_same_scores(peer: str, tiny, tmp_path) -> None:
    """TRL's GRPOTrainer with the folder as `reward_funcs`, and rewardbench's command, each in its own environment."""
    if not list(cache_folder().glob(f"{peer}-*/ready")):
        pytest.skip(f"there is no environment of {peer} here: `python -m bench reward-export` makes it")
    reward = trained(tiny.trunk)
    expected = list(reward.score_texts(tiny, groups()).values())
    export_reward(tiny, reward, tmp_path / "out", "card")
    assert scores_in(peer, tmp_path / "out", conversations(pairs()), tmp_path) == pytest.approx(expected, abs=SAME)


def test_what_length_is_worth_is_taken_off_there_too(tiny, tmp_path, monkeypatch) -> None:
    reward = trained(tiny.trunk)
    plain = list(reward.score_texts(tiny, groups()).values())
    reward.settings = replace(reward.settings, length_slope=0.05)
    expected = list(reward.score_texts(tiny, groups()).values())
    assert max(abs(a - b) for a, b in zip(plain, expected, strict=True)) > 1
    export_reward(tiny, reward, tmp_path / "out", "card")
    assert scores_of(tmp_path / "out", monkeypatch) == pytest.approx(expected, abs=SAME)


def test_an_ensemble_is_refused_with_what_to_do(copied: Workspace, tmp_path, capsys) -> None:
    where = ["-w", str(copied.path)]
    assert main(["reward", "--members", "2", *where]) == 0
    assert main(["export", str(tmp_path / "out"), "--what", "reward", *where]) == 2
    assert " has 2 members, and a folder holds one network" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
