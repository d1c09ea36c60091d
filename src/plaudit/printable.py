"""Text from outside: for a terminal, so that nothing in it steers the screen or reorders a line; for a page, so that
nothing in it is hidden; and counted things.
"""

from __future__ import annotations

import re
import unicodedata
from functools import partial

_STEERING = {"Cc", "Cs", "Zl", "Zp"}  # controls, halves of characters, separators of lines and paragraphs
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

MARK = "\ufffd"
# Controls, separators, halves of characters, annotations, and what Unicode calls Default_Ignorable_Code_Point. The
# first alternative is a flag, such as Scotland's, whose letters are invisible.
_UNSEEN = re.compile(
    "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_JOINING = re.compile(
    "[\u0590-\u1bff\ua800-\uabff\ufb1d-\ufdff\ufe70-\ufefc\U00010a00-\U00011fff\U0001e900-\U0001e95f]"
)
_SHAPING = frozenset("\u034f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u200b\u200c\u200d")  # in such scripts
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_EAST_ASIAN = {"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC", "HANGUL", "BOPOMOFO"}
_LOOKS_LIKE = str.maketrans(  # Cyrillic, Greek and digits: the letters that Unicode's confusables.txt gives for them
    "АВЕЅІЈКМНОРСТУХԚԜаеѕіјорсухһԁԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧανορυικ01",
    "ABESIJKMHOPCTYXQWaesijopcyxhdqwABEZHIKMNOPTYXavopuikol",
)
BLANK = "\u2800"  # a pattern of Braille without dots: a sign to Unicode, and nothing to the eye
_VARIANTS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def make_visible(text: str) -> str:
    """`text` with a mark for whatever is there and not seen, or turns the direction of what is; newlines and tabs stay.

    What writing needs stays, too: the joiners of Persian, the scripts of India and emoji, one variant of a character,
    soft hyphens in words, and the marks by which right-to-left text places its punctuation.
    """
    runs_left = _RIGHT_TO_LEFT.search(text) is not None  # asked once: a text may be nothing but such marks
    return _UNSEEN.sub(partial(_unless_needed, runs_left), text.replace("\r\n", "\n"))


def _unless_needed(runs_left: bool, found: re.Match[str]) -> str:
    sign, before, after = (
        found[0],
        found.string[max(0, found.start() - 1) : found.start()],
        found.string[found.end() : found.end() + 1],
    )
    needed = (
        len(sign) > 1
        or (sign in _SHAPING and _JOINING.match(before))
        or (sign == "\u200d" and _is_pictured(before) and unicodedata.category(after or " ") in ("So", "Sm"))
        or (_VARIANTS.match(sign) and before.strip() and not _UNSEEN.match(before))
        or (sign == "\xad" and before.isalpha() and after.isalpha())
        or (sign in "\u061c\u200e\u200f" and runs_left)
    )
    return sign if needed else MARK


def _is_pictured(character: str) -> bool:
    """Whether it may end an emoji: one itself, the colour of its skin, or the sign that it is no letter."""
    return character == "\ufe0f" or unicodedata.category(character or " ") in ("So", "Sk")


def is_hidden(character: str) -> bool:
    """Whether a name could have it and nobody see that: no writing needs it in a name."""
    unseen = unicodedata.category(character)[0] in "CZ" and character != " "
    return unseen or character == BLANK or _UNSEEN.match(character) is not None


def as_read(name: str) -> str:
    """A name as the eye takes it, for comparing: without capitals, widths, spaces, what is hidden, and alphabets."""
    seen = "".join(c for c in unicodedata.normalize("NFKC", name) if c != " " and not is_hidden(c))
    return unicodedata.normalize("NFKC", seen.translate(_LOOKS_LIKE).casefold())


def scripts_of(name: str) -> set[str]:
    """The scripts of its letters by the first words of their names, with those of Japan, China and Korea as one."""
    letters = (c for c in name if unicodedata.category(c)[0] == "L")
    words = {unicodedata.name(c, "UNKNOWN").split()[0] for c in letters} - {"MODIFIER"}
    return words if not words & _EAST_ASIAN else words - _EAST_ASIAN - {"LATIN"} | {"CJK"}


def make_printable(text: str) -> str:
    """`text` with whatever would steer a terminal or reorder the line written as escapes; newlines and tabs stay."""
    return "".join(_escape(c) if _steers(c) else c for c in text.replace("\r\n", "\n"))


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 task`, `2,000 tasks`; a plural that is no s is given."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _steers(character: str) -> bool:
    return character not in "\n\t" and (unicodedata.category(character) in _STEERING or character in _REORDERING)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
