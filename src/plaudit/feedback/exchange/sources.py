"""Where imported records come from: files, archives, folders, and Hugging Face data sets. Each record knows its place.

A source can be read again from its beginning. What cannot be read raises UsageError (the source is wrong) or
PlauditError (disk, network), a sentence each.
"""

from __future__ import annotations

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from plaudit import hub
from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.exchange.formats.fields import side_of
from plaudit.feedback.exchange.readers import (
    LONGEST_READ,
    SUFFIXES,
    Bad,
    Part,
    Placed,
    is_hidden,
    largest_unpacked,
    malformed_error,
    reader_for,
    suffix_of,
)
from plaudit.files import one_line, writing
from plaudit.memory import bounded_memory, most_memory

ARCHIVE = ".zip"
_HUB_ID = re.compile(r"(?P<name>[\w.-]+(/[\w.-]+)?)(:((?P<config>[\w.-]+)/)?(?P<split>[\w.\[\]%-]+))?")
_DAMAGES = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError)
_READABLE = f"{', '.join(SUFFIXES)} (or those with .gz) or {ARCHIVE}"


def records(source: str) -> Iterator[Placed]:
    """Every record of a file, a folder or a Hugging Face data set, in order, with its place."""
    path = path_of(source)
    if path.is_dir():
        yield from _folder(path)
    elif path.is_file():
        yield from _file(path)
    elif suffix_of(path.name) or path.suffix.lower() == ARCHIVE or not _HUB_ID.fullmatch(source):
        raise UsageError(f"There is no file or folder {source}. Check the path.")
    else:
        yield from _hub(source)


def with_side(record_tags: Mapping[str, str], where: str) -> Mapping[str, str]:
    """The tags of a record, with the side that its part of the data set is called by where they name none."""
    side = side_of(where.part) if isinstance(where, Part) and "split" not in record_tags else None
    return {**record_tags, "split": str(side)} if side else record_tags


def whole(placed: Iterable[Placed]) -> Iterator[Placed]:
    """The records as they are, where the first that is malformed stops all of them: UsageError."""
    for where, record in placed:
        if isinstance(record, Bad):
            raise malformed_error(where, record.what)
        yield where, record


def path_of(source: str) -> Path:
    """The path that was typed, where `~` is a home. UsageError for the home of somebody unknown."""
    try:
        return Path(source).expanduser()
    except RuntimeError as error:
        raise UsageError(f"There is no file or folder {source}. Check the path.") from error


def name_of(source: str) -> str:
    """What to call a source that has no name: its file, or the folder of a file that is just `train` or `test`."""
    path = path_of(source)
    if not path.exists():
        return source.partition(":")[0]
    path = path.resolve()
    stem = path.name.partition(".")[0] if path.is_file() else path.name
    return path.parent.name if stem in {"train", "test", "validation", "data"} and path.parent.name else stem


def _folder(path: Path) -> Iterator[Placed]:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        yield from _read_saved_dataset(path)
        return
    found = sorted(p for p in path.rglob("*") if p.is_file() and not is_hidden(p.relative_to(path)))
    files = [p for p in found if suffix_of(p.name) or p.suffix.lower() == ARCHIVE]
    saved = sorted({p.parent for p in path.rglob("state.json")} if not files else ())
    if not files and not saved:
        raise UsageError(f"The folder {path} holds none of {_READABLE}.")
    parts = _parts([str(each.relative_to(path)) for each in (*files, *saved)])
    for file in files:
        yield from _of_part(_file(file), parts[str(file.relative_to(path))])
    for folder in saved:
        yield from _of_part(_read_saved_dataset(folder), parts[str(folder.relative_to(path))])


def _parts(names: list[str]) -> dict[str, str]:
    """What part of its data set each of several files is by its name, "" where none is told.

    A name begins with it, as `test-00000-of-00001` and the folder `test` do; or ends so, beside one that ends `train`.
    """
    words = {name: [word for word in PurePosixPath(name).parts if word] for name in names}
    stems = {name: (*parts[:-1], parts[-1].partition(".")[0]) for name, parts in words.items() if parts}
    ends = any(re.search(r"(?i)(^|[_.-])train(ing)?$", stem) for parts in stems.values() for stem in parts)
    found: dict[str, str] = dict.fromkeys(names, "")
    for name, parts in stems.items():
        for stem in parts:
            begins = re.match(r"[A-Za-z]+\d*(?![A-Za-z0-9])", stem)
            last = re.search(r"[A-Za-z]+$", stem) if ends else None
            named = [each[0] for each in (begins, last) if each and side_of(each[0])]
            found[name] = named[0] if named else found[name]
    return found


def _of_part(placed: Iterable[Placed], part: str) -> Iterator[Placed]:
    """Records of a part of the data set, but for those that name their own."""
    if not part:
        yield from placed
        return
    for where, record in placed:
        yield where if isinstance(where, Part) else Part(where, part), record


def _file(path: Path) -> Iterator[Placed]:
    if path.suffix.lower() == ARCHIVE:
        yield from _archive(path)
        return
    if not suffix_of(path.name):
        raise UsageError(f"{path} is none of {_READABLE}. Rename or convert it.")
    with writing(path), _whole(path), _open(path) as file:
        yield from reader_for(suffix_of(path.name))(str(path), file)


