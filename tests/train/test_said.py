"""Each loss and its gradient against one that is written otherwise; then what is learned from all that was said."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import torch

from plaudit.models.reward_model import RewardModel
from plaudit.progress import quiet
from plaudit.train.configs import RewardConfig
from plaudit.train.ensemble import train_reward
from plaudit.train.losses import bradley_terry_losses, choice_losses, vote_losses
from plaudit.train.reward import group_by_prompt, make_batches
from plaudit.train.said import Choices, Objective, Pairs, Terms, Verdicts, choice_rows, fit, mean_loss, settle
from plaudit.types import Preference, Prompt, Ranked, Ranking, Response

CPU = torch.device("cpu")
DOUBLE = torch.float64


def slopes(f: Callable[[np.ndarray], float], x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """The gradient by differences."""
    return np.array([(f(x + step * e) - f(x - step * e)) / (2 * step) for e in np.eye(len(x))])


def same(loss: torch.Tensor, inputs: torch.Tensor, expected: Callable[[np.ndarray], float]) -> None:
    """Value and gradient equal those of the other way to write it, to 1e-5."""
    (gradient,) = torch.autograd.grad(loss, inputs)
    x = inputs.detach().numpy()
    assert float(loss.detach()) == pytest.approx(expected(x), abs=1e-5)
    np.testing.assert_allclose(gradient.numpy(), slopes(expected, x), atol=1e-5)


SHARES = [(1.0, 0.0), (0.0, 0.0), (0.5, 1.0), (0.5, 0.0), (0.625, 0.25), (0.3, 0.6)]  # probability, of it ties


@pytest.mark.parametrize(("probability", "ties"), SHARES)
@pytest.mark.parametrize("margin", [-2.0, 0.0, 0.7])
@pytest.mark.parametrize("demanded", [0.0, 0.6])
def test_votes_cost_what_their_probabilities_say(probability, ties, margin, demanded) -> None:
    """Davidson's model as he writes it, by the worth π of each answer, and Bradley–Terry's by logistic functions."""

    def shares() -> tuple[float, float]:
        return probability - ties / 2, 1 - probability - ties / 2

    def worths(difference: float, nu: float) -> tuple[float, float, float]:
        a, b = math.exp(difference), 1.0
        total = a + b + nu * math.sqrt(a * b)
        return a / total, b / total, nu * math.sqrt(a * b) / total

    def davidson(x: np.ndarray) -> float:
        nu, (for_a, for_b) = math.exp(x[1]), shares()
        wins, loses = worths(x[0] - demanded, nu)[0], worths(x[0] + demanded, nu)[1]
        return -for_a * math.log(wins) - for_b * math.log(loses) - ties * math.log(worths(x[0], nu)[2])

    def llama(x: np.ndarray) -> float:
        def cost(z: float) -> float:
            return -math.log(1 / (1 + math.exp(-z)))

        for_a, for_b = shares()
        halves = ties / 2 * (cost(x[0]) + cost(-x[0]))
        return for_a * cost(x[0] - demanded) + for_b * cost(-x[0] - demanded) + halves

    columns = [torch.tensor([value], dtype=DOUBLE) for value in (probability, ties, demanded)]
    x = torch.tensor([margin, 0.4], dtype=DOUBLE, requires_grad=True)
    same(vote_losses(x[:1], *columns, x[1]).sum(), x, davidson)
    same(vote_losses(x[:1], *columns, None).sum() + 0 * x[1], x, llama)
    if not demanded:
        plain = bradley_terry_losses(x[:1], columns[0])
        torch.testing.assert_close(vote_losses(x[:1], *columns, None), plain)


def told(tiers: tuple[tuple[int, ...], ...]) -> list[tuple[int, ...]]:
    """Every strict order that a ranking leaves open."""
    return [tuple(a for tier in order for a in tier) for order in product(*(permutations(tier) for tier in tiers))]


def plackett_luce(tiers: tuple[tuple[int, ...], ...]) -> Callable[[np.ndarray], float]:
    """Minus the mean log-probability over all orders, each a product of Luce's choices."""

    def loss(scores: np.ndarray) -> float:
        worth = np.exp(scores)
        orders = told(tiers)
        found = [math.prod(worth[o[i]] / worth[list(o[i:])].sum() for i in range(len(o))) for o in orders]
        return -float(np.mean(np.log(found)))

    return loss


def choices_of(tiers: tuple[tuple[int, ...], ...]) -> Terms:
    ranked = Ranked("p", Ranking(tuple(tuple(map(str, tier)) for tier in tiers)))
    place = {answer: int(answer) for answer in ranked.ranking.response_ids}
    (terms,) = Choices.of(list(choice_rows(place, 0, [ranked])), CPU)
    return terms


RANKINGS = [((2,), (0,), (1,)), ((0, 1), (2,)), ((2,), (0, 1)), ((0, 1, 2),), ((3,), (0, 2), (1,)), ((1, 3), (0, 2)),
            ((4, 0, 2), (1,), (3,)), ((0, 1, 2, 3),)]  # fmt: skip


