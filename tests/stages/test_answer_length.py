"""How long answers may be comes from those that people preferred, and what is cut is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plaudit.feedback.aggregate import Selection
from plaudit.feedback.store import FeedbackStore
from plaudit.models.catalog import load
from plaudit.stages.align import align, align_config
from plaudit.stages.answer_length import WITHOUT_ANY, limit_for, preferred_lengths, say_what_was_cut
from plaudit.types import Annotator, Judgement, Prompt, Ranking, Response, Split, Task
from plaudit.workspace import Workspace


def test_the_limit_lets_nearly_all_preferred_answers_end() -> None:
    assert limit_for(range(1, 101)) == 96  # 95 of them, in whole steps of 8
    assert limit_for([40, 41]) == 48
    assert limit_for([]) == WITHOUT_ANY


def test_only_preferred_answers_count(tiny_folder: Path) -> None:
    model = load(str(tiny_folder))
    with FeedbackStore.open("sqlite://") as store:
        prompt = Prompt.from_text("Why?")
        answers = [Response(prompt.id, text) for text in ("a" * 3, "b" * 200)]
        store.add_prompts([prompt])
        store.add_responses(answers)
        task = Task(prompt.id, tuple(answer.id for answer in answers))
        store.add_tasks([task])
        store.add_annotators([Annotator("ana")])
        assert preferred_lengths(store, Selection(), model) == []
        store.submit(Judgement("j", task.id, "ana", Ranking(tuple((answer.id,) for answer in answers))))
        [length] = preferred_lengths(store, Selection(), model)
        assert length == len(model.tokenizer("aaa", add_special_tokens=False)["input_ids"]) + 1
        assert preferred_lengths(store, Selection(question="Which is safer?"), model) == []


def test_align_keeps_the_limit_that_it_found(
    copied: Workspace, quick_training: Any, capsys: pytest.CaptureFixture, tiny_folder: Path
) -> None:
    settings = quick_training(iterations=1)
    del settings["training"]["rollout"]["max_tokens"]
    run = align(copied, align_config(settings), seed=0, model=load(str(tiny_folder)))
    limit = run.config["training"]["rollout"]["max_tokens"]
    with FeedbackStore.open(copied.database) as store:
        lengths = preferred_lengths(store, Selection(Split.TRAIN), load(str(tiny_folder)))
    assert limit == limit_for(lengths) >= 8
    assert f"Answers may be up to {limit} tokens long, as 95% of the preferred ones are" in capsys.readouterr().err
    assert copied.run(run.id).config == run.config


def test_what_is_cut_is_said(capsys: pytest.CaptureFixture) -> None:
    say_what_was_cut(0.95, 48)
    assert capsys.readouterr().err == ""
    say_what_was_cut(0.6, 48)
    assert "40% of the last answers were cut at 48 tokens" in capsys.readouterr().err
