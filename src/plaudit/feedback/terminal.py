"""Asking a person, in a plain terminal: one task after the other, every answer kept at once.

Other people's and models' text is hostile: it may hold codes that clear the screen, hide text, reorder it or pretend to
be the next answer. It is shown harmless, and visibly not the program's own.
"""

from __future__ import annotations

import random
import re
import time
import uuid
from collections.abc import Callable, Iterable
from string import ascii_uppercase

from plaudit.feedback.store import FeedbackStore
from plaudit.printable import make_printable
from plaudit.types import Annotator, Judgement, Ranking, Task

HELP = """Rank the answers, best first: `b>a=c>d` means that B is best, A and C are as good as each other, D is worst.
s REASON  skip this one, saying why        q  stop; what you have answered is kept        ?  this help"""
Read = Callable[[str], str]
Write = Callable[[str], None]


def quote(text: str) -> str:
    """`text` made printable, each line of it behind a bar, so that no line can pass for the program's."""
    return "\n".join(f"  │ {line}" for line in make_printable(text).split("\n"))


def ask(store: FeedbackStore, tasks: Iterable[Task], annotator: str, read: Read = input, write: Write = print) -> int:
    """Let `annotator` rank the answers of `tasks`, without those already judged or skipped; how many were judged.

    Ends at the last task, at `q`, at the end of input, or at Ctrl-C. PlauditError when the store refuses.
    """
    store.add_annotators([Annotator(annotator)])
    settled = store.settled_tasks(annotator)
    waiting = [task for task in tasks if task.id not in settled]
    write(HELP if waiting else "There is nothing to rank.")
    judged = 0
    try:
        for number, task in enumerate(waiting, 1):
            write(f"\n—— {number} of {len(waiting)} ——")
            judged += _ask_one(store, task, annotator, read, write)
    except (EOFError, KeyboardInterrupt):
        write("")
    write(f"{judged} ranked and kept. Run the same command again to go on.")
    return judged


def _ask_one(store: FeedbackStore, task: Task, annotator: str, read: Read, write: Write) -> bool:
    """Show one task and take a judgement of it, or a reason to skip it; whether it was judged. EOFError for `q`."""
    order = list(range(len(task.response_ids)))
    random.Random(f"{task.id} {annotator}").shuffle(order)
    assignment = store.assign(task.id, annotator, order)
    if assignment is None:
        write("Enough others have this one.")
        return False
    shown = tuple(task.response_ids[i] for i in assignment.order)
    _show(store, task, shown, write)
    started = time.monotonic()
    while (entry := read("\nYour ranking: ").strip()).lower() != "q":
        if skipped := re.fullmatch(r"[sS]\s+(\S.*)", entry):
            store.skip(task.id, annotator, skipped[1])
            return False
        try:
            ranking = parse_ranking(entry, shown)
        except ValueError as problem:
            write(str(problem))
            continue
        seconds = round(time.monotonic() - started, 1)
        return store.submit(Judgement(str(uuid.uuid4()), task.id, annotator, ranking, shown, seconds=seconds))
    raise EOFError


def _show(store: FeedbackStore, task: Task, shown: tuple[str, ...], write: Write) -> None:
    [prompt] = store.prompts(prompt_ids=[task.prompt_id])
    for message in prompt.messages:
        write(f"{message.role}:\n{quote(message.content)}")
    write(f"\n{make_printable(task.question)}")
    text = {response.id: response.text for response in store.responses([task.prompt_id])}
    for letter, response_id in zip(ascii_uppercase, shown, strict=False):
        write(f"\n{letter}\n{quote(text[response_id])}")


def parse_ranking(entry: str, shown: tuple[str, ...]) -> Ranking:
    """`b>a=c` over the answers as shown. ValueError, with the sentence to show, for anything else."""
    letters = ascii_uppercase[: len(shown)]
    if entry in {"?", ""}:
        raise ValueError(HELP)
    if entry.lower() == "s":
        raise ValueError("To skip, say why, for example: s I do not know enough about this.")
    tiers = [[answer.strip().upper() for answer in tier.split("=")] for tier in entry.split(">")]
    named = [answer for tier in tiers for answer in tier]
    if wrong := [answer for answer in named if len(answer) != 1 or answer not in letters]:
        raise ValueError(f"“{make_printable(wrong[0])}” is none of {', '.join(letters)}; put > or = between letters.")
    if twice := sorted({answer for answer in named if named.count(answer) > 1}):
        raise ValueError(f"{', '.join(twice)} must stand in the ranking once.")
    if missing := sorted(set(letters) - set(named)):
        raise ValueError(f"{', '.join(missing)} must stand in the ranking too; every answer needs a place.")
    return Ranking(tuple(tuple(shown[letters.index(answer)] for answer in tier) for tier in tiers))
