"""Reading one field of a record, with a sentence for what is not as it should be (MalformedError)."""

from __future__ import annotations

import json
import math
import re
import shlex
from datetime import UTC, datetime
from typing import Any

from plaudit.feedback.exchange.formats.comparison import MalformedError, Messages, UnusableError
from plaudit.feedback.exchange.formats.paths import as_list, parsed
from plaudit.memory import parse_json
from plaudit.types import Message, Role, Split

ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,  # what OpenAI calls it since 2025
    "user": Role.USER,
    "human": Role.USER,
    "prompter": Role.USER,
    "assistant": Role.ASSISTANT,
    "gpt": Role.ASSISTANT,
    "chatgpt": Role.ASSISTANT,
    "bot": Role.ASSISTANT,
    "model": Role.ASSISTANT,
    "function_call": Role.ASSISTANT,
    "tool": Role.TOOL,
    "function": Role.TOOL,
    "ipython": Role.TOOL,
    "observation": Role.TOOL,
}
SYSTEMS = ("system", "system_prompt", "system_message")  # columns of a system message
TURN = re.compile(r"\n\n(Human|Assistant):")
_LETTER = re.compile(r"(?:^|\n)[^\S\n]*(?i:(?:response|answer|completion|output|option)\s+)?\(?([A-I])[.:)]\s+")
_LABEL = re.compile(r"(?:^|\n)[ \t]*(?i:(human|user)|(assistant|ai|bot|lamda))[ \t]*:[ \t]*")  # of turns, a line each
_CHATML = re.compile(r"<\|im_start\|>[ \t]*(\w+)[ \t]*(?:\n|\Z)(.*?)(?:<\|im_end\|>\s*|\Z)", re.DOTALL)
_LIKE_MESSAGES = re.compile(
    r"""\s*\[?\s*\{\s*['"](?:role['"]\s*:(?=.*['"]content['"]\s*:)|from['"]\s*:(?=.*['"]value['"]\s*:)|"""
    r"""content['"]\s*:(?=.*['"]role['"]\s*:)|value['"]\s*:(?=.*['"]from['"]\s*:))""",
    re.DOTALL,
)
_DAY = re.compile(r"(19|20)\d{6}")  # without signs between year, month and day
TAGS = ("topic", "language", "group", "subset")  # columns that become tags of the prompt, beside `tags` itself
_TAGGED = frozenset((*TAGS, "tags", "split"))
_HELDOUT = {"heldout", "test", "tests", "testing", "validation", "valid", "val", "dev", "eval", "evaluation"}
_TRAIN = {"train", "training"}


def text(record: dict[str, Any], name: str) -> str:
    if name not in record:
        raise MalformedError(f'no "{name}", only {names(record)}')
    if not isinstance(record[name], str):
        raise MalformedError(f'"{name}" is {kind(record[name])}, not text')
    return str(record[name])


def is_message(value: Any) -> bool:
    """`{"role", "content"}`, or ShareGPT's `{"from", "value"}`."""
    return isinstance(value, dict) and ({"role", "content"} <= value.keys() or {"from", "value"} <= value.keys())


def messages(turns: Any, name: str) -> Messages:
    """A list of messages, in any spelling of them; or just one."""
    if is_message(turns):
        turns = [turns]
    listed = as_list(turns)
    if not listed:
        raise MalformedError(f'"{name}" is not a list of messages')
    return tuple(message(turn, name) for turn in listed)


def message(turn: Any, name: str) -> Message:
    if not is_message(turn):
        raise MalformedError(f'"{name}" has a message without role and content as text')
    role, content = (turn["role"], turn["content"]) if "role" in turn else (turn["from"], turn["value"])
    if not isinstance(role, str):
        raise MalformedError(f'"{name}" has a message without role and content as text')
    if role.strip().lower() not in ROLES:
        raise UnusableError(f'a turn by "{role}"')
    called = turn.get("tool_calls")
    if content is None and called:
        content = json.dumps(called, ensure_ascii=False)  # a turn that calls a tool may say nothing else
    return Message(ROLES[role.strip().lower()], content_of(content, name))


def content_of(content: Any, name: str) -> str:
    """The text of a message, whole or in parts. UnusableError where a part is no text (an image, a sound)."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise MalformedError(f'"{name}" has a message without role and content as text')
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, dict) and part.get("type") not in (None, "text", "input_text", "output_text"):
            raise UnusableError(f'a part of a message is no text but "{part["type"]}"')
        else:
            raise MalformedError(f'"{name}" has a message without role and content as text')
    return "".join(texts)


def prompt(record: dict[str, Any], name: str = "prompt") -> Messages:
    """Messages, a question, or a transcript that ends where the assistant's turn begins; none where there is none."""
    value = record.get(name)
    if value is None:
        return ()
    return asked(value, name) if isinstance(value, (list, dict)) else asked(text(record, name), name)


