"""The mathematics of RLHF as pure functions: tensors in, tensors out, nothing read or kept.

Every mean is over the tokens that are present, and over all of them at once (OpenRLHF #1249): padding never counts,
and a short answer's token weighs what a long one's does. Log-probabilities, KL and entropies are in nats.

Shapes: A answers, T tokens, P prompts, K answers to each prompt.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LARGE_GAP_NATS = 0.5  # of a whole answer, between sampler and trainer
MOST_WEIGHT = 2.0  # of a token


def masked_mean(values: Tensor, present: Tensor) -> Tensor:
    """Mean of `values` where `present`; any equal shapes."""
    return (values * present).sum() / present.sum()


def whiten(values: Tensor, present: Tensor) -> Tensor:
    """Shift and scale to mean 0 and standard deviation 1 over the present entries; padding becomes 0.

    To be applied over the whole batch, never a micro-batch: a micro-batch's own mean would hide that it is better.
    """
    mean = masked_mean(values, present)
    variance = masked_mean((values - mean) ** 2, present)
    return (values - mean) * torch.rsqrt(variance + 1e-8) * present


def bradley_terry_loss(margin: Tensor, probability: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean negative log-likelihood of preferences under Bradley–Terry: P(a beats b) = σ(r_a − r_b).

    All (N,): `margin` r_a − r_b, `probability` the share of votes for a (0.5: a tie), `weight` how much each counts.
    Source: Bradley and Terry 1952; soft labels as in cDPO and InstructGPT's shuffled pairs.
    """
    return (bradley_terry_losses(margin, probability) * weight).sum() / weight.sum()


def bradley_terry_losses(margin: Tensor, probability: Tensor) -> Tensor:
    """(N,): those of which `bradley_terry_loss` is the mean."""
    return F.binary_cross_entropy_with_logits(margin, probability, reduction="none")


def vote_losses(margin: Tensor, probability: Tensor, ties: Tensor, demanded: Tensor, log_tie: Tensor | None) -> Tensor:
    """(N,): what the votes on each pair cost, where strong ones demand more, or ties are predicted. All others (N,).

    Of the votes, `ties` are ties, `probability` − ties/2 for a, and the rest for b. A vote for a costs −log P(a) at
    `margin` − `demanded`, one for b −log P(b) at `margin` + `demanded`: Llama 2's loss (arXiv 2307.09288, eq. 2), in
    which "far better" demands a larger difference. A tie says that there is none, so it demands none.

    P is Davidson's (1970, JASA 65:317): a wins, ties, loses as e^(margin/2) : ν : e^(−margin/2), `log_tie` log ν. For
    None it is Bradley–Terry's, and a tie is half a vote for each.
    """

    def log_sum(x: Tensor) -> Tensor:
        wins = torch.logaddexp(x / 2, -x / 2)
        return wins if log_tie is None else torch.logaddexp(wins, log_tie)

    for_a, for_b = (share.clamp(min=0) for share in (probability - ties / 2, 1 - probability - ties / 2))
    ahead, behind = margin - demanded, margin + demanded
    tied = log_sum(margin) - (0.0 if log_tie is None else log_tie)
    return for_a * (log_sum(ahead) - ahead / 2) + for_b * (log_sum(behind) + behind / 2) + ties * tied


def choice_losses(scores_SK: Tensor, present_SK: Tensor, chosen_SK: Tensor) -> Tensor:
    """(S,): −log of Luce's probability of each choice among those present, of which `chosen_SK` is the share chosen.

    A ranking is a chain of choices, each the best of what is left: Plackett 1975; Luce 1959; for rewards of language
    models arXiv 2301.11270. With two present it is Bradley–Terry.
    """
    left_SK = scores_SK.masked_fill(~present_SK, -torch.inf)
    return left_SK.logsumexp(-1) - (chosen_SK * scores_SK).sum(-1)


def identity_preference_loss(difference: Tensor, probability: Tensor, weight: Tensor, tau: float) -> Tensor:
    """IPO's weighted mean squared distance of log-ratio differences from 1/(2τ) (arXiv 2310.12036, eq. 17).

    All (N,): `difference` of a's log-ratio and b's, policy to reference; `probability` and `weight` as of
    `bradley_terry_loss`. A share p of votes for a is p losses of a's victory and 1 − p of b's.
    """
    target = 1 / (2 * tau)
    loss = probability * (difference - target) ** 2 + (1 - probability) * (difference + target) ** 2
    return (loss * weight).sum() / weight.sum()


def kto_loss(
    ratio: Tensor, point: float, good: Tensor, weight: Tensor, beta: float, good_weight: float, bad_weight: float
) -> Tensor:
    """KTO's weighted mean loss λ_y − v (arXiv 2402.01306, eq. 7 and 8).

    A good answer's value v is λ_D σ(β(r − z)), a bad one's λ_U σ(β(z − r)). So where only the share p of people find an
    answer good, its loss is p times a good one's plus 1 − p times a bad one's.

    Args:
        ratio: (N,) r, log-ratios of whole answers, policy to reference, in nats.
        point: z, the reference point, in nats: what a value is a gain or a loss from. Nothing is learned through it.
        good: (N,) share of people who find the answer good.
        weight: (N,) how much each counts.
        beta: β, how steeply a value rises.
        good_weight: λ_D.
        bad_weight: λ_U.
    """
    above = beta * (ratio - point)
    loss = good * good_weight * torch.sigmoid(-above) + (1 - good) * bad_weight * torch.sigmoid(above)
    return (loss * weight).sum() / weight.sum()


