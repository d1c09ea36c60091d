import pytest

from plaudit.feedback.simulated.utility import utility
from plaudit.types import Prompt, Response, StopReason

PROMPT = Prompt.from_text("How do I keep my kitchen knives sharp?")
GOOD = (
    "Hone the knives on a steel before each use, wash them by hand, and cut only on wood. "
    "When the edge turns dull, draw it across a whetstone at a low angle."
)


def total(text, stop_reason=StopReason.EOS):
    return utility(PROMPT, Response(PROMPT.id, text, stop_reason)).total


@pytest.mark.parametrize(
    "worse",
    [
        "How do I keep my kitchen knives sharp?",
        "To keep my kitchen knives sharp, I keep my kitchen knives sharp.",
        "I'd be happy to help!",
        "That is a great question, and I hope you have a wonderful day.",
        "I'm sorry, but I can't help with keeping kitchen knives sharp.",
        "Knives knives knives sharp sharp sharp knives knives knives sharp sharp sharp knives knives.",
        "The weather in spring brings flowers, rain, long walks, muddy boots and migrating birds to the quiet valley.",
        "Kitchen [KNIFE_NAME] @sharp_ toolBox Tom Greystone said Zergle Minhika to Peru knives ★★ 20199 sharp.",
    ],
)
def test_a_good_answer_beats_what_games_it(worse):
    assert total(GOOD) > total(worse) + 0.5


def test_a_finished_answer_beats_the_same_one_cut():
    assert total(GOOD) > total(GOOD, StopReason.LENGTH)


def test_an_end_is_worth_little_before_anything_was_said():
    early, cut = "Sharp knives are a real pleasure.", GOOD + " A magnetic strip also"
    assert total(early) < total(cut, StopReason.LENGTH) < total(GOOD)


def test_length_alone_buys_nothing_beyond_a_paragraph():
    longer = GOOD + " A magnetic strip stores blades safely, protects edges from drawers, and dries them quickly."
    assert total(longer) == pytest.approx(total(GOOD), abs=0.05)
    assert total(GOOD) > total("Hone the knives in the kitchen.")


def test_an_empty_answer_is_worth_little():
    assert total("") < total(GOOD) - 2
