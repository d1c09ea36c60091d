"""A language model small enough to be made and trained in a test: real architecture, real tokenizer, random weights."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def floats_as_ieee_has_them() -> Iterator[None]:
    """Loading a model flushes subnormal numbers to zero for the whole process; the next test must not notice."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """A Llama of four layers and 32 dimensions in Hugging Face format."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "<start>", "<end>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["how do I make tea? boil the water and wait."] * 3, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<start>", eos_token="<end>", padding_side="left"
    )
    fast.chat_template = (
        "{% for m in messages %}{{ '<start>' + m['role'] + '\n' + m['content'] + '<end>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start>assistant\n' }}{% endif %}"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():  # random weights this small would answer uniformly; make them opinionated
        if parameter.dim() == 2:
            parameter.data.mul_(4)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def tiny(tiny_folder):
    """The tiny model, freshly loaded in fp32 so that equal means equal."""
    import torch

    from plaudit.models.catalog import load

    return load(str(tiny_folder), dtype=torch.float32)
