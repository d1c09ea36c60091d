"""Sampling: what is stored with an answer, and who answers."""

from __future__ import annotations

import pytest

from plaudit.cli import main
from plaudit.errors import UsageError
from plaudit.feedback.exchange.checks import add_checks, checks_in
from plaudit.feedback.store import FeedbackStore
from plaudit.stages.sample import SampleConfig, add_hint, sample
from plaudit.types import Prompt, Split, TaskPurpose


def test_an_answer_says_where_it_comes_from(chain) -> None:
    with FeedbackStore.open(chain.workspace.database) as store:
        answers = store.responses(run_id=chain.sample.id)
    assert {(a.seed, a.run_id) for a in answers} == {(0, "sample-001")}
    assert all(a.sampling == {"max_tokens": 8, "temperature": 1.0, "hint": ""} and a.tokens for a in answers)
    assert chain.sample.read_json("responses.json") == sorted(a.id for a in answers)


def test_some_answers_are_drawn_with_a_hint_that_is_not_part_of_the_prompt(copied) -> None:
    run = sample(copied, SampleConfig(answers=3, max_tokens=8, hint="Be short.", hinted=1), seed=4)
    with FeedbackStore.open(copied.database) as store:
        answers = store.responses(run_id=run.id)
        assert all("Be short." not in prompt.question for prompt in store.prompts())
    by_hint = [sum(a.sampling["hint"] == hint for a in answers) for hint in ("", "Be short.")]
    assert by_hint[0] == pytest.approx(2 * by_hint[1], abs=2)  # the same text drawn twice is one answer
    assert add_hint(Prompt.from_text("Tea?"), "Be short.").question == "Tea? Be short."
    assert add_hint(Prompt.from_text("Tea?"), "") == Prompt.from_text("Tea?")


def test_checks_are_not_answered(copied, tmp_path) -> None:
    file = tmp_path / "gold.jsonl"
    file.write_text('{"prompt": "Gold?", "answers": ["Yes.", "No."]}\n')
    with FeedbackStore.open(copied.database) as store:
        before = {prompt.id for prompt in store.prompts()}
        add_checks(store, checks_in(str(file), TaskPurpose.GOLD, "Which?"))
        run = sample(copied, SampleConfig(answers=1, max_tokens=2), seed=4)
        assert {response.prompt_id for response in store.responses(run_id=run.id)} == before


@pytest.mark.parametrize("settings", [{"hint": "Be short."}, {"hinted": 1}, {"hint": "x", "hinted": 5}])
def test_a_hint_and_how_often_go_together(settings) -> None:
    with pytest.raises(ValueError, match="hint and hinted go together"):
        SampleConfig(**settings)


def test_a_policy_answers_otherwise_than_the_base(chain, copied) -> None:
    def texts(policy: str | None) -> list[str]:
        config = SampleConfig(answers=3, max_tokens=8, split="heldout", policy=policy)
        run = sample(copied, config, seed=4)
        assert run.inputs.get("policy", {}).get("id") == policy
        with FeedbackStore.open(copied.database) as store:
            held = {prompt.id for prompt in store.prompts(Split.HELDOUT)}
            answers = store.responses(run_id=run.id)
        assert {answer.prompt_id for answer in answers} == held
        return [answer.text for answer in answers]

    assert texts(None) == texts(None)
    assert texts(chain.align.id) != texts(None)


def test_only_a_run_with_a_policy_can_answer(chain) -> None:
    with pytest.raises(UsageError, match="reward-001 is no finished align or sft run"):
        sample(chain.workspace, SampleConfig(policy="reward-001"), seed=0)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["--split", "test"], "must be one of 'all', 'train', 'heldout', not 'test'"),
        (["--temperature", "0"], "temperature must be above 0"),
        (["--answers", "0"], "answers must be at least 1"),
        (["--source", "nobody"], "There are no prompts from nobody in"),
        (["--set", "top_k=5"], "Unknown key `top_k`"),
        (["--seed", "-1"], "Invalid value for '--seed'"),
        (["--seed", "3000000000"], "Invalid value for '--seed'"),
    ],
)
def test_a_wrong_wish_is_one_sentence_and_no_run(workspace, typed, sentence, capsys) -> None:
    assert main(["sample", "-w", str(workspace.path), *typed]) == 2
    assert sentence in capsys.readouterr().err
    assert workspace.runs() == []
