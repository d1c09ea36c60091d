"""A reward model from elsewhere scores text on its own, whatever else is in the batch, and on a scale of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from plaudit.errors import PlauditError, UsageError
from plaudit.models.external_reward import ExternalReward
from plaudit.types import Message, Prompt, Response, Role

PROMPT = Prompt.from_text("how do I make tea?")
ANSWERS = [Response(PROMPT.id, text) for text in ("boil the water", "wait.", "I do not know, but water is a start.")]


def classifier(tiny_folder: Path, folder: Path, labels: int = 1) -> str:
    """A tiny random LlamaForSequenceClassification with the tiny model's tokenizer."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, num_labels=labels, pad_token_id=0,
    )  # fmt: skip
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def reward(tiny_folder: Path, tmp_path: Path) -> ExternalReward:
    return ExternalReward.load(classifier(tiny_folder, tmp_path / "rm"), dtype="fp32")


def test_a_score_does_not_depend_on_the_batch(reward: ExternalReward) -> None:
    together = reward.raw([PROMPT] * 3, ANSWERS)
    alone = torch.cat([reward.raw([PROMPT], [answer]) for answer in ANSWERS])
    assert torch.allclose(together, alone, atol=1e-5)
    assert len(set(together.tolist())) == 3


def test_the_score_is_the_models_own_of_the_conversation(reward: ExternalReward) -> None:
    text = "<start>user\nhow do I make tea?<end><start>assistant\nboil the water<end>"
    ids = torch.tensor([reward.tokenizer(text, add_special_tokens=False)["input_ids"]])
    expected = reward.network(input_ids=ids).logits[0, 0]
    assert reward.raw([PROMPT], ANSWERS[:1])[0] == pytest.approx(float(expected), abs=1e-5)


def test_scores_are_normalised_over_what_they_are_given(reward: ExternalReward) -> None:
    reward.normalise([PROMPT] * 3, ANSWERS)
    scores = reward.score([PROMPT] * 3, ANSWERS, torch.zeros(1), None)  # type: ignore[arg-type]
    assert float(scores.mean()) == pytest.approx(0, abs=1e-5)
    assert float(scores.std()) == pytest.approx(1, abs=1e-5)


def test_what_cannot_guide_is_refused(reward: ExternalReward, tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PlauditError, match="gives all of 2 answers the same score"):
        reward.normalise([PROMPT] * 2, ANSWERS[:1] * 2)
    with pytest.raises(UsageError, match="gives 3 numbers for a text"):
        ExternalReward.load(classifier(tiny_folder, tmp_path / "three", labels=3))
    with pytest.raises(UsageError, match="There is no model folder"):
        ExternalReward.load(str(tmp_path / "nothing"))


def test_a_tokenizer_larger_than_the_embedding_and_a_template_that_refuses_are_sentences(
    reward: ExternalReward, tmp_path: Path
) -> None:
    asked = Prompt((Message(Role.SYSTEM, "be kind"), Message(Role.USER, "tea?")))
    reward.tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}x"
    )
    with pytest.raises(UsageError, match=rf"refuses the prompt {asked.id} \(system, user, assistant\): System role"):
        reward.raw([asked], [Response(asked.id, "wait.")])
    reward.tokenizer.add_tokens([f"new{n}" for n in range(5)])
    reward.tokenizer.save_pretrained(reward.name)
    with pytest.raises(UsageError, match=r"tokenizer of .* has 292 tokens and its model 287"):
        ExternalReward.load(reward.name)


def test_no_token_is_taken_for_padding(tiny_folder: Path, tmp_path: Path) -> None:
    """A vocabulary whose first token is "!" and no pad token: "tea" and "tea!!!" are two texts."""
    from transformers import AutoTokenizer

    folder = classifier(tiny_folder, tmp_path / "rm")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token, tokenizer.chat_template = None, None
    tokenizer.save_pretrained(folder)
    reward = ExternalReward.load(folder, dtype="fp32")
    first = tokenizer.convert_ids_to_tokens(0)
    answers = [Response(PROMPT.id, "tea" + first * n) for n in range(4)]
    assert len(set(reward.raw([PROMPT] * 4, answers).tolist())) == 4


def test_a_checkpoint_without_the_head_is_refused_and_what_it_has_is_named(tiny_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(classifier(tiny_folder, tmp_path / "rm"))
    tensors = load_file(folder / "model.safetensors")
    tensors["value_head.weight"] = tensors.pop("score.weight")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"lack score\.weight, but has value_head\.weight"):
        ExternalReward.load(str(folder))


def test_an_encoder_reads_no_more_than_it_has_positions_for(tiny_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, RobertaConfig, RobertaForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    tokenizer.chat_template = None
    config = RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=66, num_labels=1, pad_token_id=0,
    )  # fmt: skip
    RobertaForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    reward = ExternalReward.load(str(tmp_path), dtype="fp32")
    assert torch.isfinite(reward.raw([PROMPT], [Response(PROMPT.id, "boil the water " * 100)])).all()
