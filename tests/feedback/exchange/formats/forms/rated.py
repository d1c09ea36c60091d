"""Forms whose answers a model judged, or that are rated (a record of each, written after its published schema)."""

from __future__ import annotations

from typing import Any

from plaudit.feedback.exchange.formats.comparison import Vote
from plaudit.types import Message, Role
from tests.feedback.exchange.formats.forms.form import FIRST, SECOND, TIE, A, B, Form, Q, attributes, said, user


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
    "helpsteer2": Form(
        {"rows": [helpsteer(A, 4, 4, 4, 0, 1), helpsteer(B, 0, 1, 3, 2, 4)]},
        (Vote(FIRST, ratings={0: attributes(5, 5, 5, 1, 2), 1: attributes(1, 2, 4, 3, 5)}),),
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
        (Vote(SECOND, "gpt-4-1106-preview", simulated=True, reason="The second is right."),),
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
    "distilabel": Form(
        {
            "instruction": Q,
            "generations": [A, B],
            "generation_models": ["small", "tiny"],
            "ratings": [4, 4],
            "rationales": ["Right.", "Off the question."],
            "model_name": "judge-model",
        },
        (Vote(TIE, "judge-model", simulated=True),),
    ),
    "helpsteer-aif": Form(
        {
            "rows": [
                {
                    **helpsteer(answer, *ratings),
                    "labelling_model": "gpt-4-1106-preview",
                    "labelling_prompt": [{"content": "Rate …", "role": "user"}],
                    "raw_labelling_response": "helpfulness: 4 …",
                }
                for answer, ratings in ((A, (4, 4, 4, 0, 1)), (B, (0, 1, 3, 2, 4)))
            ]
        },
        (
            Vote(
                FIRST,
                "gpt-4-1106-preview",
                simulated=True,
                ratings={0: attributes(5, 5, 5, 1, 2), 1: attributes(1, 2, 4, 3, 5)},
            ),
        ),
    ),
    "capybara": Form(
        {
            "source": "EverythingLM",
            "conversation": [{"input": "Hi.", "output": "Hello."}, {"input": Q, "output": A}],
            "original_response": A,
            "generation_prompt": ["…"],
            "raw_generation_responses": ["…"],
            "new_generations": [B],
            "prompt": f"Hi.\n\nHello.\n\n{Q}",
            "chosen": [user("Hi."), said("Hello."), user(Q), said(A)],
            "rejected": [user("Hi."), said("Hello."), user(Q), said(B)],
            "rating_chosen": 5,
            "rating_rejected": 2,
            "chosen_model": "original",
            "rejected_model": "argilla/notus-7b-v1",
        },
        (Vote(FIRST, simulated=True, ratings={0: {"overall": 5}, 1: {"overall": 2}}),),
        messages=(Message(Role.USER, "Hi."), Message(Role.ASSISTANT, "Hello."), Message(Role.USER, Q)),
        tags={"topic": "EverythingLM"},
    ),
    "argilla-math": Form(
        {
            "metadata": "{}",
            "instruction": Q,
            "chosen_response": A,
            "chosen_rating": 9.0,
            "rejected_response": B,
            "rejected_rating": 7.0,
        },
        (Vote(FIRST, simulated=True),),
    ),
    "reward-model-scores": Form(
        {
            "prompt_id": "f0e3",
            "prompt": Q,
            "all_generated_responses": [B, "Ten.", A],
            "all_rm_scores": [0.11, 0.11, 0.17],
            "chosen": [user(Q), said(A)],
            "rejected": [user(Q), said(B)],
        },
        (Vote(((2,), (0, 1)), simulated=True),),
        answers=(B, "Ten.", A),
    ),
    "dpo-mix": Form(
        {
            "dataset": "argilla/distilabel-intel-orca-dpo-pairs",
            "chosen": [user(Q), said(A)],
            "rejected": [user(Q), said(B)],
            "chosen_rating": 9.0,
            "rejected_rating": 9.0,
        },
        (Vote(TIE, simulated=True),),
        tags={"topic": "argilla/distilabel-intel-orca-dpo-pairs"},
    ),
}  # fmt: skip
