"""Every algorithm on the tiny model, with a reward that can be computed: how many of an answer's tokens are even."""

import math
import re
import statistics
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from plaudit.errors import NotFiniteError, PlauditError
from plaudit.models.catalog import load
from plaudit.models.logprobs import answer_logprobs
from plaudit.models.lora import AdaptedLinear
from plaudit.train.checkpoint import load_checkpoint
from plaudit.train.configs import RolloutConfig
from plaudit.train.rloo import Rloo
from plaudit.train.rollouts import collect, draw_prompts, repeated_share, summarise
from plaudit.train.steps import set_learning_rates
from plaudit.types import Prompt, StopReason
from tests.train.learning import (
    LEARNERS,
    PROMPTS,
    ROLLOUT,
    SaysEven,
    each,
    fresh,
    fresh_again,
    grpo,
    ppo,
    rloo,
    run,
    tiny_settings,
)


@pytest.fixture
def tiny(tiny_folder):
    return fresh(tiny_folder)


@each
def test_the_reward_rises_and_the_reference_stays(tiny, algorithm, tmp_path):
    rows = []
    before = {name: p.clone() for name, p in tiny.trunk.model.state_dict().items() if ".a." not in name}
    run(tiny, algorithm(25, kl_coefficient=0.01), tmp_path, rows.append)
    first, last = (sum(r["reward_mean"] for r in part) / 3 for part in (rows[:3], rows[-3:]))
    assert last > first + 1
    assert rows[-1]["kl_nats"] > rows[0]["kl_nats"]
    after = tiny.trunk.model.state_dict()
    assert all(torch.equal(after[name], p) for name, p in before.items())


def test_a_high_kl_coefficient_keeps_the_policy_near_the_reference(tiny, tiny_folder, tmp_path):
    free, held = [], []
    run(tiny, rloo(20, kl_coefficient=0.0), tmp_path / "free", free.append)
    other = fresh(tiny_folder)
    run(other, rloo(20, kl_coefficient=3.0, kl_target_nats=0.1), tmp_path / "held", held.append)
    assert abs(held[-1]["kl_nats"]) < 0.5 * free[-1]["kl_nats"]


