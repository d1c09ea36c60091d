"""Forms in which people, or their votes, say which answer is better (a record of each, after its published schema)."""

from __future__ import annotations

from plaudit.feedback.exchange.formats.comparison import Vote
from plaudit.types import Message, Role
from tests.feedback.exchange.formats.forms.form import FIRST, SECOND, TIE, TLDR, A, B, Form, Q, said, user

FORMS: dict[str, Form] = {
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
        tags={"topic": "askacademia_train", "split": "train"},
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
        (Vote(SECOND, "HNzkrs9geGu1YMMfZ5Qvdt0ZaCthfB", strength=3, reason="ok"),),
        messages=(Message(Role.USER, TLDR),),
        tags={"topic": "math", "split": "heldout"},
    ),
    "openai-preference": Form(
        {
            "input": {"messages": [user(Q)], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [said(A)],
            "non_preferred_output": [said(B)],
        },
        (Vote(FIRST),),
    ),
    "openai-preference-completion": Form(
        {
            "input": {"messages": [user(Q)], "tools": [], "parallel_tool_calls": True},
            "preferred_completion": [said(A)],
            "non_preferred_completion": [said(B)],
        },
        (Vote(FIRST),),
    ),
    "argilla-chatml": Form({"instruction": Q, "chosen_response": A, "rejected_response": B}, (Vote(FIRST),)),
    "argilla-chatml-prompt": Form({"prompt": Q, "chosen_response": A, "rejected_response": B}, (Vote(FIRST),)),
    "orca-accepted": Form(
        {"system": "You are terse.", "question": Q, "accepted": A, "rejected": B},
        (Vote(FIRST),),
        messages=(Message(Role.SYSTEM, "You are terse."), Message(Role.USER, Q)),
    ),
}  # fmt: skip
