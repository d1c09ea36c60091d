"""Forms in which one answer is judged by itself (a record of each, written after its published schema)."""

from __future__ import annotations

from plaudit.feedback.exchange.formats.comparison import Vote
from plaudit.types import Message, Role
from tests.feedback.exchange.formats.forms.form import ALONE, TLDR, A, Form, Q, attributes, said, user

FORMS: dict[str, Form] = {
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
    "helpsteer2-disagreements": Form(
        {
            "prompt": Q,
            "response": A,
            "helpfulness": [3, 3, 4],
            "correctness": [3, 4, 4],
            "coherence": [4, 3, 4],
            "complexity": [2, 2, 2],
            "verbosity": [2, 1, 1],
        },
        (
            Vote(ALONE, ratings={0: attributes(4, 4, 5, 3, 3)}),
            Vote(ALONE, ratings={0: attributes(4, 5, 4, 3, 2)}),
            Vote(ALONE, ratings={0: attributes(5, 5, 5, 3, 2)}),
        ),
        (A,),
    ),
    "kto": Form({"prompt": [user(Q)], "completion": [said(A)], "label": False}, (Vote(ALONE, all_bad=True),), (A,)),
    "kto-messages": Form(
        {"messages": [user(Q), said(A)], "kto_tag": True}, (Vote(ALONE),), (A,)
    ),
    "kto-messages-label": Form({"messages": [user(Q), said(A)], "label": True}, (Vote(ALONE),), (A,)),
    "kto-question": Form({"question": Q, "completion": A, "label": True}, (Vote(ALONE),), (A,)),
    "kto-instruction": Form({"instruction": Q, "completion": A, "label": False}, (Vote(ALONE, all_bad=True),), (A,)),
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
}  # fmt: skip
