"""One record of every declared form, written after its published schema, with all that it says.

The texts are made up; the columns, their types and the odd values are those of the data sets.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from plaudit.feedback.exchange.exports import export_judgements
from plaudit.feedback.exchange.formats import FORMATS, SIMPLE, recognise
from plaudit.feedback.exchange.formats.comparison import Comparison, UnusableError, Vote
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.store import FeedbackStore
from plaudit.types import DEFAULT_QUESTION, Message, Role

A, B = "Eleven is prime.", "Twelve is prime."
Q = "Name a prime above ten."
FIRST, SECOND, TIE, ALONE = ((0,), (1,)), ((1,), (0,)), ((0, 1),), ((0,),)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def in_parts(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text, "image": None, "mimeType": None}]}


@dataclass(frozen=True)
class Form:
    record: Any
    votes: tuple[Vote, ...]
    answers: tuple[str, ...] = (A, B)
    messages: tuple[Message, ...] = (Message(Role.USER, Q),)
    tags: dict[str, str] = field(default_factory=dict)
    question: str = DEFAULT_QUESTION
    further: tuple[tuple[str, tuple[Vote, ...]], ...] = ()  # what is asked beside that


def rated_by_gpt4(response: str, *ratings: str) -> dict[str, Any]:
    helpful, honest, following, true = ratings
    return {
        "model": "alpaca-7b",
        "principle": "helpfulness",
        "custom_system_prompt": "As an AI assistant, be helpful.",
        "response": response,
        "annotations": {
            "helpfulness": {"Rating": helpful, "Rationale": "…", "Type": ["1"], "Rationale For Rating": "…"},
            "honesty": {"Rating": honest, "Rationale": "…"},
            "instruction_following": {"Rating": following, "Rationale": "…"},
            "truthfulness": {"Rating": true, "Rationale": "…", "Type": ["None"], "Rationale For Rating": "…"},
        },
        "overall_score": 7.0,
        "critique": "Good.",
        "fine-grained_score": sum(int(rating) for rating in ratings if rating.isdecimal()) / 4,
    }


def helpsteer(response: str, *ratings: int) -> dict[str, Any]:
    names = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
    return {"prompt": Q, "response": response, **dict(zip(names, ratings, strict=True))}


def attributes(*ratings: int) -> dict[str, int]:
    names = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
    return dict(zip(names, ratings, strict=True))


ARENA = {
    "question_id": "58210e39",
    "model_a": "llama-13b",
    "model_b": "koala-13b",
    "judge": "arena_user_973",
    "conversation_a": [user(Q), said(A)],
    "conversation_b": [user(Q), said(B)],
    "turn": 1,
    "anony": True,
    "language": "English",
    "tstamp": 1682351591.1322,
    "openai_moderation": {"flagged": False},
    "toxic_chat_tag": {"roberta-large": {"flagged": False, "probability": 0.02}},
}
ARENA_TIME = datetime.fromtimestamp(1682351591.1322, UTC)
TLDR = "\n\n".join(["Is eleven prime?", "I ask for a friend.", "TL;DR:"])

FORMS: dict[str, Form] = {
    "ultrafeedback": Form(
        {
            "source": "evol_instruct",
            "instruction": Q,
            "models": ["alpaca-7b", "pythia-12b"],
            "completions": [rated_by_gpt4(A, "5", "4", "5", "5"), rated_by_gpt4(B, "1", "2", "2", "1")],
            "correct_answers": ["None"],
            "incorrect_answers": ["None"],
        },
        (
            Vote(
                FIRST,
                simulated=True,
                ratings={
                    0: {"helpfulness": 5, "honesty": 4, "instruction_following": 5, "truthfulness": 5},
                    1: {"helpfulness": 1, "honesty": 2, "instruction_following": 2, "truthfulness": 1},
                },
            ),
        ),
        tags={"topic": "evol_instruct"},
    ),
    "ultrafeedback-overall": Form(
        {
            "source": "sharegpt",
            "instruction": Q,
            "models": ["alpaca-7b", "pythia-12b"],
            "completions": [
                {key: value for key, value in rated.items() if key != "fine-grained_score"}
                for rated in (rated_by_gpt4(A, "5", "N/A", "5", "5"), rated_by_gpt4(B, "1", "2", "2", "1"))
            ],
            "correct_answers": ["None"],
            "incorrect_answers": ["None"],
        },
        (
            Vote(
                TIE,
                simulated=True,
                ratings={
                    0: {"helpfulness": 5, "instruction_following": 5, "truthfulness": 5},
                    1: {"helpfulness": 1, "honesty": 2, "instruction_following": 2, "truthfulness": 1},
                },
            ),
        ),
        tags={"topic": "sharegpt"},
    ),
    "ultrafeedback-ratings": Form(
        {
            "source": "sharegpt",
            "instruction": Q,
            "models": ["alpaca-7b", "pythia-12b"],
            "completions": [
                {key: value for key, value in rated.items() if not key.endswith("score")}
                for rated in (rated_by_gpt4(A, "1", "2", "1", "1"), rated_by_gpt4(B, "5", "4", "5", "5"))
            ],
        },
        (
            Vote(
                SECOND,
                simulated=True,
                ratings={
                    0: {"helpfulness": 1, "honesty": 2, "instruction_following": 1, "truthfulness": 1},
                    1: {"helpfulness": 5, "honesty": 4, "instruction_following": 5, "truthfulness": 5},
                },
            ),
        ),
        tags={"topic": "sharegpt"},
    ),
    "ultrafeedback-binarized": Form(
        {
            "prompt": Q,
            "prompt_id": "f0e37e9f7800261167ce91143f98f511f768847236f133f2d0aed60b444ebe57",
            "chosen": [user(Q), said(A)],
            "rejected": [user(Q), said(B)],
            "messages": [user(Q), said(A)],
            "score_chosen": 8.5,
            "score_rejected": 3.0,
        },
        (Vote(FIRST, simulated=True),),
    ),
    "helpsteer2": Form(
        {"rows": [helpsteer(A, 4, 4, 4, 0, 1), helpsteer(B, 0, 1, 3, 2, 4)]},
        (Vote(FIRST, ratings={0: attributes(5, 5, 5, 1, 2), 1: attributes(1, 2, 4, 3, 5)}),),
    ),
    "helpsteer2-preference": Form(
        {
            "split": "train",
            "prompt": Q,
            "response_1": A,
            "response_2": B,
            "preference_strength": -2,
            "preference_statement": "Response 1 is better.",
            "preference_elaboration": "Twelve is even.",
            "three_most_similar_preferences": [
                {"statement": "Response 1 is better.", "elaboration": "…", "strength": -3},
            ],
            "all_preferences_unprocessed": [
                {"strength": -3, "justification": "@Response 1 is much better. It is right."},
                {"strength": 1, "justification": "@Response 2 is nicer."},
                {"strength": 0, "justification": "Alike."},
                {"strength": -100, "justification": "Neither is valid."},
            ],
        },
        (
            Vote(FIRST, strength=3, reason="@Response 1 is much better. It is right."),
            Vote(SECOND, strength=1, reason="@Response 2 is nicer."),
            Vote(TIE, reason="Alike."),
            Vote(TIE, all_bad=True, reason="Neither is valid."),
        ),
        tags={"split": "train"},
    ),
    "helpsteer2-preference-overall": Form(
        {
            "split": "validation",
            "prompt": Q,
            "response_1": A,
            "response_2": B,
            "preference_strength": 2,
            "preference_statement": "Response 2 is better.",
            "preference_elaboration": "It is longer.",
        },
        (Vote(SECOND, strength=2, reason="Response 2 is better.\n\nIt is longer."),),
        tags={"split": "heldout"},
    ),
    "helpsteer3": Form(
        {
            "domain": "stem",
            "language": "english",
            "context": [user("Hi."), said("Hello."), user(Q)],
            "response1": A,
            "response2": B,
            "overall_preference": -2,
            "individual_preference": [
                {"score": -3, "reasoning": "Eleven is right.", "feedback1": "Good.", "feedback2": "Wrong."},
                {"score": -1, "reasoning": "A bit better.", "feedback1": "Good.", "feedback2": "Wrong."},
            ],
        },
        (Vote(FIRST, strength=3, reason="Eleven is right."), Vote(FIRST, strength=1, reason="A bit better.")),
        messages=(Message(Role.USER, "Hi."), Message(Role.ASSISTANT, "Hello."), Message(Role.USER, Q)),
        tags={"topic": "stem", "language": "english"},
    ),
    "helpsteer3-overall": Form(
        {
            "domain": "general",
            "language": "english",
            "context": [user(Q)],
            "response1": A,
            "response2": B,
            "overall_preference": 0,
        },
        (Vote(TIE),),
        tags={"topic": "general", "language": "english"},
    ),
    "nectar": Form(
        {
            "prompt": f"\n\nHuman: {Q}\n\nAssistant: ",
            "answers": [
                {"answer": A, "model": "gpt-4", "rank": 1.0},
                {"answer": B, "model": "llama-2-7b-chat", "rank": 2.0},
                {"answer": "Ten.", "model": "mistral-7b-instruct-v0.1", "rank": 3.0},
            ],
            "turns": 1,
            "num_responses": 7,
            "source": ["sharegpt"],
            "good_natured": True,
        },
        (Vote(((0,), (1,), (2,)), simulated=True),),
        answers=(A, B, "Ten."),
    ),
    "arena-140k": Form(
        {
            "id": "0199a1c2",
            "model_a": "gemini-2.5-pro",
            "model_b": "qwen3-235b-a22b",
            "winner": "both_bad",
            "evaluation_session_id": "5b9a7c10",
            "evaluation_order": 1,
            "conversation_a": [in_parts("user", Q), in_parts("assistant", A)],
            "conversation_b": [in_parts("user", Q), in_parts("assistant", B)],
            "full_conversation": [{"user": in_parts("user", Q), "model_side_a": in_parts("assistant", A)}],
            "language": "en",
            "timestamp": "2025-05-01 12:00:00",
            "is_code": False,
        },
        (Vote(TIE, shown=(0, 1), all_bad=True, at=datetime(2025, 5, 1, 12, tzinfo=UTC)),),
        tags={"language": "en"},
    ),
    "chatbot-arena": Form(
        {**ARENA, "winner": "tie (bothbad)"},
        (Vote(TIE, "arena_user_973", shown=(0, 1), all_bad=True, at=ARENA_TIME),),
        tags={"language": "English"},
    ),
    "lmsys-55k": Form(
        {
            "id": 30192,
            "model_a": "gpt-4-1106-preview",
            "model_b": "gpt-4-0613",
            "prompt": f'["{Q}"]',
            "response_a": f'["{A}"]',
            "response_b": f'["{B}"]',
            "winner_model_a": 0,
            "winner_model_b": 1,
            "winner_tie": 0,
        },
        (Vote(SECOND, shown=(0, 1)),),
    ),
    "pku-saferlhf": Form(
        {
            "prompt": Q,
            "response_0": A,
            "response_1": B,
            "prompt_source": "Alpaca3-70B",
            "response_0_source": "Alpaca3-8B",
            "response_1_source": "WizardLM-30B-Uncensored",
            "is_response_0_safe": False,
            "is_response_1_safe": True,
            "response_0_harm_category": {"Violence": True, "Copyright Issues": False},
            "response_1_harm_category": {"Violence": False, "Copyright Issues": False},
            "response_0_severity_level": 2,
            "response_1_severity_level": 0,
            "better_response_id": 0,
            "safer_response_id": 1,
            "response_0_sha256": "64eb4b97",
            "response_1_sha256": "1e1bcf9c",
        },
        (Vote(FIRST, flags={0: ("Violence",)}),),
        tags={"topic": "Alpaca3-70B"},
        further=(("Which answer is safer?", (Vote(SECOND, flags={0: ("Violence",)}),)),),
    ),
    "pku-saferlhf-single": Form(
        {"prompt": Q, "response_0": A, "response_1": B, "better_response_id": 1}, (Vote(SECOND),)
    ),
    "webgpt": Form(
        {
            "question": {"dataset": "eli5", "id": "3ts3v4", "full_text": Q},
            "quotes_0": {"title": ["Prime (wiki)"], "extract": ["A prime is …"]},
            "answer_0": A,
            "tokens_0": {"prefix": [1], "completion": [2]},
            "score_0": 0.0,
            "quotes_1": {"title": [], "extract": []},
            "answer_1": B,
            "tokens_1": {"prefix": [1], "completion": [2]},
            "score_1": 0.0,
        },
        (Vote(TIE),),
        tags={"topic": "eli5"},
    ),
    "shp": Form(
        {
            "post_id": "himc90",
            "domain": "askacademia_train",
            "upvote_ratio": 0.98,
            "history": Q,
            "c_root_id_A": "fwhnqao",
            "c_root_id_B": "fwhpi5o",
            "created_at_utc_A": 1593401460,
            "created_at_utc_B": 1593402415,
            "score_A": 20,
            "score_B": 54,
            "human_ref_A": A,
            "human_ref_B": B,
            "labels": 0,
            "seconds_difference": 955.0,
            "score_ratio": 2.7,
        },
        (Vote(SECOND),),
        tags={"topic": "askacademia_train"},
    ),
    "stack-exchange": Form(
        {
            "qid": 4,
            "question": Q,
            "answers": [
                {"answer_id": 7, "author": "x", "author_id": 13, "pm_score": 5, "selected": True, "text": A},
                {"answer_id": 9, "author": "y", "author_id": 14, "pm_score": 2, "selected": False, "text": B},
                {"answer_id": 11, "author": "z", "author_id": 15, "pm_score": 2, "selected": False, "text": "Ten."},
            ],
            "date": "2012/12/06",
            "metadata": ["https://math.stackexchange.com/questions/4"],
        },
        (Vote(((0,), (1, 2))),),
        answers=(A, B, "Ten."),
    ),
    "stack-exchange-paired": Form(
        {
            "qid": 4,
            "question": Q,
            "date": "2012/12/06",
            "metadata": ["https://math.stackexchange.com/questions/4"],
            "response_j": A,
            "response_k": B,
        },
        (Vote(FIRST),),
    ),
    "summarize-comparisons": Form(
        {
            "info": {"id": "t3_34xale", "post": "I ask for a friend.", "title": "Is eleven prime?",
                     "subreddit": "math", "site": None, "article": None},
            "summaries": [{"text": A, "policy": "sup1", "note": "ok"}, {"text": B, "policy": "ppo_xl", "note": None}],
            "choice": 1,
            "worker": "HNzkrs9geGu1YMMfZ5Qvdt0ZaCthfB",
            "batch": "batch3",
            "split": "valid1",
            "extra": {"confidence": 8},
        },
        (Vote(SECOND, "HNzkrs9geGu1YMMfZ5Qvdt0ZaCthfB", strength=3),),
        messages=(Message(Role.USER, TLDR),),
        tags={"topic": "math"},
    ),
    "summarize-axes": Form(
        {
            "info": {"id": "t3_34xale", "post": "I ask for a friend.", "title": "Is eleven prime?",
                     "subreddit": "math", "site": None, "article": None},
            "summary": {
                "text": A,
                "policy": "sup4",
                "note": "Fine.",
                "axes": {"overall": 6, "accuracy": 7, "coverage": 5, "coherence": 7, "compatible": None},
            },
            "worker": "w1",
            "batch": "batch3",
            "split": "test",
        },
        (
            Vote(
                ALONE,
                "w1",
                ratings={0: {"overall": 6, "accuracy": 7, "coverage": 5, "coherence": 7}},
                reason="Fine.",
            ),
        ),
        answers=(A,),
        messages=(Message(Role.USER, TLDR),),
        tags={"split": "heldout"},
    ),
    "alpaca-eval-model": Form(
        {
            "instruction": Q,
            "output_1": A,
            "output_2": B,
            "preference": 1.0002,
            "annotator": "weighted_alpaca_eval_gpt4_turbo",
            "dataset": "koala",
        },
        (Vote(FIRST, simulated=True),),
        tags={"topic": "koala"},
    ),
    "alpaca-eval": Form(
        {
            "instruction": Q,
            "input": "",
            "output_1": A,
            "output_2": B,
            "preference": 2,
            "annotator_index": 14,
            "dataset": "koala",
            "datasplit": "eval",
            "time_per_example": 36.0,
            "price_per_example": 0.27,
        },
        (Vote(SECOND, "14"),),
        tags={"topic": "koala"},
    ),
    "openai-preference": Form(
        {
            "input": {"messages": [user(Q)], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [said(A)],
            "non_preferred_output": [said(B)],
        },
        (Vote(FIRST),),
    ),
    "kto": Form({"prompt": [user(Q)], "completion": [said(A)], "label": False}, (Vote(ALONE, all_bad=True),), (A,)),
    "kto-messages": Form(
        {"messages": [user(Q), said(A)], "kto_tag": True}, (Vote(ALONE),), (A,)
    ),
    "kto-messages-label": Form({"messages": [user(Q), said(A)], "label": True}, (Vote(ALONE),), (A,)),
    "kto-question": Form({"question": Q, "completion": A, "label": True}, (Vote(ALONE),), (A,)),
    "kto-instruction": Form({"instruction": Q, "completion": A, "label": False}, (Vote(ALONE, all_bad=True),), (A,)),
    "argilla-ultrafeedback": Form(
        {
            "source": "sharegpt",
            "prompt": Q,
            "chosen": [user(Q), said(A)],
            "chosen-rating": 5.0,
            "chosen-model": "gpt-4",
            "rejected": [user(Q), said(B)],
            "rejected-rating": 3.0,
            "rejected-model": "alpaca-7b",
        },
        (Vote(FIRST, simulated=True),),
    ),
    "kto-sharegpt": Form(
        {"conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": A}], "kto_tag": False},
        (Vote(ALONE, all_bad=True),),
        (A,),
    ),
    "kto-alpaca": Form(
        {"instruction": "Name a prime", "input": "above ten.", "output": A, "kto_tag": True},
        (Vote(ALONE),),
        (A,),
        messages=(Message(Role.USER, "Name a prime\n\nabove ten."),),
    ),
    "orca-distilabel": Form(
        {
            "system": "You are terse.",
            "input": Q,
            "chosen": A,
            "rejected": B,
            "generations": [B, A],
            "order": ["rejected", "chosen"],
            "labelling_model": "gpt-4-1106-preview",
            "labelling_prompt": [user("Rate …")],
            "raw_labelling_response": "2 9",
            "rating": [2.0, 9.0],
            "rationale": "The second is right.",
            "status": "swapped",
            "original_chosen": B,
            "original_rejected": A,
            "chosen_score": 9.0,
            "in_gsm8k_train": False,
        },
        (Vote(SECOND, simulated=True, reason="The second is right."),),
        answers=(B, A),
        messages=(Message(Role.SYSTEM, "You are terse."), Message(Role.USER, Q)),
    ),
    "prometheus": Form(
        {
            "instruction": "###Task Description: …",
            "output": "Feedback: … [RESULT] B",
            "orig_instruction": Q,
            "orig_response_A": A,
            "orig_response_B": B,
            "orig_preference": "B",
            "orig_criteria": "Is it right?",
            "orig_score_A": "1",
            "orig_score_B": "5",
            "orig_feedback": "B is right.",
        },
        (Vote(SECOND, simulated=True, reason="B is right."),),
    ),
    "beavertails": Form(
        {"prompt": Q, "response": A, "category": {"animal_abuse": False, "violence": True}, "is_safe": False},
        (Vote(ALONE, all_bad=True, flags={0: ("violence",)}),),
        answers=(A,),
        question="Is the answer safe?",
    ),
    "dices": Form(
        {
            "rater_id": "296736430812277",
            "rater_gender": "Woman",
            "rater_race": "Asian",
            "rater_age": "gen z",
            "phase": "Phase2",
            "item_id": "12",
            "context": Q,
            "response": A,
            "degree_of_harm": "Benign",
            "Q_overall": "Unsure",
        },
        (Vote((), "296736430812277"),),
        answers=(A,),
        question="Is the answer safe?",
    ),
    "distilabel": Form(
        {
            "instruction": Q,
            "generations": [A, B],
            "generation_models": ["small", "tiny"],
            "ratings": [4, 4],
            "rationales": ["Right.", "Off the question."],
            "model_name": "judge-model",
        },
        (Vote(TIE, simulated=True),),
    ),
    "argilla-chatml": Form({"instruction": Q, "chosen_response": A, "rejected_response": B}, (Vote(FIRST),)),
    "orca-accepted": Form(
        {"system": "You are terse.", "question": Q, "accepted": A, "rejected": B},
        (Vote(FIRST),),
        messages=(Message(Role.SYSTEM, "You are terse."), Message(Role.USER, Q)),
    ),
}  # fmt: skip


def test_every_declared_form_has_a_record() -> None:
    assert FORMS.keys() == SIMPLE.keys()


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_known_by_its_columns_and_read_whole(name: str) -> None:
    form = FORMS[name]
    raw = form.record["rows"][0] if "rows" in form.record else form.record
    assert recognise(raw) is FORMATS[name]
    found = FORMATS[name].said(form.record)
    assert [item for item in found if isinstance(item, UnusableError)] == []
    main, *further = [item for item in found if isinstance(item, Comparison)]
    assert (main.messages, main.answers, main.tags) == (form.messages, form.answers, form.tags)
    assert (main.question, main.votes, main.lost) == (form.question, form.votes, ())
    assert tuple((item.question, item.votes) for item in further) == form.further


def test_the_judged_turn_of_a_longer_conversation_is_taken() -> None:
    """MT-bench says which of two turns was judged, in conversations that hold both."""
    later = [user("And above twenty?"), said("Twenty-three.")]
    record = {
        "question_id": 81, "model_a": "alpaca-13b", "model_b": "gpt-3.5-turbo", "winner": "model_b",
        "judge": "author_2",
        "conversation_a": [*ARENA["conversation_a"], *later], "conversation_b": [*ARENA["conversation_b"], *later],
        "turn": 1,
    }  # fmt: skip
    [found] = FORMATS["chatbot-arena"].said(record)
    assert isinstance(found, Comparison)
    assert (found.messages, found.answers) == ((Message(Role.USER, Q),), (A, B))
    assert found.votes == (Vote(SECOND, "author_2", shown=(0, 1)),)
    [second] = FORMATS["chatbot-arena"].said(record | {"turn": 2})
    assert str(second) == "the conversations differ before the last answer"


def test_a_later_turn_of_a_later_arena_is_left_out() -> None:
    """The turns before it had other models: what the person saw is not in the two conversations."""
    [left_out] = FORMATS["arena-140k"].said(FORMS["arena-140k"].record | {"evaluation_order": 2})
    assert str(left_out) == "evaluation_order is 2, not 1"


def test_what_a_model_could_not_rate_or_answer_is_left_out_not_malformed() -> None:
    [unrated] = FORMATS["orca-distilabel"].said(FORMS["orca-distilabel"].record | {"rating": None})
    assert isinstance(unrated, Comparison)
    assert (unrated.votes, unrated.lost) == ((), ('nothing is said in "rating.*"',))
    [empty] = FORMATS["ultrafeedback"].said(FORMS["ultrafeedback"].record | {"completions": []})
    assert str(empty) == "it has no answers"


def test_half_of_a_character_in_a_list_that_is_text_stops_nothing() -> None:
    record = FORMS["lmsys-55k"].record | {"response_a": '["\\ud83d"]'}
    [found] = FORMATS["lmsys-55k"].said(record)
    for answer in found.answers if isinstance(found, Comparison) else ():
        answer.encode()


def test_every_form_goes_round_through_our_own(tmp_path: Path) -> None:
    """What came in by a form goes out as judgements, and comes back as the same judgements."""
    for name, form in FORMS.items():
        raw = form.record.get("rows", [form.record])
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in raw))
        out = tmp_path / f"{name}-out.jsonl"
        with FeedbackStore.open("sqlite://") as store, FeedbackStore.open("sqlite://") as other:
            summary = import_preferences(store, str(tmp_path / f"{name}.jsonl"), name="data")
            assert summary.skipped == {}
            export_judgements(store, out)
            import_preferences(other, str(out))
            assert other.judgements() == store.judgements(), name
            assert other.prompts() == store.prompts()
            assert [prompt.tags for prompt in other.prompts()] == [prompt.tags for prompt in store.prompts()]
            assert {task.id for task in other.tasks()} == {task.id for task in store.tasks()}
            assert other.verify() == []


def test_a_preference_between_one_and_two_is_a_side() -> None:
    record = FORMS["alpaca-eval"].record
    for value, tiers in ((1, FIRST), (1.0002, FIRST), (1.5, TIE), (0, TIE), (1.998, SECOND), ("2", SECOND)):
        [found] = FORMATS["alpaca-eval"].said(record | {"preference": value})
        assert isinstance(found, Comparison)
        assert [(vote.tiers, vote.strength) for vote in found.votes] == [(tiers, None)]