def _archive(path: Path) -> Iterator[Placed]:
    with writing(path), _whole(path), zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name and not name.endswith("/")]
        readable = sorted(name for name in names if suffix_of(name) and not is_hidden(Path(PurePosixPath(name))))
        if not readable:
            raise UsageError(f"The archive {path} holds none of {', '.join(SUFFIXES)} (or those with .gz).")
        left = largest_unpacked(path.stat().st_size)
        parts = _parts(readable)
        for name in readable:
            packed = name.lower().endswith(".gz")
            with archive.open(name) as member, gzip.open(member) if packed else nullcontext(member) as content:
                unpacking = _Unpacking(cast(IO[bytes], content), left, f"{path}/{name}")
                yield from _of_part(reader_for(suffix_of(name))(f"{path}/{name}", _buffered(unpacking)), parts[name])
                left -= unpacking.reached


def _open(path: Path) -> IO[bytes]:
    if not path.name.lower().endswith(".gz"):
        return path.open("rb")
    limit = largest_unpacked(path.stat().st_size)
    return _buffered(_Unpacking(cast(IO[bytes], gzip.GzipFile(path)), limit, str(path)))


def _buffered(content: io.RawIOBase) -> IO[bytes]:
    return io.BufferedReader(content, 1 << 16)


class _Unpacking(io.RawIOBase):
    """What is packed, read up to a limit: small when packed may be large, also where the archive says otherwise."""

    def __init__(self, content: IO[bytes], limit: int, where: str) -> None:
        self._content, self._limit, self._where = content, limit, where
        self.reached = 0  # bytes from the beginning, the most so far

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._reach(moved := self._content.seek(offset, whence))
        return moved

    def tell(self) -> int:
        return self._content.tell()

    def readinto(self, buffer: Any) -> int:
        read = self._content.read(min(len(buffer), LONGEST_READ))
        self._reach(self._content.tell())
        buffer[: len(read)] = read
        return len(read)

    def close(self) -> None:
        self._content.close()
        super().close()

    def _reach(self, position: int) -> None:
        self.reached = max(self.reached, position)
        if self.reached > self._limit:
            raise malformed_error(self._where, "unpacks to far more than data do; if it is right, unpack it yourself")


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    try:
        yield
    except (*_DAMAGES, UnicodeDecodeError) as error:  # a name in a zip archive; readers tell of their texts
        kind = "zip archive" if path.suffix.lower() == ARCHIVE else "gzip file"
        raise UsageError(
            f"{path} is a damaged {kind}: {one_line(error)}. Nothing was imported. Fetch it again."
        ) from error
    except RuntimeError as error:  # zipfile's word for an archive with a password
        if "password" not in str(error):
            raise
        raise UsageError(f"{path} has a password. Unpack it and import the files.") from error


def _read_saved_dataset(path: Path) -> Iterator[Placed]:
    import datasets

    most = most_memory(sum(file.stat().st_size for file in path.rglob("*") if file.is_file()))
    try:
        with bounded_memory(most):
            loaded = datasets.load_from_disk(str(path))
    except Exception as error:  # whatever a file of another version or a missing part makes it raise
        raise UsageError(f"The data set saved in {path} cannot be read ({one_line(error)}).") from error
    for split, part in loaded.items() if isinstance(loaded, datasets.DatasetDict) else [("", loaded)]:
        for number, record in enumerate(_of_texts(part), 1):
            yield Part(f"{path}, {split} row {number}".replace("  ", " "), split), record


def _of_texts(loaded: Any) -> Any:
    """A data set without pictures and sounds: reading one opens it, under whatever path the data set says."""
    return loaded.remove_columns([name for name, feature in loaded.features.items() if _has_media(feature)])


def _has_media(feature: Any) -> bool:
    """Whether a column is decoded otherwise than from JSON."""
    import datasets

    inside = feature.values() if isinstance(feature, dict) else feature if isinstance(feature, list) else ()
    parts = (*inside, *([feature.feature] if hasattr(feature, "feature") else []))
    is_json = isinstance(feature, getattr(datasets, "Json", ()))
    return (hasattr(feature, "decode") and not is_json) or any(map(_has_media, parts))


def _hub(source: str) -> Iterator[Placed]:
    hub.ready()
    match = _HUB_ID.fullmatch(source)
    assert match
    try:
        loaded = _load(match["name"], match["config"], match["split"] or "train")
    except Exception as error:  # the network, the hub and the data set's own files fail in as many ways as there are
        raise PlauditError(
            f"There is no file or folder {source}, and no Hugging Face data set of that name could be fetched "
            f"({one_line(error)}). Check the name and the network, or fetch it elsewhere and give the file."
        ) from error
    for number, record in enumerate(_of_texts(loaded), 1):
        yield Part(f"{source}, row {number}", match["split"] or "train"), record


def _load(name: str, config: str | None, split: str) -> Any:
    """A split of a data set on the Hub, by the name of its configuration or of a directory in it."""
    import datasets

    if config is None:
        return datasets.load_dataset(name, split=split)
    try:
        return datasets.load_dataset(name, config, split=split)
    except ValueError:  # there is no such configuration
        return datasets.load_dataset(name, data_dir=config, split=split)
