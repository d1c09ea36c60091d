"""Forms in which two answers, or two conversations, compete (a record of each, written after its published schema)."""

from __future__ import annotations

from datetime import UTC, datetime

from plaudit.feedback.exchange.formats.comparison import Vote
from tests.feedback.exchange.formats.forms.form import FIRST, SECOND, TIE, A, B, Form, Q, in_parts, said, user

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

FORMS: dict[str, Form] = {
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
    "search-arena": Form(
        {
            "question_id": "0a1b",
            "model_a": "sonar-pro",
            "model_b": "gemini-2.5-pro-grounding",
            "winner": "model_b",
            "judge": "user_17",
            "turn": 1,
            "messages_a": [user(Q), said(A)],
            "messages_b": [user(Q), said(B)],
            "system_a_metadata": {"web_search_config": {"search_engine": "x"}, "web_search_trace": [["1", "…"]]},
            "system_b_metadata": {"web_search_config": {"search_engine": "x"}, "web_search_trace": [["1", "…"]]},
            "conv_metadata": {"num_citations_a": 1, "num_citations_b": 2},
            "timestamp": "2025-04-01 10:00:00",
            "languages": ["English"],
            "english": True,
            "primary_intent": "Factual Lookup",
        },
        (Vote(SECOND, "user_17", shown=(0, 1), at=datetime(2025, 4, 1, 10, tzinfo=UTC)),),
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
    "alpaca-eval-model": Form(
        {
            "instruction": Q,
            "output_1": A,
            "output_2": B,
            "preference": 1.0002,
            "annotator": "weighted_alpaca_eval_gpt4_turbo",
            "dataset": "koala",
        },
        (Vote(FIRST, "weighted_alpaca_eval_gpt4_turbo", simulated=True),),
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
}  # fmt: skip
