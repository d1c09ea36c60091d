"""The one exception a person is meant to read.

Raised at the boundaries (command line, files, network, disk) with a sentence that says what is wrong, where, and what
to do about it. The command line prints it without a traceback. Anything else that escapes is a bug.
"""

import difflib
import math
from collections.abc import Callable, Iterable


class PlauditError(Exception):
    """Something outside the program is wrong, and the message tells a person how to put it right.

    `exit_code` is 2 for what was typed (a flag, a path, a name) and 1 for what failed while running (disk, network).
    """

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class UsageError(PlauditError):
    """What was asked for cannot be done as it was asked: wrong name, missing file, malformed line."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=2)


class NotThereError(PlauditError):
    """What was named is not there, or is not the caller's: both read alike, so that nothing can be found out."""


class ConflictError(PlauditError):
    """What was said does not go with what was said or done before, such as one id with two contents."""


class NotFiniteError(PlauditError):
    """A score, a loss or a gradient is NaN or infinite: nothing that rests on it is worth anything."""


def require_finite(values: Iterable[float], name: Callable[[int], str], advice: str) -> None:
    """NotFiniteError for the first of `values` that is NaN or infinite; `name` says of its index what it is."""
    for i, value in enumerate(values):
        if not math.isfinite(value):
            raise NotFiniteError(f"{name(i)} is {value}, which is no finite number: {advice}.")


def nearest(typed: str, known: Iterable[str]) -> str | None:
    """The known name that is spelled most like what was typed, where one is near it."""
    return next(iter(difflib.get_close_matches(typed, list(known), n=1, cutoff=0.5)), None)


def did_you_mean(typed: str, known: Iterable[str]) -> str:
    """` Did you mean X?` (with its leading space) where a known name is near what was typed, else nothing."""
    near = nearest(typed, known)
    return f" Did you mean `{near}`?" if near else ""
