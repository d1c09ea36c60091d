"""What strangers' bytes get to, as functions of bytes, and what each must never do with them.

An input of the corpus (`tests/fuzz_corpus/TARGET/`) is a whole attempt in one file: its first line says how the bytes
arrive (`data.jsonl auto lenient`, `lea POST /lead/project application/json`), the rest is what arrives.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory

from bench._fuzz_web import requesting
from plaudit.config import parse_toml
from plaudit.errors import PlauditError
from plaudit.feedback.exchange.imports import import_preferences, import_prompts, show_records
from plaudit.feedback.exchange.readers import SUFFIXES
from plaudit.feedback.store import FeedbackStore
from plaudit.runs import peak_memory_mb
from plaudit.web.rendering import TAGS, guidelines_to_html, to_html

CORPUS = Path(__file__).parents[1] / "tests" / "fuzz_corpus"
MOST_SECONDS = 5.0  # of the processor for one input
MOST_MB = 300.0  # of memory beyond the most that an earlier input took
NAMES = (*(f"data{suffix}{packed}" for suffix in SUFFIXES for packed in ("", ".gz")), "data.zip")
MAPPED = b"\n---\n"  # between a mapping and the records that it is for
Attempt = Callable[[bytes], object]


class FaultError(Exception):
    """A promise that is broken without anything being raised."""


class UndoneError(Exception):
    """So that the store is as before."""


@contextmanager
def importing() -> Iterator[Attempt]:
    """`plaudit import`: first line `NAME FORMAT [lenient] [trusted] [show]`; FORMAT may be `prompts` or `map`."""
    with FeedbackStore.open("sqlite://") as store, TemporaryDirectory() as folder:
        yield lambda data: undone(store, lambda: _import(store, Path(folder), data))


def _import(store: FeedbackStore, folder: Path, data: bytes) -> None:
    head, _, body = data.partition(b"\n")
    name, form, *words = [*head.decode("ascii", "replace").split(), "", ""]
    file = folder / (name if name in NAMES else NAMES[0])
    columns, form = None, form or "auto"
    if form == "map":
        table, _, body = body.partition(MAPPED)
        columns, form = _table(table), "auto"
    file.write_bytes(body)
    try:
        if "show" in words:
            show_records(str(file), form, columns)
        elif form == "prompts":
            str(import_prompts(store, str(file)))
        else:
            bad = folder / "bad" if "lenient" in words else None
            trusted = "trusted" in words
            said = import_preferences(store, str(file), form, columns=columns, bad_file=bad, trust_names=trusted)
            str(said).encode()
    finally:
        file.unlink()


def _table(text: bytes) -> dict[str, object]:
    try:
        return parse_toml(text.decode("utf-8", "replace"))
    except ValueError:
        return {}


@contextmanager
def restoring() -> Iterator[Attempt]:
    """`plaudit restore`: an archive. What was restored can be read."""
    with FeedbackStore.open("sqlite://") as store, TemporaryDirectory() as folder:
        file = Path(folder) / "backup.zip"

        def restore() -> None:
            store.restore(file)
            store.prompts(), store.responses(), store.tasks(), store.annotators(), store.judgements(), store.written()
            store.settings(), store.published(), store.actions()

        def attempt(data: bytes) -> None:
            file.write_bytes(data)
            undone(store, restore)

        yield attempt


def undone(store: FeedbackStore, work: Callable[[], object]) -> None:
    """Try it on the store, and leave that as it was."""
    try:
        with store.transaction():
            work()
            raise UndoneError
    except UndoneError:
        pass


@contextmanager
def rendering() -> Iterator[Attempt]:
    """What an annotator reads of a model's answer, and of a lead's guidelines."""

    def attempt(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        _Harmless({}).feed(to_html(text, "ann"))
        _Harmless({"a": {"href", "rel", "title"}}).feed(guidelines_to_html(text))

    yield attempt


class _Harmless(HTMLParser):
    """FaultError for a tag or an attribute that is not plain structure."""

    def __init__(self, more: dict[str, set[str]]) -> None:
        super().__init__()
        self._allowed = {tag: set[str]() for tag in TAGS} | {"ol": {"start"}} | more

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        strange = {name for name, _ in attrs} - self._allowed.get(tag, set())
        if tag not in self._allowed or strange:
            raise FaultError(f"<{tag} {' '.join(strange)}> came through")
        address = dict(attrs).get("href") or ""
        if address.lower().lstrip().startswith(("javascript:", "data:", "vbscript:")):
            raise FaultError(f"a link to {address} came through")


TARGETS: dict[str, Callable[[], AbstractContextManager[Attempt]]] = {
    "import": importing,
    "restore": restoring,
    "markdown": rendering,
    "requests": requesting,
}


class Watch:
    """Tries inputs, and keeps the first of every fault with its traceback in a folder."""

    def __init__(self, attempt: Attempt, found: Path) -> None:
        self._attempt, self._found = attempt, found
        self.inputs = 0
        self._most = peak_memory_mb()

    def __call__(self, data: bytes) -> None:
        self.inputs += 1
        began = time.process_time()
        try:
            self._attempt(data)
        except PlauditError as error:
            if "\n" in str(error):
                self._note("several lines", data, str(error))
        except Exception as error:
            self._note(where_of(error), data, traceback.format_exc())
        if (seconds := time.process_time() - began) > MOST_SECONDS:
            self._note(f"slow {int(seconds)}", data, f"{seconds:.1f} s")
        if (grown := peak_memory_mb() - self._most) > MOST_MB:
            self._note("memory", data, f"{grown:.0f} MB")
        self._most = max(self._most, peak_memory_mb())

    def _note(self, what: str, data: bytes, words: str) -> None:
        name = "".join(c if c.isalnum() else "-" for c in what)[:100]
        self._found.mkdir(parents=True, exist_ok=True)
        if not (self._found / name).exists():
            (self._found / name).write_bytes(data)
            (self._found / f"{name}.txt").write_text(words, encoding="utf-8", errors="replace")


def where_of(error: BaseException) -> str:
    """The kind of an error, and the last line of this project that it came through: one fault is told once."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if "plaudit" in f.filename and "_fuzz" not in f.filename
    ]
    last = f"{Path(frames[-1].filename).name} {frames[-1].name} {frames[-1].lineno}" if frames else str(error)
    return f"{type(error).__name__} {last}"