EVERY_OPTION = {
    "ppo, all options": partial(
        ppo, minibatches=2, critic_warmup=1, warmup=2, decay="cosine", clip_high=0.3, dual_clip=3.0, kl_penalty="k3",
        entropy_bonus=0.01, stop_kl_nats=0.05,
    ),
    "grpo, all options": partial(
        grpo, epochs=2, warmup=1, decay="linear", scale="none", average="constant", clip_high=0.28, kl_penalty="k2",
        mask_cut=True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("algorithm", (LEARNERS | EVERY_OPTION).values(), ids=LEARNERS | EVERY_OPTION)
def test_a_run_cut_anywhere_and_resumed_is_the_run_that_was_not(tiny, tiny_folder, algorithm, tmp_path):
    whole = run(tiny, algorithm(5), tmp_path / "whole")

    def cut(row):
        if row["step"] == 3:
            raise KeyboardInterrupt

    cut_model, again = (fresh(tiny_folder) for _ in range(2))
    with pytest.raises(KeyboardInterrupt):
        run(cut_model, algorithm(5), tmp_path / "cut", cut)
    steps = []
    resumed = run(again, algorithm(5), tmp_path / "cut", lambda row: steps.append(row["step"]))
    assert steps == [3, 4, 5]
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_checkpoint_of_another_model_is_refused(tiny, tmp_path):
    run(tiny, rloo(1), tmp_path)
    with pytest.raises(PlauditError, match="another model or configuration"):
        load_checkpoint(tmp_path, {"other": torch.zeros(1)}, {})


@each
def test_every_figure_that_is_logged_is_explained_and_finite(tiny, algorithm, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^### (.*)", page, re.MULTILINE))))
    rows = []
    run(tiny, algorithm(2), tmp_path, rows.append)
    assert set(rows[-1]) - explained == set()
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert {"reward_spread", "equal_prompts_share", "advantage_spread", "policy_gradient_norm", "entropy_nats",
            "repeated_4gram_share", "tokens_a_second"} <= rows[-1].keys()  # fmt: skip


def test_what_is_logged_of_the_answers_is_of_their_tokens_alone(tiny):
    """Reckoned again answer by answer, of answers of unlike length; one prompt's are made equally good."""
    tiny.trunk.add_adapter("policy", tiny_settings(), seed=0)
    config = RolloutConfig(prompts=4, answers=6, max_tokens=60, temperature=5.0)
    rollouts = collect(tiny, "policy", SaysEven(), PROMPTS, config, seed=0, iteration=0)
    rollouts[0].scores_A[:6] = 1.0
    figures = summarise(rollouts)
    assert figures["equal_prompts_share"] == pytest.approx(0.25)
    rewards = [score for r in rollouts for score in r.raw_scores_A.tolist()]
    assert figures["reward_spread"] == pytest.approx(statistics.pstdev(rewards))
    written = [ids for r in rollouts for ids in r.token_ids()]
    assert [len(ids) for ids in written] == [a.tokens for r in rollouts for a in r.answers]
    assert len({len(ids) for ids in written}) > 2
    shares = [share for ids in written if (share := repeated_share(ids)) is not None]
    assert figures["repeated_4gram_share"] == pytest.approx(sum(shares) / len(shares))


@pytest.mark.parametrize(
    ("ids", "share"), [([1, 2, 3], None), ([1, 2, 3, 4], 0), ([1] * 8, 0.8), ([1, 2, 3, 4, 1, 2, 3, 4], 0.2)]
)
def test_what_is_repeated_is_runs_of_four_tokens(ids, share):
    assert repeated_share(ids) == (share if share is None else pytest.approx(share))


@each
def test_learning_rates_rise_and_fall_and_are_logged(tiny, algorithm, tmp_path):
    rows = []
    run(tiny, algorithm(4, warmup=1, decay="linear"), tmp_path, rows.append)
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.01, 0.02, 0.02 * 2 / 3, 0.02 / 3])


@pytest.mark.parametrize(
    ("warmup", "decay", "shares"),
    [(0, "none", [1, 1, 1, 1]), (3, "none", [0.25, 0.5, 0.75, 1]), (0, "linear", [1, 0.75, 0.5, 0.25]),
     (1, "cosine", [0.5, 1, 0.75, 0.25]), (9, "linear", [0.1, 0.2, 0.3, 0.4])],
)  # fmt: skip
def test_every_groups_learning_rate_is_a_share_of_its_own(warmup, decay, shares):
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": rate} for rate in (0.1, 3.0)]
    optimizer = torch.optim.SGD(groups)
    for step, share in enumerate(shares):
        assert set_learning_rates([optimizer], step, 4, warmup, decay) == pytest.approx(share)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1 * share, 3.0 * share])


@pytest.mark.parametrize(("algorithm", "penalty"), [(ppo, "k2"), (ppo, "k3"), (grpo, "k2"), (grpo, "k3")])
def test_the_kl_in_the_loss_holds_the_policy_too(tiny, tiny_folder, algorithm, penalty, tmp_path):
    found = {}
    for beta, model in ((0.0, tiny), (3.0, fresh(tiny_folder))):
        rows, more = [], {"kl_coefficient": beta, "kl_target_nats": 0.1, "kl_penalty": penalty}
        run(model, algorithm(12, **more), tmp_path / str(beta), rows.append)
        found[beta] = abs(rows[-1]["kl_nats"])
    assert found[3.0] < 0.5 * found[0.0]


class SaysSame:
    """That all answers are as good."""

    def score(self, prompts, answers, lower_BLD, packed):
        return torch.ones(len(answers))


