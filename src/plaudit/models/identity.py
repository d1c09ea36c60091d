"""Which model a run rests on: a digest of its weights and tokenizer, so that another one of the same name is noticed.

A name pins nothing: a folder can hold other weights tomorrow, an id on the hub is moved to another revision, and an
adapter fits every trunk of its shape.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from plaudit.errors import PlauditError, UsageError
from plaudit.files import to_json, write_atomically
from plaudit.hub import EMBEDDED, folder_of
from plaudit.models.embedded import cache_folder, embedded_model

WEIGHTS = ("*.safetensors", "*.bin")  # the first kind that there is, as transformers chooses
BESIDE = ("config.json", "generation_config.json", "*.safetensors.index.json", "*.bin.index.json")
TOKENIZER = (
    "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges.txt", "*.model", "*.tiktoken",
    "spiece*", "chat_template*", "chat_templates/*",
)  # fmt: skip
NO_WEIGHTS = ("training_args.bin", "optimizer.bin", "scheduler.bin")
DIGESTS = "digests.json"  # in the cache folder: path -> size, time of change in nanoseconds, SHA-256


def model_digest(model: str) -> str:
    """SHA-256, in hexadecimal, over the weights, configuration, tokenizer and chat template of a model.

    A file that has not changed, by path, size and time, is not read again.

    Args:
        model: `smollm2`, a folder in Hugging Face format, or the id of a model that is in the local cache (loading it
            puts it there); a language model or a reward model.

    Raises:
        UsageError: there is no such model here.
        PlauditError: one of its files cannot be read.
    """
    folder = _folder(model)
    known = _known_digests()
    seen: dict[str, list[Any]] = {}
    whole = hashlib.sha256()
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        seen[str(path.resolve())] = entry = _file_digest(path, known.get(str(path.resolve())))
        whole.update(f"{name}\0{entry[2]}\n".encode())
    if any(known.get(path) != entry for path, entry in seen.items()):
        with suppress(PlauditError):  # a cache that cannot be written costs time, and nothing else
            write_atomically(cache_folder() / DIGESTS, to_json({**known, **seen}))
    return whole.hexdigest()


def _folder(model: str) -> Path:
    if model == EMBEDDED:
        return embedded_model()
    if folder := folder_of(model):
        return folder
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(model, "config.json")
    if not isinstance(config, str):
        raise UsageError(
            f"The model {model} is not in the local Hugging Face cache yet, so its weights have no digest."
        )
    return Path(config).parent


def _files(folder: Path) -> list[Path]:
    """What a model is loaded from: its files by name, sorted."""
    weights = next((found for pattern in WEIGHTS if (found := _matching(folder, (pattern,)))), set())
    return sorted(weights | _matching(folder, (*BESIDE, *TOKENIZER)))


def _matching(folder: Path, patterns: tuple[str, ...]) -> set[Path]:
    found = {path for pattern in patterns for path in folder.glob(pattern)}
    return {path for path in found if path.is_file() and path.name not in NO_WEIGHTS}


def _file_digest(path: Path, known: list[Any] | None) -> list[Any]:
    """Size, time of change and SHA-256; `known` where the first two are as they were."""
    try:
        status = path.stat()
        if known and known[:2] == [status.st_size, status.st_mtime_ns]:
            return known
        with path.open("rb") as file:
            return [status.st_size, status.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest()]
    except OSError as error:
        raise PlauditError(
            f"The model's file {path} cannot be read ({error.strerror or error}), and a run records its digest."
        ) from error


def _known_digests() -> dict[str, list[Any]]:
    """What was read before; a cache that is damaged, or of another form, is as good as none."""
    try:
        stored = json.loads((cache_folder() / DIGESTS).read_text(encoding="utf-8"))
        return {path: entry for path, entry in stored.items() if isinstance(entry, list) and len(entry) == 3}
    except (OSError, ValueError, AttributeError):
        return {}
