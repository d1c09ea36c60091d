import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plaudit.train import losses
from plaudit.train.adaptive_kl import AdaptiveKL
from plaudit.train.losses import (
    bradley_terry_loss,
    clipped_policy_loss,
    clipped_value_loss,
    explained_variance,
    gae,
    kl_loss,
    leave_one_out,
    masked_mean,
    sampler_weights,
    whiten,
)

numbers = st.floats(-5, 5, allow_subnormal=False)  # loading a model flushes subnormals to zero


@given(st.lists(st.tuples(numbers, st.floats(0, 1, allow_subnormal=False), st.floats(0.1, 5)), min_size=1, max_size=8))
def test_bradley_terry_does_not_care_which_side_is_told(pairs):
    margin, probability, weight = (torch.tensor(column, dtype=torch.float64) for column in zip(*pairs, strict=True))
    told = bradley_terry_loss(margin, probability, weight)
    torch.testing.assert_close(told, bradley_terry_loss(-margin, 1 - probability, weight), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(told, bradley_terry_loss(margin, probability, 3 * weight), rtol=1e-6, atol=1e-9)


def test_bradley_terry_is_the_log_likelihood():
    loss = bradley_terry_loss(torch.tensor([1.2]), torch.tensor([1.0]), torch.tensor([1.0]))
    torch.testing.assert_close(loss, -torch.sigmoid(torch.tensor(1.2)).log())


def by_definition(rewards, values, length, gamma, lam):
    """GAE as the sum it is defined by, one answer at a time."""
    found = []
    for t in range(length):
        deltas = [rewards[k] + gamma * (values[k + 1] if k + 1 < length else 0.0) - values[k] for k in range(t, length)]
        found.append(sum((gamma * lam) ** i * d for i, d in enumerate(deltas)))
    return found


@given(st.integers(0, 1000), st.floats(0.5, 1), st.floats(0, 1, allow_subnormal=False))
def test_gae_is_the_sum_it_is_defined_by(seed, gamma, lam):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([1, 3, 5])
    rewards, values = (torch.randn(3, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    present = torch.arange(5) < lengths[:, None]
    advantages, returns = gae(rewards, values, present, gamma, lam)
    for a, length in enumerate(lengths.tolist()):
        expected = by_definition(rewards[a].tolist(), values[a].tolist(), length, gamma, lam)
        assert advantages[a, :length].tolist() == pytest.approx(expected)
        assert (advantages[a, length:] == 0).all()
        assert (returns[a, length:] == 0).all()
    torch.testing.assert_close(returns[present], (advantages + values)[present])


def test_with_lambda_one_returns_are_the_rewards_to_come():
    rewards = torch.tensor([[1.0, 2.0, 3.0]])
    _, returns = gae(rewards, torch.randn(1, 3), torch.ones(1, 3, dtype=torch.bool), gamma=1.0, lam=1.0)
    torch.testing.assert_close(returns, torch.tensor([[6.0, 5.0, 3.0]]))


def test_whitening_ignores_padding():
    present = torch.tensor([[True, True, False], [True, False, False]])
    a = whiten(torch.tensor([[1.0, 2.0, 99.0], [6.0, -99.0, 0.0]]), present)
    torch.testing.assert_close(a[present].mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(a[present].std(unbiased=False), torch.tensor(1.0))
    assert (a[~present] == 0).all()
    assert masked_mean(torch.tensor([1.0, 5.0]), torch.tensor([True, False])) == 1


def test_leave_one_out_compares_an_answer_with_the_others():
    scores = torch.tensor([[1.0, 2.0, 6.0]])
    torch.testing.assert_close(leave_one_out(scores), torch.tensor([[1 - 4.0, 2 - 3.5, 6 - 1.5]]))
    with pytest.raises(ValueError, match="at least two"):
        leave_one_out(torch.ones(3, 1))


def test_the_policy_loss_is_pessimistic():
    advantages = torch.tensor([1.0, 1.0, -1.0, -1.0])
    ratio = torch.tensor([2.0, 0.5, 2.0, 0.5])
    loss, clipped = clipped_policy_loss(ratio.log(), torch.zeros(4), advantages, clip=0.2)
    torch.testing.assert_close(loss, torch.tensor([-1.2, -0.5, 2.0, 0.8]))
    assert clipped.tolist() == [True, False, False, True]


def test_a_ratio_may_rise_further_than_it_may_fall():
    advantages, ratio = torch.tensor([1.0, 1.0, -1.0]), torch.tensor([1.25, 1.5, 0.5])
    loss, clipped = clipped_policy_loss(ratio.log(), torch.zeros(3), advantages, clip=0.2, clip_high=0.28)
    torch.testing.assert_close(loss, torch.tensor([-1.25, -1.28, 0.8]))
    assert clipped.tolist() == [False, True, True]


def test_with_a_dual_clip_a_bad_token_that_has_become_likely_counts_no_more_than_that():
    """The objective is max(min(r A, clip(r) A), c A) where A < 0 (arXiv 1912.09729), and as ever elsewhere."""
    advantages = torch.tensor([-2.0, -2.0, 2.0, 2.0, -2.0])
    logprobs = torch.tensor([5.0, 2.0, 5.0, 0.5, 0.5]).log().requires_grad_()
    loss, clipped = clipped_policy_loss(logprobs, torch.zeros(5), advantages, clip=0.2, dual_clip=3.0)
    plain, held = clipped_policy_loss(logprobs, torch.zeros(5), advantages, clip=0.2)
    torch.testing.assert_close(loss, torch.tensor([6.0, 4.0, -2.4, -1.0, 1.6]))
    assert plain.tolist()[1:] == loss.tolist()[1:]
    assert clipped.tolist() == [True, *held.tolist()[1:]]
    (slopes,) = torch.autograd.grad(loss.sum(), logprobs)
    assert slopes[0] == 0


@pytest.mark.parametrize("estimate", ["k2", "k3"])
def test_the_kls_gradient_in_the_loss(estimate):
    """In expectation over the policy's own tokens, by enumeration: of KL(policy, reference) by k2, and turned by k3."""
    logits = torch.tensor([0.3, -0.4, 0.8, 0.1], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([-0.2, 0.5, 0.1, 0.9], dtype=torch.float64).log_softmax(0)
    policy = logits.log_softmax(0)
    (found,) = torch.autograd.grad((policy.exp().detach() * kl_loss(policy, reference, estimate)).sum(), logits)
    policy = logits.log_softmax(0)
    kl = {"k2": policy.exp() * (policy - reference), "k3": reference.exp() * (reference - policy)}[estimate].sum()
    torch.testing.assert_close(found, torch.autograd.grad(kl, logits)[0])


def test_k3_is_never_negative_and_on_average_the_kl():
    policy, reference = (torch.randn(2, 50, dtype=torch.float64)).log_softmax(1)
    each = kl_loss(policy, reference, "k3")
    assert (each >= 0).all()
    torch.testing.assert_close((policy.exp() * each).sum(), (policy.exp() * (policy - reference)).sum())


def test_the_value_loss_takes_the_worse_of_clipped_and_plain():
    loss = clipped_value_loss(torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([2.0]), clip=0.2)
    torch.testing.assert_close(loss, torch.tensor([0.5 * 1.8**2]))


def test_explained_variance():
    returns = torch.tensor([1.0, 2.0, 3.0])
    everywhere = torch.ones(3, dtype=torch.bool)
    assert explained_variance(returns, returns, everywhere) == 1
    assert explained_variance(torch.zeros(3), returns, everywhere) == 0
    assert explained_variance(-returns, returns, everywhere) < 0


@pytest.mark.parametrize(("kl_nats", "factor"), [(60, 1.2), (0, 0.8), (-5, 0.8), (6, 1)])
def test_the_controller_stays_positive_however_large_a_batch_is(kl_nats, factor):
    kl = AdaptiveKL(0.08, target_nats=6, horizon_episodes=500)
    kl.update(kl_nats, episodes=2500)
    assert kl.coefficient == pytest.approx(0.08 * factor)


def test_the_controller_takes_nan_for_no_distance():
    with pytest.raises(AssertionError):
        AdaptiveKL(0.08).update(float("nan"), episodes=32)


def test_the_controller_steers_towards_its_target():
    kl = AdaptiveKL(0.05, target_nats=6, horizon_episodes=100)
    kl.update(60, episodes=50)
    assert kl.coefficient == pytest.approx(0.05 * 1.1)  # the error is clipped at 0.2
    kl.update(5.4, episodes=50)
    assert kl.coefficient == pytest.approx(0.05 * 1.1 * 0.95)


def test_a_samplers_small_gap_weighs_nothing_and_a_large_one_at_most_two() -> None:
    trained = torch.tensor([[-1.0, -2.0, 0.0], [-1.0, -2.0, 0.0], [-1.0, -2.0, 0.0], [-1.0, -2.0, 0.0]])
    apart = torch.tensor([[0.0, 0.0, 0.0], [0.3, 0.15, 0.0], [0.3, 0.3, 0.0], [-0.2, 5.0, 0.0]])
    weights = sampler_weights(trained, trained - apart)
    assert torch.equal(weights[:2], torch.ones(2, 3)), "not a bit of what is computed in fp32 changes"
    torch.testing.assert_close(weights[2], torch.tensor([0.3, 0.3, 0.0]).exp())
    torch.testing.assert_close(weights[3], torch.tensor([math.exp(-0.2), 2.0, 1.0]))
    assert not sampler_weights(trained.clone().requires_grad_(), trained - apart).requires_grad


def test_weighed_tokens_give_the_trained_policys_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """In expectation over what another sampler writes, by enumeration of all its tokens."""
    monkeypatch.setattr(losses, "LARGE_GAP_NATS", 0.0)
    logits = torch.tensor([0.3, -0.4, 0.8, 0.1], dtype=torch.float64, requires_grad=True)
    sampler = (logits.detach() + torch.tensor([0.2, -0.3, 0.1, -0.2])).softmax(0)
    worth = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)

    def gradient(drawn: torch.Tensor, weighs: bool) -> torch.Tensor:
        logprobs = logits.log_softmax(0)
        weights = sampler_weights(logprobs[:, None], sampler.log()[:, None])[:, 0] if weighs else 1.0
        return torch.autograd.grad((drawn * worth * weights * logprobs).sum(), logits)[0]

    right = gradient(logits.detach().softmax(0), weighs=False)
    torch.testing.assert_close(gradient(sampler, weighs=True), right)
    assert not torch.allclose(gradient(sampler, weighs=False), right, atol=0.1)