@pytest.mark.parametrize("algorithm", [rloo, grpo], ids=["rloo", "grpo"])
@pytest.mark.parametrize(
    ("scorer", "settings"), [(SaysSame(), {"skip_equal": True}), (SaysEven(), {"mask_cut": True})], ids=["same", "cut"]
)
def test_what_is_left_out_moves_nothing(tiny, algorithm, scorer, settings, tmp_path):
    """Answers of one token are cut, all but an answer that is nothing but its end."""
    rollout, rows = replace(ROLLOUT, max_tokens=1), []
    at_first = run(tiny, algorithm(1, rollout=rollout, learning_rate=1e-30), tmp_path / "first", scorer=scorer)
    moved = run(
        fresh_again(tiny), algorithm(2, rollout=rollout, **settings), tmp_path / "moved", rows.append, 0, scorer
    )
    assert all(row["finished_share"] == 0 for row in rows)
    assert all(torch.equal(at_first[name], moved[name]) for name in moved)


class SaysNaN(SaysEven):
    """As SaysEven, but one score is not a number once two iterations are among `rows`."""

    def __init__(self, rows):
        self.rows = rows

    def score(self, prompts, answers, lower_BLD, packed):
        scores = super().score(prompts, answers, lower_BLD, packed)
        return scores.index_fill(0, torch.tensor([len(scores) - 1]), float("nan")) if len(self.rows) == 2 else scores


@each
def test_one_score_that_is_not_a_number_stops_the_run_and_the_last_checkpoint_stays(
    tiny, tiny_folder, algorithm, tmp_path
):
    rows = []
    with pytest.raises(
        NotFiniteError, match=r"^Iteration 3 was not learned from\. The score of an answer to .* is nan"
    ):
        run(tiny, algorithm(5), tmp_path, rows.append, scorer=SaysNaN(rows))
    assert [row["step"] for row in rows] == [1, 2]
    assert all(p.isfinite().all() for p in tiny.trunk.adapter_parameters("policy").values())
    whole = run(fresh(tiny_folder), algorithm(5), tmp_path / "whole")
    resumed = run(fresh(tiny_folder), algorithm(5), tmp_path)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@each
@pytest.mark.parametrize("iterations", [1, 2, 4])
def test_a_learning_rate_that_breaks_the_policy_stops_the_run(tiny, algorithm, iterations, tmp_path):
    learner, config = algorithm(iterations, **({"critic_warmup": 0} if algorithm is ppo else {}))
    broken = replace(config, learning_rate=1e20)
    with pytest.raises(NotFiniteError, match=r"Iteration 1 was not learned from\. The norm of .* is inf"):
        run(tiny, (learner, broken), tmp_path)


def test_a_gradient_that_is_not_finite_is_not_followed(tiny, tmp_path, monkeypatch):
    infinite = [torch.full((16,), float("inf"))] * 2
    monkeypatch.setattr(Rloo, "advantages", lambda *_: (infinite, 1.0))
    with pytest.raises(NotFiniteError, match=r"The loss of the policy is (nan|inf|-inf)"):
        run(tiny, rloo(1), tmp_path)


@pytest.mark.parametrize("kept", [0, 5, 100, 2000])
def test_a_damaged_checkpoint_is_said(tiny, tmp_path, kept):
    run(tiny, rloo(1), tmp_path)
    path = tmp_path / "state.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(PlauditError, match=r"is damaged .* remove it to begin at the first iteration again"):
        run(fresh_again(tiny), rloo(2), tmp_path)


def test_what_the_sampler_says_is_what_the_trainer_computes(tiny):
    tiny.trunk.add_adapter("policy", tiny_settings(), seed=0)
    for parameter in tiny.trunk.adapter_parameters("policy").values():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5))
    config = RolloutConfig(prompts=4, answers=3, max_tokens=6, temperature=0.7)
    for rollout in collect(tiny, "policy", SaysEven(), PROMPTS, config, seed=0, iteration=0):
        computed, _ = answer_logprobs(tiny.trunk, "policy", rollout.lower_BLD, rollout.packed, 0.7)
        torch.testing.assert_close(rollout.sampled_AT, computed.detach(), rtol=1e-3, atol=1e-4)
        assert (rollout.reference_AT != rollout.sampled_AT).any()


