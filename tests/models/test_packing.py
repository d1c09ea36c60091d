import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plaudit.models.chat import encode_answer, encode_prompt
from plaudit.models.packing import microbatches, pack
from plaudit.models.reward_model import ScalarHead, final_features, prefix_features
from plaudit.types import Message, Prompt, Role, StopReason

PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12]]
ANSWERS = [[[20, 21, 22], [23]], [[24, 25], [26, 27, 28, 29]]]


def states(trunk, prompts, answers):
    packed = pack(prompts, answers, dtype=torch.float32)
    return packed, trunk.upper(trunk.lower(packed.tokens), packed.tokens)


def test_packed_answers_are_what_they_would_be_alone(tiny):
    packed, hidden = states(tiny.trunk, PROMPTS, ANSWERS)
    together = tiny.trunk.token_logprobs(packed.select(hidden), packed.targets_AT[packed.present_AT])[0]
    together = packed.spread(together)
    row = 0
    for prompt, group in zip(PROMPTS, ANSWERS, strict=True):
        for answer in group:
            alone, hidden_alone = states(tiny.trunk, [prompt], [[answer]])
            logprobs = tiny.trunk.token_logprobs(alone.select(hidden_alone), alone.targets_AT[alone.present_AT])[0]
            torch.testing.assert_close(together[row, : len(answer)], logprobs, rtol=1e-4, atol=1e-5)
            assert (together[row, len(answer) :] == 0).all()
            row += 1


def test_gradients_of_a_shared_state_add_up_in_one_order() -> None:
    """Answers that share a prompt share its last state, and rounding depends on the order of a sum."""
    answers, length, size = 8, 50, 256  # more than PyTorch's grain, below which indexing is sequential anyway
    packed = pack([[5, 6]], [[[7] * length] * answers], dtype=torch.float32)
    places = packed.predicted_AT[packed.present_AT]
    generator = torch.Generator().manual_seed(0)
    slope = torch.randn(len(places), size, generator=generator) * 10 ** torch.randn(len(places), 1, generator=generator)
    expected = torch.zeros(packed.tokens.ids_BL.numel(), size)
    for place, row in zip(places.tolist(), slope, strict=True):
        expected[place] += row
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        for _ in range(20):
            hidden = torch.zeros(1, len(expected), size, requires_grad=True)
            packed.select(hidden).backward(slope)
            assert torch.equal(hidden.grad[0], expected)
    finally:
        torch.set_num_threads(threads)


def test_the_head_reads_prefixes_as_if_they_were_whole(tiny):
    head = ScalarHead(32, seed=0)
    packed, hidden = states(tiny.trunk, PROMPTS[:1], [[[20, 21, 22]]])
    values = head(prefix_features(hidden, packed))
    for length in (1, 2, 3):
        short, hidden_short = states(tiny.trunk, PROMPTS[:1], [[[20, 21, 22][:length]]])
        torch.testing.assert_close(
            head(final_features(hidden_short, short))[0], values[0, length], rtol=1e-4, atol=1e-5
        )


def test_how_an_answer_ended_is_in_its_tokens(tiny):
    end = tiny.tokenizer.eos_token_id
    assert encode_answer(tiny.tokenizer, "tea", StopReason.EOS)[-1] == end
    assert end not in encode_answer(tiny.tokenizer, "tea", StopReason.LENGTH)
    assert end not in encode_answer(tiny.tokenizer, "boil the water", StopReason.EOS, limit=2)


def test_a_long_conversation_keeps_its_newest_tokens(tiny):
    turns = [Message(Role.USER, "first"), Message(Role.ASSISTANT, "second"), Message(Role.USER, "third")]
    whole = encode_prompt(tiny.tokenizer, Prompt(tuple(turns)))
    assert encode_prompt(tiny.tokenizer, Prompt(tuple(turns)), limit=5) == whole[-5:]
    assert tiny.tokenizer.decode(whole).count("<start>") == 4


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(50, 200))
def test_microbatches_hold_everything_once_within_the_budget(lengths, budget):
    groups = microbatches(lengths, budget)
    assert sorted(i for g in groups for i in g) == list(range(len(lengths)))
    assert all(len(g) * max(lengths[i] for i in g) <= budget for g in groups)


def test_an_answer_longer_than_the_budget_stands_alone():
    assert microbatches([500, 10], budget=100) == [[1], [0]]


def test_padding_differs_from_the_end(tiny):
    assert tiny.tokenizer.pad_token_id != tiny.tokenizer.eos_token_id


@pytest.mark.parametrize("pad", [None, "<end>"])
def test_a_tokenizer_without_a_pad_of_its_own_is_given_one(tiny, pad):
    from plaudit.models.catalog import separate_pad

    tiny.tokenizer.pad_token = pad
    separate_pad(tiny.tokenizer)
    assert tiny.tokenizer.pad_token_id not in (None, tiny.tokenizer.eos_token_id)


def test_softmax_in_bf16_adds_up_in_fp32() -> None:
    """Attention counts on it. Of 4,096 equal scores a sum in bf16 would stop at 256."""
    torch.testing.assert_close(torch.zeros(1, 4096).bfloat16().softmax(-1).float(), torch.full((1, 4096), 1 / 4096))
    scores = (3 * torch.randn(64, 230, generator=torch.Generator().manual_seed(0))).bfloat16()
    torch.testing.assert_close(scores.softmax(-1), scores.float().softmax(-1).bfloat16(), rtol=2**-7, atol=0)
