"""A Llama of random weights with a tokenizer of made-up words: any size, nothing to fetch."""

from __future__ import annotations

import random
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from plaudit.models.arithmetic import choose_arithmetic
from plaudit.models.catalog import LanguageModel
from plaudit.models.trunk import Trunk
from plaudit.types import Prompt

BILLION = {  # of 1.2 billion weights, as Llama 3.2 1B has them
    "vocab_size": 128_256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8,
}  # fmt: skip
TINY = {
    "vocab_size": 200, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip
SPECIAL = ("<pad>", "<end>")
TEMPLATE = "{% for message in messages %}{{ message['content'] + ' ' }}{% endfor %}"


def random_llama(sizes: dict[str, int], dtype: torch.dtype, device: torch.device, attention: str = "eager") -> Any:
    """The same weights for every dtype, up to the last bit of bf16; they are as large as lets the logits differ."""
    pad, end = range(len(SPECIAL))
    spread = sizes["hidden_size"] ** -0.5
    config = LlamaConfig(**sizes, tie_word_embeddings=True, initializer_range=spread, pad_token_id=pad,
                         bos_token_id=None, eos_token_id=end)  # fmt: skip
    torch.manual_seed(0)
    with device:
        model = LlamaForCausalLM._from_config(config, dtype=torch.bfloat16, attn_implementation=attention)
    return model.to(device, dtype).eval()


def word_tokenizer(words: int) -> Any:
    """Each word is a token: what is written is read back as the same tokens."""
    vocabulary = {word: n for n, word in enumerate((*SPECIAL, *(f"w{n}" for n in range(len(SPECIAL), words))))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    pad, end = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, eos_token=end, padding_side="left", chat_template=TEMPLATE
    )


def language_model(sizes: dict[str, int], device: torch.device) -> LanguageModel:
    """In bf16, as `plaudit.models.catalog.load` would give it."""
    trunk = Trunk(random_llama(sizes, torch.bfloat16, device))
    return LanguageModel("random Llama", trunk, word_tokenizer(sizes["vocab_size"]), choose_arithmetic("bf16", device))


def random_prompts(count: int, length: int, vocabulary: int) -> list[Prompt]:
    chance = random.Random(0)
    words = [[f"w{chance.randrange(len(SPECIAL), vocabulary)}" for _ in range(length)] for _ in range(count)]
    return [Prompt.from_text(" ".join(each)) for each in words]