def gae(rewards_AT: Tensor, values_AT: Tensor, present_AT: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Advantages and returns, each (A, T), by generalised advantage estimation (arXiv 1506.02438, eq. 16).

    Args:
        rewards_AT: (A, T) reward for each token.
        values_AT: (A, T) critic's value of the state that each token was chosen in.
        present_AT: (A, T) bool; an answer's tokens come first, its padding last.

    The state after the last token is worth 0: an answer cut at the limit gets its score there, by the missing-EOS rule,
    so nothing is bootstrapped from a state that no token was drawn from.
    """
    advantages_AT = torch.zeros_like(rewards_AT)
    running = torch.zeros_like(rewards_AT[:, 0])
    for t in reversed(range(rewards_AT.shape[1])):
        is_last = t + 1 == rewards_AT.shape[1]
        following = torch.zeros_like(running) if is_last else values_AT[:, t + 1] * present_AT[:, t + 1]
        delta = rewards_AT[:, t] + gamma * following - values_AT[:, t]
        running = (delta + gamma * lam * running) * present_AT[:, t]
        advantages_AT[:, t] = running
    return advantages_AT, (advantages_AT + values_AT) * present_AT


def clipped_policy_loss(
    logprobs_AT: Tensor,
    old_logprobs_AT: Tensor,
    advantages: Tensor,
    clip: float,
    clip_high: float | None = None,
    dual_clip: float | None = None,
) -> tuple[Tensor, Tensor]:
    """PPO's pessimistic surrogate for each token, and whether it was clipped, each (A, T) (arXiv 1707.06347, eq. 7).

    Args:
        logprobs_AT: (A, T) of the policy that learns.
        old_logprobs_AT: (A, T) of the policy before the iteration.
        advantages: (A, T) of tokens, or (A, 1) of whole answers.
        clip: how far a ratio of the two may fall below 1.
        clip_high: how far it may rise above 1; by default as far (DAPO's clip-higher, arXiv 2503.14476, section 3.1).
        dual_clip: as much a ratio counts at most where the advantage is negative: a token that has become far likelier
            would else outweigh all others (dual-clip PPO, arXiv 1912.09729).
    """
    ratio_AT = (logprobs_AT - old_logprobs_AT).exp()
    plain_AT = -advantages * ratio_AT
    clipped_AT = -advantages * ratio_AT.clamp(1 - clip, 1 + (clip if clip_high is None else clip_high))
    losses_AT, held_AT = torch.maximum(plain_AT, clipped_AT), clipped_AT > plain_AT
    if dual_clip is not None:
        most_AT = -advantages * dual_clip
        too_much_AT = (advantages < 0) & (losses_AT > most_AT)
        losses_AT, held_AT = torch.where(too_much_AT, most_AT, losses_AT), held_AT | too_much_AT
    return losses_AT, held_AT


def kl_loss(logprobs_AT: Tensor, reference_AT: Tensor, estimate: str) -> Tensor:
    """(A, T): how far each token is from the reference, to be lowered: Schulman's `k2` or `k3` (2020, "Approximating
    KL Divergence"; GRPO, arXiv 2402.03300, eq. 4, has k3).

    Over the policy's own tokens, k2's gradient is that of KL(policy, reference) of the next token and k3's that of
    KL(reference, policy); of what a token leads to neither knows. k1's in the loss would be 0: it belongs in a reward.
    """
    apart_AT = logprobs_AT - reference_AT
    return 0.5 * apart_AT.square() if estimate == "k2" else (-apart_AT).exp() - 1 + apart_AT


def clipped_value_loss(values_AT: Tensor, old_values_AT: Tensor, returns_AT: Tensor, clip: float) -> Tensor:
    """(A, T): half the squared error of each token, the value kept within `clip` of the old one ("N+ details")."""
    near_AT = old_values_AT + (values_AT - old_values_AT).clamp(-clip, clip)
    return 0.5 * torch.maximum((values_AT - returns_AT) ** 2, (near_AT - returns_AT) ** 2)


def leave_one_out(scores_PK: Tensor) -> Tensor:
    """RLOO's advantages (P, K): each score less the mean of the others to its prompt (arXiv 2402.14740, eq. 8)."""
    K = scores_PK.shape[1]
    if K < 2:
        raise ValueError("leave-one-out needs at least two answers to each prompt")
    return (scores_PK - scores_PK.mean(1, keepdim=True)) * (K / (K - 1))


def sampler_weights(trained_AT: Tensor, sampled_AT: Tensor) -> Tensor:
    """(A, T): how much likelier the trained policy writes each token than the sampler that wrote it, at most 2.

    Truncated importance sampling (Ionides 2008; for language models Yao et al. 2025, "Your efficient RL framework
    secretly brings you off-policy RL training"). In bf16 the sampler folds the adapter into rounded weights, and both
    are not quite one policy. Rounding alone is a tenth of a nat an answer and lost in the noise, so what is below
    LARGE_GAP_NATS weighs exactly 1. Both arguments are (A, T) log-probabilities, 0 at padding.
    """
    gaps_AT = trained_AT.detach() - sampled_AT
    is_large_A1 = gaps_AT.sum(1, keepdim=True).abs() > LARGE_GAP_NATS
    return torch.where(is_large_A1, gaps_AT.exp().clamp(max=MOST_WEIGHT), 1.0)


def explained_variance(values: Tensor, returns: Tensor, present: Tensor) -> float:
    """1 − Var(returns − values) / Var(returns) over present tokens: 1 is perfect, 0 a constant, below 0 harmful."""
    v, r = values[present], returns[present]
    spread = r.var(unbiased=False)
    return float(1 - (r - v).var(unbiased=False) / spread) if spread > 0 else 0.0
