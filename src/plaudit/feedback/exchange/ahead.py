"""Reading a long source by a process of its own, on another core, while what it has read is kept.

The process is this Python with this search path, and nothing else is: what it is told and what it tells is pickled,
from one half of one program to the other and never from a file. It ends with who asked: its pipe breaks.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import cast

from plaudit.errors import PlauditError
from plaudit.feedback.exchange.reading import Batch, Reading, batches

_READER = "import sys; sys.path[:] = {path!r}; from plaudit.feedback.exchange.ahead import serve; serve()"


def read_ahead(reading: Reading, name: str) -> Iterator[Batch]:
    """What `batches` yields, and raises; what was set aside is in `reading.bad` as it is there.

    PlauditError where the process ends before it has read all.
    """
    if not sys.executable or (os.cpu_count() or 1) < 2:
        yield from batches(reading, name)
        return
    # -P: no module of the folder that somebody happens to be in
    command = [sys.executable, "-P", "-c", _READER.format(path=sys.path)]
    with subprocess.Popen(  # in a session of its own: Ctrl-C is for who asked
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdin
        try:
            with suppress(BrokenPipeError):  # it ended already: that is said below
                pickle.dump((reading, name), process.stdin)
                process.stdin.close()
            while (told := _next(process, reading.source)) is not None:
                reading.bad += told.bad
                yield told
        finally:
            process.kill()


def _next(process: subprocess.Popen[bytes], source: str) -> Batch | None:
    """None when all was told."""
    assert process.stdout
    try:
        told = pickle.load(process.stdout)
    except (EOFError, pickle.UnpicklingError) as error:
        raise PlauditError(
            f"The process that reads {source} ended before it was done (code {process.wait()}). What was read so far "
            "is kept; import it again to go on."
        ) from error
    if isinstance(told, BaseException):
        raise told
    return cast("Batch | None", told)


def serve() -> None:
    """What the process does: what to read comes on standard input, batches and then None go to standard output."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no batch
    gc.freeze()
    reading, name = pickle.load(sys.stdin.buffer)
    with suppress(BrokenPipeError):
        try:
            for batch in batches(reading, name):
                pickle.dump(batch, out, protocol=pickle.HIGHEST_PROTOCOL)
                out.flush()
            pickle.dump(None, out)
        except Exception as error:
            error.add_note("".join(traceback.format_exception(error)))  # which no pickle keeps
            pickle.dump(error, out)
        out.flush()
