"""The command line's frame: it finds the command, runs it, and says in one sentence what went wrong.

Nothing heavy is imported here, nor any command but the one that was asked for: `plaudit --help` answers at once.

Exit codes: 0 done; 1 something outside failed (disk, network, memory); 2 what was typed cannot be done; 70 a bug in
plaudit (EX_SOFTWARE of BSD's sysexits); 130 interrupted by Ctrl-C, 141 by a closed pipe and 143 by SIGTERM (128 + the
signal's number).
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from plaudit.cli import interrupts
from plaudit.cli.commands import find, run_app
from plaudit.errors import PlauditError
from plaudit.files import AGAIN, DISK_FULL, disk_sentence, one_line
from plaudit.printable import make_printable

SIGPIPE = 13  # which Windows has not
OUT_OF_MEMORY = "There was not enough memory. Choose a smaller model or batch, or close other programs."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit code. PLAUDIT_DEBUG=1 lets exceptions through, with traceback."""
    is_program = arguments is None
    arguments = sys.argv[1:] if arguments is None else arguments
    with interrupts.heard(for_good=is_program) as heard:
        try:
            run_app(arguments)
            sys.stdout.flush()  # a closed pipe must be noticed here, not while Python shuts down
            return 0
        except BrokenPipeError:
            _abandon_output()
            return 128 + SIGPIPE
        except BaseException as error:
            interrupts.ignore()
            if os.environ.get("PLAUDIT_DEBUG") or isinstance(error, SystemExit):
                raise
            is_own = isinstance(error, (PlauditError, KeyboardInterrupt))
            sentence, code = explain(error if is_own else heard.last or error, arguments)
            print(f"plaudit: {sentence}", file=sys.stderr)
            if isinstance(error, OSError) and error.filename is None:
                _abandon_output()
            return code


def explain(error: BaseException, arguments: Sequence[str]) -> tuple[str, int]:
    """What to tell a person about an exception that escaped a command, and the exit code."""
    from typer import BadParameter

    usage_error: Any = BadParameter.__base__  # UsageError: click's in older versions of Typer, its own in newer ones
    kinds: list[tuple[Any, Callable[[Any], tuple[str, int]]]] = [
        (PlauditError, lambda e: (str(e), e.exit_code)),
        (usage_error, lambda e: (_usage_sentence(e.format_message(), arguments), 2)),
        (interrupts.Terminated, lambda e: (_interrupted_sentence(e, arguments), 128 + signal.SIGTERM)),
        (KeyboardInterrupt, lambda e: (_interrupted_sentence(e, arguments), 128 + signal.SIGINT)),
        (MemoryError, lambda e: (OUT_OF_MEMORY, 1)),
        (OSError, lambda e: (disk_sentence(e, e.filename or "the output"), 1) if _is_refusal(e) else _bug(e)),
        (RuntimeError, lambda e: (OUT_OF_MEMORY, 1) if _is_torch_out_of_memory(e) else _bug(e)),
    ]
    sentence, code = next((tell(error) for kind, tell in kinds if isinstance(error, kind)), None) or _bug(error)
    notes = getattr(error, "__notes__", []) if code == 1 else []  # how a run goes on once that is put right
    said = " ".join([sentence.replace(f" and {AGAIN}", "") if notes else sentence, *notes])
    return make_printable(said), code  # names in it may be from outside


def _usage_sentence(message: str, arguments: Sequence[str]) -> str:
    """Typer's message and where to look; `(Possible options: --seed)` becomes `Did you mean --seed?`"""
    command = find(arguments)
    message = re.sub(r"\.? \(Possible options: ([^,)]+)[^)]*\)$", r". Did you mean \1?", message.strip())
    ended = message if message.endswith(("?", ".")) else f"{message}."
    return f"{ended} See `plaudit {f'{command.name} ' if command else ''}--help`."


def _interrupted_sentence(interrupt: KeyboardInterrupt, arguments: Sequence[str]) -> str:
    """What the stage said (`cli/stages.py`); a command that could resume and said nothing had begun no run."""
    if interrupt.args:
        return str(interrupt)
    command = find(arguments)
    if command and command.resumes():
        return f"Interrupted before anything was made: {AGAIN}."
    return f"Interrupted. What was stored is whole: {AGAIN}."


def _is_refusal(error: OSError) -> bool:
    """The system refused a file, or the disk behind the output is full; not, say, an invalid file descriptor."""
    return error.filename is not None or error.errno in DISK_FULL


def _is_torch_out_of_memory(error: RuntimeError) -> bool:
    """torch has no type of its own for it on the CPU ("DefaultCPUAllocator: can't allocate memory")."""
    return "allocate memory" in str(error) or "out of memory" in str(error)


def _abandon_output() -> None:
    """What is still buffered cannot be written; Python must not try again while it shuts down."""
    with suppress(OSError):  # there is no file behind it, so nothing will be tried
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _bug(error: BaseException) -> tuple[str, int]:
    again = "Run again with PLAUDIT_DEBUG=1 for the traceback, and report it with that."
    return f"This is a bug in plaudit: {one_line(error).rstrip('.')}. {again}", 70
