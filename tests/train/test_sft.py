"""Supervised fine-tuning on the tiny model: the loss is that of the assistant's tokens, and falls."""

from __future__ import annotations

import pytest
import torch

from plaudit.models.supervised import encode_conversation, pack_texts
from plaudit.progress import quiet
from plaudit.train.configs import SftConfig
from plaudit.train.passes import go_through
from plaudit.train.sft import Sft, microbatches_of, steps_of
from plaudit.types import Prompt

CONFIG = SftConfig(rank=4, learning_rate=0.02, epochs=10, batch_prompts=4)


@pytest.fixture
def texts(tiny):
    answers = ["boil the water", "wait", "tea", "make tea and wait", "boil tea"]
    return [
        encode_conversation(tiny.tokenizer, Prompt.from_text(f"how {n}"), answers[n % 5], 256, 256) for n in range(20)
    ]


def test_a_steps_loss_is_the_mean_over_all_of_its_learned_tokens(tiny, texts) -> None:
    objective = Sft(tiny, CONFIG, seed=0)
    figures = objective.accumulate(microbatches_of(texts))
    nats, tokens = 0.0, 0
    for text in texts:  # one by one, by the whole distribution
        packed = pack_texts([[text]], dtype=torch.float32)
        hidden_BLD = tiny.trunk.upper(tiny.trunk.lower(packed.tokens), packed.tokens)
        logp = tiny.trunk.logits(hidden_BLD)[0].log_softmax(-1)
        nats -= sum(float(logp[n - 1, text.ids[n]]) for n in range(1, len(text.ids)) if text.learned[n])
        tokens += text.tokens
    assert figures["tokens"] == tokens
    assert figures["loss"] == pytest.approx(nats / tokens, rel=1e-4)
    assert objective.mean_nats(texts, None) == pytest.approx(nats / tokens, rel=1e-4)


def test_it_learns_what_people_wrote(tiny, texts, tmp_path) -> None:
    rows: list[dict[str, float]] = []
    with quiet():
        objective = Sft(tiny, CONFIG, seed=0)
        before = objective.mean_nats(texts, "policy")
        go_through(objective, steps_of(texts, CONFIG, 0), tmp_path, rows.append)
    assert objective.mean_nats(texts, "policy") < 0.7 * before
    assert objective.mean_nats(texts, None) == pytest.approx(before, abs=1e-5)  # the base is what it was
    assert len(rows) == 10 * 5


def test_an_epoch_has_every_text_once_in_steps_of_even_size(texts) -> None:
    config = SftConfig(epochs=3, batch_prompts=6)
    steps = steps_of(texts, config, seed=1)
    sizes = [sum(len(row) for rows in step for row in rows) for step in steps]
    assert sizes == [7, 6, 7] * 3
    epochs = [
        [id(text) for step in steps[n : n + 3] for rows in step for row in rows for text in row] for n in (0, 3, 6)
    ]
    assert all(sorted(epoch) == sorted(map(id, texts)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert steps_of(texts, config, seed=1) == steps