@pytest.mark.parametrize("tiers", RANKINGS)
def test_a_ranking_is_the_mean_over_all_orders_that_it_leaves_open(tiers) -> None:
    scores = torch.tensor([0.3, -1.2, 0.9, 0.1, -0.4], dtype=DOUBLE, requires_grad=True)
    terms = choices_of(tiers)
    loss = (terms.losses(scores, Objective()) * terms.weight).sum()
    same(loss, scores, plackett_luce(tiers))
    assert float(terms.weight.sum()) == pytest.approx(sum(map(len, tiers)) - 1), "K − 1 choices"


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_choice_between_two_is_bradley_terrys(share: float) -> None:
    scores, chosen = torch.tensor([[0.7, -0.2]]), torch.tensor([[share, 1 - share]])
    pair = bradley_terry_losses(torch.tensor([0.9]), torch.tensor([share]))
    torch.testing.assert_close(choice_losses(scores, torch.ones(1, 2, dtype=torch.bool), chosen), pair)


def test_a_verdict_is_a_bet_against_the_outside_option() -> None:
    x = torch.tensor([0.8, -0.5, 0.3], dtype=DOUBLE, requires_grad=True)  # two answers, and θ
    terms = Verdicts.of([(1.0, 0, 0, 1.0), (0.5, 0, 1, 0.0)], CPU)
    loss = mean_loss(x[:2], terms, Objective(threshold=x[2]))

    def expected(z: np.ndarray) -> float:
        good, outside, bad = np.exp(z[0]), np.exp(z[2]), np.exp(z[1])
        return float(-np.log(good / (good + outside)) - 0.5 * np.log(outside / (bad + outside))) / 1.5

    same(loss, x, expected)


def pairs_of(*rows: tuple[float, ...]) -> tuple[Terms, ...]:
    return Pairs.of(list(rows), CPU)


def test_strength_demands_or_scales_and_silence_is_the_mean() -> None:
    terms = pairs_of((1, 0, 0, 1, 1, 0, 1), (1, 0, 0, 1, 1, 0, 4), (1, 1, 0, 1, 1, 0, 0))
    scores = torch.tensor([0.5, 0.2])
    for strength, expected in [
        ("ignore", [0.3, 0.3, 0.3]),
        ("margin", [0.3, 0.3 - 2.0, 0.3]),  # Llama 2: the weakest and the unknown demand nothing
        ("scaled", [0.3, 0.3, 0.3]),
    ]:
        objective = Objective.of(RewardConfig(margin=2.0), strength, terms)
        losses = bradley_terry_losses(torch.tensor(expected), torch.ones(3))
        torch.testing.assert_close(terms[0].losses(scores, objective), losses)
        weights = [0.4, 1.6, 1.0] if strength == "scaled" else [1.0, 1.0, 1.0]
        assert terms[0].weights(objective).tolist() == pytest.approx(weights)
        assert float(mean_loss(scores, terms, objective)) == pytest.approx(np.average(losses, weights=weights))


