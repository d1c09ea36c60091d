"""What a model's name says by itself, without loading anything: `plaudit init` asks, and must not wait for torch."""

from __future__ import annotations

from pathlib import Path

from plaudit.errors import UsageError

EMBEDDED = "smollm2"
ANOTHER = f"name another model, such as {EMBEDDED} (a workspace's is named in its plaudit.toml)"


def folder_of(name: str) -> Path | None:
    """The folder that `name` names; None for the embedded model and for an id, which only the hub knows.

    Raises:
        UsageError: `name` is a path, and there is no model in Hugging Face format.
    """
    folder = Path(name).expanduser()
    if name == EMBEDDED:
        return None
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise UsageError(f"The folder {name} holds no config.json, so it is not a model in Hugging Face format.")
        return folder
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UsageError(f"There is no model folder {name}: check the path, or {ANOTHER}.")
    return None