@pytest.mark.parametrize(("dtype", "bound"), [("fp32", 1e-4), ("bf16", 0.5)])
@each
def test_the_gap_between_sampler_and_trainer_is_logged_and_small(tiny_folder, algorithm, dtype, bound, tmp_path):
    """Nats of a whole answer of 8 tokens; bf16 has three significant digits, and the logits here are large."""
    rows = []
    run(load(str(tiny_folder), dtype=dtype), algorithm(4), tmp_path, rows.append)
    learned = rows[1:] if algorithm is ppo else rows
    assert all(0 <= row["sampler_gap_nats"] < bound for row in learned)
    assert all(abs(row["sampler_bias_nats"]) <= row["sampler_gap_nats"] for row in learned)
    assert all((row["sampler_gap_nats"] > 0) for row in learned)


def test_another_sampler_than_the_trainer_is_seen(tiny, tmp_path, monkeypatch):
    from plaudit.train import rollouts

    drawn = rollouts.draw_answers

    def other(*given, **named):
        found = drawn(*given, **named)
        return [[replace(a, logprobs=tuple(p - 0.5 for p in a.logprobs)) for a in group] for group in found]

    monkeypatch.setattr(rollouts, "draw_answers", other)
    rows = []
    run(tiny, rloo(1), tmp_path, rows.append)
    assert rows[0]["sampler_bias_nats"] == pytest.approx(-0.5 * rows[0]["length_tokens"], abs=1e-3)


def test_an_answer_that_was_cut_pays_for_it(tiny):
    tiny.trunk.add_adapter("policy", tiny_settings(), seed=0)
    config = RolloutConfig(prompts=4, answers=6, max_tokens=60, temperature=5.0, unfinished_penalty=2.0)
    rollouts = collect(tiny, "policy", SaysEven(), PROMPTS, config, seed=0, iteration=0)
    for rollout in rollouts:
        paid = (rollout.raw_scores_A.clamp(-5, 5) - rollout.scores_A).tolist()
        cut = [a.stop_reason is StopReason.LENGTH for a in rollout.answers]
        assert paid == pytest.approx([2.0 if c else 0.0 for c in cut])


def test_every_prompt_comes_once_in_each_pass():
    prompts = [Prompt.from_text(str(i)) for i in range(10)]
    drawn = [p for iteration in range(5) for p in draw_prompts(prompts, 4, seed=1, iteration=iteration)]
    for start in (0, 10):
        assert sorted(p.id for p in drawn[start : start + 10]) == sorted(p.id for p in prompts)
    assert drawn[:10] != drawn[10:]


@pytest.mark.parametrize("module", LEARNERS)
def test_only_a_sampler_that_is_far_off_is_corrected(tiny_folder, module, tmp_path, monkeypatch):
    """By not a bit in fp32. Far off is a sampler whose merged weights are rounded to eighths."""
    algorithm, merge = LEARNERS[module], AdaptedLinear.merge

    def coarse(layer, name):
        return (merge(layer, name) * 8).round() / 8

    def train(merging, *weigh):
        with monkeypatch.context() as patch:
            patch.setattr(AdaptedLinear, "merge", merging)
            for instead in weigh:
                patch.setattr(f"plaudit.train.{module}.sampler_weights", instead)
            folder = tmp_path / f"{merging.__name__} {len(weigh)}"
            return run(fresh(tiny_folder), algorithm(2), folder)

    for merging in (merge, coarse):
        weighed, plain = train(merging), train(merging, lambda trained, _: torch.ones_like(trained))
        assert all(torch.equal(weighed[name], plain[name]) for name in weighed) == (merging is merge)
        assert all(tensor.isfinite().all() for tensor in weighed.values())