def asked(value: Any, name: str) -> Messages:
    """A conversation up to the model's turn: messages, a question, or a transcript of either kind."""
    if _is_dialogue(value):
        return _dialogue(value)
    value = opened(value)
    return spoken(value) if isinstance(value, str) else messages(value, name)


def opened(value: Any) -> Any:
    """The messages that a text holds, as tables keep them; anything else as it is.

    UnusableError for messages that cannot be read: as a text they would be what nobody said.
    """
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    listed = [inside] if is_message(inside := parsed(value)) else as_list(inside)
    if listed and all(is_message(turn) for turn in listed):
        return listed
    if inside is None and _LIKE_MESSAGES.match(value) and value.rstrip().endswith(("]", "}")):
        raise UnusableError("it holds messages as text that cannot be read: keep them as JSON")
    return value


def _is_dialogue(value: Any) -> bool:
    """Paragraphs of people who are named, as Label Studio shows them."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(said, dict) and {"author", "text"} <= said.keys() for said in value)
    )


def _dialogue(paragraphs: list[dict[str, Any]]) -> Messages:
    """Turns where the authors are called by their roles; else all of it as one question."""
    authors = [str(said["author"]).strip().lower() for said in paragraphs]
    texts = [content_of(said["text"], "text") for said in paragraphs]
    if all(author in ROLES for author in authors):
        return tuple(Message(ROLES[author], text) for author, text in zip(authors, texts, strict=True))
    lines = [f"{said['author']}: {text}" for said, text in zip(paragraphs, texts, strict=True)]
    return (Message(Role.USER, "\n".join(lines)),)


def spoken(said: str) -> Messages:
    """A question as it is; a transcript that ends where the assistant's turn begins, or with a question, as its turns.

    So end "\\n\\nHuman: …\\n\\nAssistant:", ChatML, and lines "User: …" and "Assistant: …" in turn.
    """
    trimmed = said.rstrip()
    if trimmed.endswith("\n\nAssistant:") and "\n\nHuman:" in led(trimmed):
        return transcript(led(trimmed).removesuffix("\n\nAssistant:"))
    turns = _in_chatml(said) or _in_lines(said)
    return turns if turns and turns[-1].role is Role.USER else (Message(Role.USER, said),)


def turns_of(said: str) -> Messages | None:
    """The turns of a transcript, whoever speaks last; None where it is none."""
    if is_transcript(said):
        return tuple(turn for turn in transcript(said) if turn.content)
    return _in_chatml(said) or _in_lines(said)


def _in_chatml(said: str) -> Messages | None:
    """The turns of "<|im_start|>user\\n…<|im_end|>", without one that is still to come."""
    if not said.lstrip().startswith("<|im_start|>"):
        return None
    turns = _CHATML.findall(said)
    if _CHATML.sub("", said).strip() or any(role not in ROLES for role, _ in turns):
        return None
    return tuple(Message(ROLES[role], text.strip()) for role, text in turns if text.strip())


def _in_lines(said: str) -> Messages | None:
    """The turns of "User: …\\nAssistant: …", without one that is still to come.

    A user begins, and the two take turns: another text may quote a talk.
    """
    said = said.lstrip()
    start = _LABEL.match(said)
    if not start or not start[1]:
        return None
    labels = list(_LABEL.finditer(said))
    if len(labels) < 2 or any(bool(label[1]) is bool(number % 2) for number, label in enumerate(labels)):
        return None
    ends = [*(label.start() for label in labels[1:]), len(said)]
    texts = [said[label.end() : end].strip() for label, end in zip(labels, ends, strict=True)]
    if not all(texts[:-1]) or (not texts[-1] and labels[-1][1]):
        return None
    roles = (Role.USER if label[1] else Role.ASSISTANT for label in labels)
    return tuple(Message(role, text) for role, text in zip(roles, texts, strict=True) if text)


def led(said: str) -> str:
    """A transcript that has lost the blank line that it begins with, with it."""
    return f"\n\n{said.lstrip()}" if said.lstrip().startswith(("Human:", "Assistant:")) else said


def is_transcript(value: Any) -> bool:
    """Text that is turns from its first word on: an answer may quote some, and is none."""
    return isinstance(value, str) and bool(TURN.match(led(value))) and "\n\nAssistant:" in value


def transcript(transcribed: str) -> Messages:
    """The turns of "\\n\\nHuman: …\\n\\nAssistant: …"; what stands before the first is a system message."""
    opening, *turns = TURN.split(led(transcribed))
    lead = (Message(Role.SYSTEM, opening.strip()),) if opening.strip() else ()
    spoken_turns = zip(turns[::2], turns[1::2], strict=True)
    return (*lead, *(Message(ROLES[who.lower()], words.strip()) for who, words in spoken_turns))


def shown_answers(text: str) -> tuple[str, dict[str, str]]:
    """The prompt in a text, and the answers behind `A.` and `B.`, or `(A)` and `(B)`, by what they are called."""
    prompt, *parts = _LETTER.split(text)
    answers = {f"answer {letter}": said.strip() for letter, said in zip(parts[::2], parts[1::2], strict=True)}
    return prompt.strip(), answers


def system(record: dict[str, Any]) -> Messages:
    name = next((name for name in SYSTEMS if record.get(name)), None)
    return (Message(Role.SYSTEM, text(record, name)),) if name else ()


def tags(record: dict[str, Any]) -> dict[str, str]:
    """What audits and splits go by. `split` is kept only where it says train or held out: ours is by hash."""
    if _TAGGED.isdisjoint(record):
        return {}
    given = record.get("tags")
    if isinstance(given, str):  # a table has no records in records
        given = _record_in(given)
    tags_found = {
        **(given if isinstance(given, dict) else {}),
        **{name: record[name] for name in TAGS if name in record},
    }
    kept = {str(name): value for name, value in tags_found.items() if isinstance(value, str) and value}
    return with_split(kept, record.get("split") if isinstance(record.get("split"), str) else kept.get("split"))


def with_split(given: dict[str, str], side: Any) -> dict[str, str]:
    """The tags, with `split` where the data set names a side."""
    kept = {name: value for name, value in given.items() if name != "split"}
    named = side_of(side) if isinstance(side, str) else None
    return {**kept, "split": str(named)} if named else kept


def side_of(name: str) -> Split | None:
    """The side that a part of a data set is on by its name: `valid2`, `test_prefs`, `askculinary_train`."""
    words = [word for word in re.split(r"[\W_]+|(?<=[a-z])(?=\d)", name.lower().replace("held_out", "heldout")) if word]
    ends = {*words[:1], *[word for word in words if not word.isdecimal()][-1:]}
    if ends & _HELDOUT:
        return Split.HELDOUT if not ends & _TRAIN else None
    return Split.TRAIN if ends & _TRAIN else None


def _record_in(given: str) -> Any:
    try:
        return parse_json(given) if given else {}
    except ValueError:
        return {}


def number(value: Any) -> float | None:
    """The number that a value is or spells; None where it is none (a table's empty cell, "N/A", NaN)."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def seconds(value: Any) -> float | None:
    """How long something took, where that is told."""
    took = number(value)
    return took if took is not None and took >= 0 else None


def moment(value: Any) -> datetime | None:
    """When something was said: ISO 8601 or seconds since 1970; UTC where no zone is given, None where it is neither."""
    try:
        when: datetime | None
        if isinstance(value, datetime):
            when = value
        elif isinstance(value, str) and (number(value) is None or _DAY.fullmatch(value.strip())):
            when = datetime.fromisoformat(value.strip())
        else:
            since = number(value)
            when = datetime.fromtimestamp(since / _part_of_second(since), UTC) if since else None
        if when is None:
            return None
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _part_of_second(since: float) -> int:
    """How many of the units that a time is counted in make a second: 1, or those of milli- or microseconds."""
    return 1 if since <= 1e11 else 1_000 if since <= 1e14 else 1_000_000


def names(record: dict[str, Any], most: int = 12) -> str:
    """For a sentence, which is one line: a table's heading may hold a whole conversation."""
    return ", ".join(f'"{" ".join(str(name).split())[:100]}"' for name in list(record)[:most]) or "nothing"


def by_map(**columns: list[str]) -> str:
    """How to say which columns are what, in words for whoever imports: what `--map` cannot name goes in a file."""
    if any(re.search("[,=]", column) for named in columns.values() for column in named):
        lines = "; ".join(f"{name} = {json.dumps(named, ensure_ascii=False)}" for name, named in columns.items())
        return f"--map FILE.toml with the lines {lines}"
    return f"--map {shlex.quote(','.join(f'{name}={column}' for name, named in columns.items() for column in named))}"


def kind(value: Any) -> str:
    kinds = {dict: "a record", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return kinds.get(type(value), "a number")
