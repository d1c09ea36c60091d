"""The hidden utility of the simulated panel: what a patient reader would like about a short answer, from its text.

Nothing here is learned, and nothing of it is shown to the reward model or the policy: the panel's choices are all that
they see. A reader who knows these rules should agree with them, so an answer is better when it

- ends by itself instead of being cut off, once it has said something,
- stays on the question (uses its words, or words built on them),
- says something of its own (content words that the question did not have), up to a paragraph's worth,
- does not repeat itself, echo the question, or refuse a harmless request,
- is written plainly (no stray symbols, no template brackets, no names out of nowhere).

An echo has no content of its own and a stock sentence little: for neither is an end worth much, and neither can win.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plaudit.types import Prompt, Response, StopReason

if TYPE_CHECKING:
    from plaudit.feedback.store import FeedbackStore

FLIP_RATE = 0.25  # of the whole panel's pairwise choices, relative to the utility (AlpacaFarm, section 3)

# What each part is worth. Own content saturates, so that length alone buys nothing beyond a paragraph.
WEIGHTS = {
    "finished": 5.0,
    "on_question": 1.5,
    "own_content": 3.0,
    "repetition": -3.0,
    "echo": -4.0,
    "refusal": -2.5,
    "garble": -2.5,
}
ENOUGH_OVERLAP = 2  # content words shared with the question that put an answer on it
NATURAL_COPY = 0.3  # share of the question that an answer may take up word for word
SENTENCE = 8  # distinct content words of its own behind which an end counts in full: an early end is none
PARAGRAPH = 12  # distinct content words of its own that make an answer complete

STOPWORDS = frozenset(
    """
    a about above after again all also am an and any are as at be because been before being below between both but by
    can could did do does doing don down during each even every few for from further get give go had has have having
    he help her here hers him his how i if in into is it its just keep let like made make many may me might more most
    much must my need new no nor not now of off on once one only or other our out over own please same she should so
    some such tell than that the their them then there these they thing things this those through to too under until
    up us use used using very want was way ways we well were what when where which while who why will with without
    would you your
    """.split()  # noqa: SIM905 (a list of quoted words would hide it)
)
REFUSAL = re.compile(
    r"\b(i('m| am) (sorry|unable|not able)|i (can ?not|can't|won't)|as an ai|i apologi[sz]e|i('m| am) just an? )",
    re.IGNORECASE,
)
ODD = re.compile(
    r"[A-Za-z]*[a-z][A-Z]\w*|[^\x00-\x7f\u2018\u2019\u201c\u201d\u2013\u2014é°]|[\[\]{}<>@#_|\\^~=]"
    r"|\d{4,}|\w{17,}|https?:"
)
# A capitalised word that opens no sentence, list item or quotation.
NAME = re.compile(r"""(?<![.!?:"\u201c\n]\s)(?<![.!?:"\u201c\n*])(?<!^)\b[A-Z][a-z]+""")


@dataclass(frozen=True)
class Utility:
    """The parts of one answer's utility, each between 0 and 1."""

    finished: float
    on_question: float
    own_content: float
    repetition: float
    echo: float
    refusal: float
    garble: float

    @property
    def total(self) -> float:
        return sum(weight * getattr(self, part) for part, weight in WEIGHTS.items())


def count(pattern: re.Pattern[str], text: str) -> int:
    return len(pattern.findall(text))


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower().replace("’", "'"))


def stems(text: str) -> set[str]:
    """Content words cut to five letters: crude, and enough to know `sharpen` and `sharpening` for one word."""
    return {w[:5] for w in words(text) if w not in STOPWORDS and len(w) > 2}


def utility(prompt: Prompt, response: Response) -> Utility:
    """What the panel would, but for noise, like about `response`."""
    question_stems, answer_stems = stems(prompt.question), stems(response.text)
    spoken = words(response.text)
    return Utility(
        finished=(response.stop_reason is StopReason.EOS) * min(1.0, len(answer_stems - question_stems) / SENTENCE),
        on_question=min(1.0, len(question_stems & answer_stems) / max(1, min(len(question_stems), ENOUGH_OVERLAP))),
        own_content=min(1.0, len(answer_stems - question_stems) / PARAGRAPH),
        repetition=min(1.0, 3 * repeated_share(spoken)),
        echo=max(0.0, copied_share(words(prompt.question), spoken) - NATURAL_COPY) / (1 - NATURAL_COPY),
        refusal=float(bool(REFUSAL.search(response.text))),
        garble=min(1.0, (8 * count(ODD, response.text) + 4 * count(NAME, response.text)) / max(8, len(spoken))),
    )


def repeated_share(spoken: list[str], n: int = 3) -> float:
    """Share of an answer's word trigrams that it has already said."""
    grams = list(zip(*(spoken[i:] for i in range(n)), strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def copied_share(question_stems: list[str], spoken: list[str]) -> float:
    """Share of the question that its longest run of words copied by the answer makes up."""
    best, previous = 0, [0] * (len(spoken) + 1)
    for word in question_stems:
        current = [0] * (len(spoken) + 1)
        for j, other in enumerate(spoken, start=1):
            if word == other:
                current[j] = previous[j - 1] + 1
                best = max(best, current[j])
        previous = current
    return best / max(1, len(question_stems))


def utilities(store: FeedbackStore, answers: Sequence[Response]) -> dict[str, float]:
    """Response id -> the hidden utility that the panel shares. Known for simulated panels only."""
    prompts = {prompt.id: prompt for prompt in store.prompts(prompt_ids={answer.prompt_id for answer in answers})}
    return {answer.id: utility(prompts[answer.prompt_id], answer).total for answer in answers}


def is_member(annotator_id: str) -> bool:
    """Whether the annotator sits on a panel of ours, so that the utility behind the judgement is known."""
    return annotator_id.startswith("simulated-")