def simulated(seed: int, count: int, informs: bool) -> tuple[torch.Tensor, tuple[Terms, ...]]:
    """Features of two answers a pair, of which somebody chooses by a hidden direction; ν is 0.6."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2 * count, 12, generator=generator)
    worth = x @ torch.randn(12, generator=generator)
    rows = []
    for i in range(count):
        margin = float(worth[2 * i] - worth[2 * i + 1])
        odds = torch.tensor([math.exp(margin / 2), 0.6, math.exp(-margin / 2)])
        said = (1.0, 0.5, 0.0)[int(torch.multinomial(odds, 1, generator=generator))]
        strength = 1 + min(3, int(abs(margin))) if informs else int(torch.randint(1, 5, (1,), generator=generator))
        rows.append((1, i, 2 * i, 2 * i + 1, said, float(said == 0.5), 0 if said == 0.5 else strength))
    return x, pairs_of(*rows)


def test_how_often_people_tie_is_learned() -> None:
    x, terms = simulated(0, 3000, informs=False)
    w_F, learned = fit(x, terms, RewardConfig(ties="davidson", ridge=1e-5))
    assert learned.log_tie is not None
    assert math.exp(float(learned.log_tie)) == pytest.approx(0.6, abs=0.06)
    again = settle(x @ w_F, terms, learned)
    torch.testing.assert_close(again.log_tie, learned.log_tie, atol=0.02, rtol=0)
    assert fit(x, terms, RewardConfig(ridge=1e-5, strength="scaled"))[1].log_tie is None


def test_the_way_to_take_strength_is_the_one_that_predicts_best() -> None:
    x, terms = simulated(1, 150, informs=True)
    w_F, learned = fit(x, terms, RewardConfig(strength="auto"))
    assert learned.strength in ("margin", "scaled")
    torch.testing.assert_close(w_F, fit(x, terms, RewardConfig(strength="auto"))[0], rtol=0, atol=0)
    few = tuple(term.where(term.prompt < 3) for term in terms)
    assert fit(x, few, RewardConfig(strength="auto"))[1].strength == "ignore", "three prompts tell nothing"


def test_the_threshold_lies_between_what_was_acceptable_and_what_was_not() -> None:
    scores = torch.linspace(-3, 3, 60)
    terms = Verdicts.of([(0.25, i, i, float(score > 1.0)) for i, score in enumerate(scores.tolist())], CPU)
    (learned,) = [settle(5 * scores, terms, Objective(threshold=torch.zeros(())))]
    assert float(learned.threshold) / 5 == pytest.approx(1.0, abs=0.15)


ALL = RewardConfig(rank=4, strength="auto", ranking="plackett-luce", ties="davidson", all_bad="threshold")


def asked_much(count: int) -> list:
    """Prompts with three answers ranked, two compared, and one judged alone; good answers say "tea"."""
    groups = []
    for i in range(count):
        prompt = Prompt.from_text(f"how {i}")
        best, middle, worst = (
            Response(prompt.id, text) for text in ("tea tea make", "tea wait boil", "wait boil boil")
        )
        rankings = [
            Ranked(prompt.id, Ranking(((best.id,), (middle.id, worst.id))), acceptable=True),
            Ranked(prompt.id, Ranking(((middle.id,), (worst.id,))), strength=1 + i % 4, acceptable=i % 3 > 0),
            Ranked(prompt.id, Ranking(((worst.id,),)), acceptable=False),
        ]
        preferences = [Preference(prompt.id, best.id, worst.id, 1.0), Preference(prompt.id, middle.id, worst.id, 1.0)]
        answers = {answer.id: answer for answer in (best, middle, worst)}
        groups += group_by_prompt(preferences, {prompt.id: prompt}, answers, rankings)
    return groups


def test_a_reward_model_learns_from_all_of_it_and_keeps_what_it_learned(tiny, tmp_path) -> None:
    with quiet():
        batches = make_batches(tiny, asked_much(20), ALL)
        reward, history = train_reward(tiny, batches, ALL, seed=0)
    assert {type(term) for batch in batches for term in batch.terms} == {Pairs, Choices, Verdicts}
    assert all(math.isfinite(row["loss"]) for row in history)
    assert batches[0].objective.strength in ("ignore", "margin", "scaled")
    assert reward.settings.tie is not None
    assert reward.settings.threshold is not None
    reward.save(tmp_path, tiny.name)
    assert RewardModel.load(tiny.trunk, tmp_path, adapter="again").settings == reward.settings
    group = asked_much(1)[0]
    scores = reward.score_texts(tiny, [(group.prompt, group.answers)])
    assert scores[group.answers[0].id] > reward.settings.threshold > scores[group.answers[1].id]
    old = {key: value for key, value in json.loads((tmp_path / "reward.json").read_text()).items()
           if key not in ("tie", "threshold")}  # fmt: skip
    (tmp_path / "reward.json").write_text(json.dumps(old))
    assert RewardModel.load(tiny.trunk, tmp_path, adapter="old").settings.tie is None


def test_training_begins_where_the_head_was_fitted(tiny) -> None:
    """The batches' losses, weighed together, are that of the fit: nothing is lost by packing."""
    from plaudit.train.reward import join_terms, start_head, untrained_reward

    with quiet():
        batches = make_batches(tiny, asked_much(20), ALL, tokens=64)
        reward = untrained_reward(tiny, ALL, seed=0)
        start_head(reward, batches, ALL)
        with torch.no_grad():
            scores = [reward.raw(b.hidden(reward.trunk), b.packed) for b in batches]
    assert len(batches) > 2
    parts = sum(float(b.loss(s)) * b.weight for b, s in zip(batches, scores, strict=True)) / sum(
        b.weight for b in batches
    )
    joined = mean_loss(torch.cat(scores), join_terms(batches), batches[0].objective)
    assert parts == pytest.approx(float(joined), rel=1e-5)


def test_a_prompt_drawn_twice_says_everything_twice(tiny) -> None:
    (batch,) = make_batches(tiny, asked_much(3), ALL, tokens=10_000)
    drawn = batch.reweighed(torch.tensor([2.0, 0.0, 1.0]))
    scores = torch.linspace(-1, 1, len(batch.packed.targets_AT))
    both = (
        replace(batch, objective=Objective(threshold=torch.zeros(()))),
        replace(drawn, objective=Objective(threshold=torch.zeros(()))),
    )
    for term, again in zip(batch.terms, drawn.terms, strict=True):
        assert again.weight.tolist() == (term.weight * torch.tensor([2.0, 0.0, 1.0])[term.prompt]).tolist()
    assert float(both[0].loss(scores)) != float(both[1].loss(scores))
    assert drawn.weight == pytest.approx(batch.weight)


def test_pairs_alone_are_learned_from_as_before(tiny, made_up) -> None:
    assert all(batch.terms == () for batch in make_batches(tiny, made_up(4, seed=0), RewardConfig()))
    assert RewardConfig().is_plain
    assert not ALL.is_plain
