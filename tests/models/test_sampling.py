from __future__ import annotations

import random

import pytest
import torch

from plaudit.models import sampling
from plaudit.models import sampling as module
from plaudit.models.lora import LoraSettings
from plaudit.models.packing import Tokens, segment_mask
from plaudit.models.sampling import chunks, draw_answers, draw_tokens, draw_uniforms
from plaudit.types import Drawing, Prompt, Sampling, StopReason

PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12, 13], [14, 15]]


def drawn(model, seed=0, **settings):
    generator = torch.Generator().manual_seed(seed)
    return draw_answers(model.trunk, PROMPTS, 3, Sampling(**{"max_tokens": 12} | settings), model.end_ids, generator)


def test_the_same_seed_gives_the_same_answers(tiny):
    assert drawn(tiny) == drawn(tiny)
    assert drawn(tiny) != drawn(tiny, seed=1)


def test_an_answer_ends_with_the_end_token_or_at_the_limit(tiny):
    answers = [a for group in drawn(tiny, max_tokens=150, temperature=5.0) for a in group]
    for answer in answers:
        ended = answer.ids[-1] in tiny.end_ids
        assert answer.stop_reason is (StopReason.EOS if ended else StopReason.LENGTH)
        assert ended or len(answer.ids) == 150
        assert not set(answer.ids[:-1]) & set(tiny.end_ids)
    assert len({a.stop_reason for a in answers}) == 2  # both happen, so rows were dropped on the way


def naive(model, prompt, limit, adapter):
    """Greedy decoding without cache, batch or merging."""
    ids = list(prompt)
    while len(ids) < len(prompt) + limit:
        row = torch.tensor([ids])
        tokens = Tokens(row, torch.arange(len(ids))[None], segment_mask(torch.zeros_like(row), torch.float32))
        with torch.no_grad(), model.trunk.using(adapter):
            logits = model.trunk.logits(model.trunk.upper(model.trunk.lower(tokens), tokens))
        ids.append(int(logits[0, -1].argmax()))
        if ids[-1] in model.end_ids:
            break
    return tuple(ids[len(prompt) :])


def test_cache_padding_and_dropped_rows_change_nothing(tiny, monkeypatch):
    """Greedily, each prompt of a ragged batch is answered as it would be alone, also when others end early."""
    tiny.trunk.add_adapter("policy", LoraSettings(4), seed=0)
    for parameter in tiny.trunk.adapter_parameters("policy").values():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
    expected = [naive(tiny, p, 10, "policy") for p in PROMPTS]
    common = {token for answer in expected for token in answer[2:5]}  # let something that occurs end some answers
    monkeypatch.setattr(type(tiny), "end_ids", property(lambda self: (2, min(common))))
    expected = [naive(tiny, p, 10, "policy") for p in PROMPTS]
    assert len({len(answer) for answer in expected}) > 1
    monkeypatch.setattr(sampling, "draw_tokens", lambda logits, *_: (logits.argmax(-1), torch.ones(len(logits))))
    answers = draw_answers(tiny.trunk, PROMPTS, 2, Sampling(10), tiny.end_ids, torch.Generator(), adapter="policy")
    assert [[a.ids for a in group] for group in answers] == [[e, e] for e in expected]


def test_draw_follows_the_tempered_distribution():
    logits = torch.tensor([2.0, 0.0, -1.0, -torch.inf])
    expected = (logits / 0.8).softmax(-1)
    uniforms = draw_uniforms(1, 20_000, torch.Generator().manual_seed(0))[0]
    tokens, probabilities = draw_tokens(logits.expand(20_000, 4), 0.8, uniforms)
    torch.testing.assert_close(probabilities, expected[tokens])
    shares = torch.bincount(tokens, minlength=4) / 20_000
    assert shares[3] == 0
    torch.testing.assert_close(shares, expected, atol=0.01, rtol=0)


@pytest.mark.parametrize("settings", [{"temperature": 0.0}, {"max_tokens": 0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match="must be"):
        Sampling(**settings)


DRAWING = Drawing(answers=2, sampling=Sampling(max_tokens=10), prompt_tokens=256)
QUESTIONS = [Prompt.from_text(f"question {n} " + "and more " * (n % 7)) for n in range(40)]


def test_each_prompt_is_in_one_chunk_that_fits(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_POSITIONS", 600)
    parts = chunks(tiny, QUESTIONS, DRAWING)
    assert sorted(p.id for part in parts for p in part.prompts) == sorted(p.id for p in QUESTIONS)
    for part in parts:
        longest = max(map(len, part.encoded))
        assert len(part.prompts) == 1 or len(part.prompts) * 2 * (longest + 10) <= 600
    assert max(len(part.prompts) for part in parts) > 1
    lengths = [len(ids) for part in parts for ids in part.encoded]
    assert lengths == sorted(lengths)


def test_a_prompt_too_long_for_any_chunk_is_drawn_alone(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_POSITIONS", 1)
    assert [len(part.prompts) for part in chunks(tiny, QUESTIONS, DRAWING)] == [1] * 40


def test_the_order_of_the_prompts_changes_nothing(tiny) -> None:
    shuffled = random.Random(0).sample(QUESTIONS, len(QUESTIONS))
    assert chunks(tiny, shuffled, DRAWING) == chunks(tiny, QUESTIONS, DRAWING)


def test_each_chunk_and_each_seed_has_random_numbers_of_its_own(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_PROMPTS", 8)
    parts = chunks(tiny, QUESTIONS, DRAWING)
    states = {bytes(part.generator(seed).get_state().tolist()) for part in parts for seed in range(4)}
    assert len(states) == 5 * 4


def test_a_rare_token_is_drawn_as_often_as_its_probability_says() -> None:
    """Half of the mass lies in 100,000 tokens: sums in fp32 would move their bounds by many times their width."""
    count = 100_000
    logits = torch.zeros(1, count + 1)
    logits[0, 0] = torch.tensor(float(count)).log()
    bounds = torch.cat([torch.tensor([0.0, 0.5]), 0.5 + 0.5 * torch.arange(1, count + 1) / count]).double()
    for token in (1, 777, 54_321, count):
        middle = float(bounds[token] + bounds[token + 1]) / 2
        assert draw_tokens(logits, 1.0, torch.tensor([middle], dtype=torch.float64))[0].item() == token


def test_no_special_token_but_an_end_is_written(tiny) -> None:
    """At this temperature every token of the vocabulary would come up."""
    written = {
        token for group in drawn(tiny, max_tokens=400, temperature=1e4) for answer in group for token in answer.ids
    }
    assert len(written) > 200
    assert written & set(tiny.tokenizer.all_special_ids) <= set(tiny.end_ids)
    assert max(written) < len(tiny.tokenizer)


def test_what_reads_otherwise_than_it_was_written_is_known(tiny) -> None:
    from plaudit.models.sampling import Sampled, as_read, as_response

    end = tiny.tokenizer.eos_token_id

    def read(ids):
        sampled = Sampled((*ids, end), (0.0,) * (len(ids) + 1), StopReason.EOS)
        return as_read(tiny, sampled, as_response(tiny, QUESTIONS[0], sampled))

    canonical = tiny.tokenizer("boil the water")["input_ids"]
    assert read(canonical) == ([*canonical, end], False)
    letters = [tiny.tokenizer.convert_tokens_to_ids(letter) for letter in "boil"]
    assert letters != tiny.tokenizer("boil")["input_ids"]
    assert read(letters) == ([*tiny.tokenizer("boil")["input_ids"], end], True)
    space = tiny.tokenizer(" \n")["input_ids"]
    assert read([*canonical, *space]) == ([*canonical, end], True)
