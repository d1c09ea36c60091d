"""Model names, and the Hugging Face hub behind some of them. Nothing is loaded here: `plaudit init` must not wait.

The hub is asked once and briefly whether it is there: its libraries try every file five times before they give up, most
of a minute with nothing to be seen, even for what is in the cache. Where nobody answers they are told to work offline:
what is cached loads at once, the rest is refused at once.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from pathlib import Path

from plaudit.errors import UsageError

SECONDS = 5.0
EMBEDDED = "smollm2"
EMBEDDED_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"  # what it was before it was quantised
ANOTHER = f"name another model, such as {EMBEDDED} (a workspace's is named in its plaudit.toml)"


def ready() -> bool:
    """Whether the hub answers. Where it does not, its libraries work offline from here on."""
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE and not _answers(constants.ENDPOINT):
        constants.HF_HUB_OFFLINE = True
        if "datasets" in sys.modules:  # it has its own copy
            sys.modules["datasets"].config.HF_HUB_OFFLINE = True
    return not constants.HF_HUB_OFFLINE


def _answers(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=SECONDS).close()
    except urllib.error.HTTPError:
        return True  # a refusal is an answer
    except OSError:
        return False
    return True


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


def loadable_name(name: str) -> str:
    """What other libraries can load the model `name` by, from any folder: an id of the hub, or an absolute path."""
    if name == EMBEDDED:
        return EMBEDDED_ID
    folder = Path(name).expanduser()
    return str(folder.resolve()) if folder.is_dir() else name
