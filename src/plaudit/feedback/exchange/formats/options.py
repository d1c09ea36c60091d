"""What the words of an option say about the answers: "Response B is much better", "tie", "both are bad", "left".

An option names one answer, by its field's name or by its number, letter or side; or it says that the answers are as
good as each other; or that nobody can say. `None` is for all other words: they choose nothing.

A number by itself names the answer that has it, and none if it has a sign or a fraction. Where the answers have no
numbers it may count them from 0 or from 1, or be a grade: `why_uncertain` looks at all that a question holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from plaudit.feedback.exchange.formats import asks
from plaudit.feedback.exchange.formats.comparison import Tiers
from plaudit.feedback.labelling.settings import LONGEST_NAME

ANSWERS = ("response", "answer", "completion", "reply", "generation", "output", "candidate", "summary", "text", "model",
           "assistant", "option", "choice", "chatbot", "bot")  # fmt: skip
_SIDES = {"left": 0, "first": 0, "right": 1, "second": 1}
_NUMBERED = re.compile(
    r"(?P<stem>.*?)[\s_.-]*(?P<number>\d{1,9})|(?P<words>.*?)(?:[\s_.-]+|(?<=[a-z])(?=[A-I]$)|^)(?P<letter>[A-Ia-i])"
)
_TIE = re.compile(r"\b(tie|ties|tied|draw|equal|equally|same|both|neither|none|no preference|no difference)\b")
_BAD = re.compile(r"bad\b|neither|\bnone\b|unacceptable|poor\b|wrong\b")
_SKIP = re.compile(r"\b(skip|skipped|unsure|not sure|can ?not|can'?t|cannot|don'?t know|unclear|unable|n/?a|abstain)\b")
_STRENGTHS = {  # of 1 (barely) to 4 (far better)
    1: r"slight(ly)?|margin(al(ly)?)?|bare(ly)?|a bit|a little|negligibly|hardly",
    2: r"somewhat|moderate(ly)?|fairly",
    3: r"much|clear(ly)?|significant(ly)?|considerabl[ey]|substantial(ly)?|a lot|strong(ly)?|notably",
    4: r"far|vast(ly)?|definite(ly)?|extreme(ly)?|overwhelming(ly)?|way",
}
_SIGNED = re.compile(r"\W*(?P<one>\w+)\s*(?P<sign><{1,2}|>{1,2}|=|~)\s*(?P<other>\w+)\W*")  # A>B, [[B<<A]], A=B
_WORSE = re.compile(r"\b(worse|worst)\b")
_NUMBER = re.compile(r"[-+\u2212]?\s*(\d+(\.\d*)?|\.\d+)")
_GRADE = re.compile(r"[A-Ia-i][-+]?")
_POINT = re.compile(r"^[-+\u2212]?\d{1,3}\s*[-\u2013\u2014.:)=]\s*(?=[^\W\d])")  # of a scale: "1 - A is better"
_OVER = re.compile(r"(?i)\b(?:than|over|beats?|defeats?|outperforms?)\b")
_ASIDE = re.compile(r"(?P<before>.+?)\s*\((?P<inside>[^()]+)\)")  # Response 1 (left)
_FAR = re.compile(r"(?P<one>\w+)\s*\+{2,}")  # A++
_PREFERS = re.compile(
    r"(?i)\b(is|are|was|the|best|better|one|more|preferred|preferable|wins?|won|winner|prefer|chosen|choose|i|than|other|"
    r"helpful|convincing|good|" + "|".join(_STRENGTHS.values()) + r")\b"
)


@dataclass(frozen=True)
class Choice:
    """What an option says: the tiers that it makes of the answers, none where it says that nobody can say."""

    tiers: Tiers = ()
    all_bad: bool = False
    strength: int | None = None


def choice(option: object, names: Sequence[str], bare: bool = True) -> Choice | None:
    """What an option chooses among the answers called `names`; None for nothing.

    `bare`: a number or letter by itself ("2", "B") names an answer. It may as well be a grade.
    """
    if isinstance(option, bool) or not isinstance(option, (str, int, float)) or len(names) < 2:
        return None
    said = _POINT.sub("", written(option))
    far = _FAR.fullmatch(said)
    best = place_of(far["one"] if far else said, names, bare)
    if best is not None:
        return Choice(best_of(best, len(names)), False, 3 if far and len(names) == 2 else None)
    if is_bare(said):
        return None
    if signed := _SIGNED.fullmatch(said):
        return _signed(signed, names)
    found = _in_words(re.sub(r"[_\-()\[\].,:;!]+", " ", said).strip(), names, bare)
    aside = _ASIDE.fullmatch(said) if len(said) <= LONGEST_NAME else None  # longer, it takes too long
    if found is None and aside and not is_bare(aside["inside"]):
        found, again = (choice(aside[part], names, bare) for part in ("before", "inside"))
        return found if found == again else None
    return found


def written(option: object) -> str:
    """An option as text; 2.0 is 2, as tables write it that have empty cells."""
    return re.sub(r"(?<=\d)\.0+", "", said) if _NUMBER.fullmatch(said := str(option).strip()) else said


def is_bare(option: object) -> bool:
    """Whether an option is a number or a letter and nothing besides: it may name an answer, or be a grade."""
    return bool(_NUMBER.fullmatch(written(option)) or _GRADE.fullmatch(written(option)))


def is_point(option: object) -> bool:
    """Whether an option is a point of a scale with what it means: "1 - A is much better"."""
    return bool(_POINT.match(written(option)))


def is_number(option: object) -> bool:
    return bool(_NUMBER.fullmatch(written(option)))


def why_uncertain(bare: Mapping[str, bool], counted: bool, is_scale: bool) -> str:
    """Why numbers and letters by themselves do not choose for certain; "" where they do.

    `bare`: each that a question holds, and whether it names an answer; `counted`: the answers have no numbers;
    `is_scale`: other options are points of a scale ("1 - A is much better").
    """
    numbers = {said for said in bare if is_number(said)}
    is_uncertain = is_scale or not all(bare.values()) or (counted and numbers and numbers != {"1", "2"})
    if not bare or not is_uncertain:
        return ""
    listed = sorted(bare, key=lambda said: (float(said) if said in numbers else math.inf, said))[:9]
    return f"holds {', '.join(listed)}, which may be a scale or grades, or count the answers from 0"


def are_numbered(names: Sequence[str]) -> bool:
    """Whether the answers have numbers of their own, so that a number by itself says which is meant."""
    return any(split_name(name)[1].isdecimal() for name in names)


def _in_words(words: str, names: Sequence[str], bare: bool) -> Choice | None:
    lowered = words.lower()
    if _TIE.search(lowered) and not re.search(r"\bnot\b", lowered):
        return Choice((tuple(range(len(names))),), bool(_BAD.search(lowered)))
    if _SKIP.search(lowered):
        return Choice()
    best = _named_within(words, names, bare)
    if best is None or (_WORSE.search(lowered) and len(names) > 2):
        return None
    better = 1 - best if _WORSE.search(lowered) else best
    return Choice(best_of(better, len(names)), False, strength_of(lowered) if len(names) == 2 else None)


def best_of(best: int, number: int) -> Tiers:
    """One answer above all others."""
    rest = tuple(place for place in range(number) if place != best)
    return ((best,), rest) if rest else ((best,),)


def by_mean_rating(ratings: Mapping[int, Mapping[str, int]], answers: int) -> Tiers:
    """The order that mean ratings make ("rate first, then rank", InstructGPT); () unless every answer is rated.

    What does not make an answer better the more there is of it makes no order.
    """
    if answers > 1:
        ratings = {
            place: {a: n for a, n in rated.items() if asks.more_is_better(a)} for place, rated in ratings.items()
        }
    means = {place: Fraction(sum(rated.values()), len(rated)) for place, rated in ratings.items() if rated}
    if not answers or len(means) < answers:
        return ()
    levels = sorted(set(means.values()), reverse=True)
    return tuple(tuple(place for place in sorted(means) if means[place] == level) for level in levels)


def place_of(option: object, names: Sequence[str], bare: bool = True) -> int | None:
    """Which answer an option names, and nothing besides."""
    if isinstance(option, bool) or not isinstance(option, (str, int)):
        return None
    said = str(option).strip()
    if is_bare(said) and not said.isalnum():
        return None
    exact = [i for i, name in enumerate(names) if squeeze(name) == squeeze(said)]
    stem, number = split_name(said)
    words = set(re.findall(r"[^\W_]+", stem))
    known = words <= {*ANSWERS, *(f"{word}s" for word in ANSWERS)} if words else bare or _is_own_letter(number, names)
    known = known or any(stem and split_name(name)[0].startswith(stem) for name in names)  # r1 of response1
    known = known or any(words == set(re.findall(r"[^\W_]+", split_name(name)[0])) for name in names if words)
    numbered = [i for i, name in enumerate(names) if number and known and _same_place(split_name(name)[1], number)]
    if not (exact or numbered) and number and known and len(names) == 2:
        numbered = _by_letter(number, names)
    sided = [_SIDES[squeeze(said)]] if squeeze(said) in _SIDES and len(names) == 2 else []
    return next(iter([*exact, *(numbered if len(numbered) == 1 else []), *sided]), None)


def _named_within(words: str, names: Sequence[str], bare: bool) -> int | None:
    """The answer that a few words name among others that say no more than that it is better."""
    words = re.sub(r"(?i)(?<=prefer)(ed)?(.*?)\bto\b", r"\1\2 over ", words)
    rest = _PREFERS.sub(" ", _OVER.split(words)[0])
    left = " ".join(_WORSE.sub(" ", rest).split())
    return place_of(left, names, bare or left != words) if left else None


def _signed(signed: re.Match[str], names: Sequence[str]) -> Choice | None:
    places = [place_of(signed[side], names) for side in ("one", "other")]
    if len(names) != 2 or None in places or places[0] == places[1]:
        return None
    if signed["sign"] in "=~":
        return Choice(((0, 1),))
    best = places[0] if signed["sign"].startswith(">") else places[1]
    return Choice(best_of(int(best or 0), 2), False, 3 if len(signed["sign"]) == 2 else None)


def _by_letter(number: str, names: Sequence[str]) -> list[int]:
    """`A` and `B`, or 1 and 2, of answers that are numbered otherwise (`response_0`, `response_1`) or not at all."""
    if any(_same_place(split_name(name)[1], number) for name in names):
        return []
    order = {"a": 0, "b": 1}
    lettered = all(split_name(name)[1].isdecimal() for name in names) or not any(split_name(n)[1] for n in names)
    if number in order and lettered:
        return [order[number]]
    in_letters = all(split_name(name)[1] in order for name in names) or not any(split_name(n)[1] for n in names)
    return [int(number) - 1] if number in ("1", "2") and in_letters else []


def _is_own_letter(number: str, names: Sequence[str]) -> bool:
    """Whether a letter by itself is the one that an answer is called by: a grade would hardly be."""
    return number.isalpha() and number in {split_name(name)[1] for name in names}


def _same_place(one: str, other: str) -> bool:
    return one == other or (one.isdecimal() and other.isdecimal() and int(one) == int(other))


def strength_of(words: str) -> int | None:
    """How strongly a few words say that something is better: 1 (barely) to 4 (far); None where they do not say."""
    said = words.lower().replace("_", " ")
    found = [level for level, known in _STRENGTHS.items() if re.search(rf"\b({known})\b", said)]
    return found[0] if len(found) == 1 else None


def split_name(name: str) -> tuple[str, str]:
    """`Response B` -> `("response", "b")`, `summary` -> `("summary", "")`"""
    match = _NUMBERED.fullmatch(name.strip()) if len(name) <= LONGEST_NAME else None  # longer, it takes too long
    if not match:
        return name.strip().lower(), ""
    return (match["stem"] or match["words"] or "").strip().lower(), (match["number"] or match["letter"]).lower()


def squeeze(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())
