"""The Hugging Face hub, asked once and briefly whether it is there.

Its libraries try every file five times before they give up: most of a minute with nothing to be seen, even for what is
in the cache. Where nobody answers they are told to work offline: what is cached loads at once, the rest is refused at
once.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

SECONDS = 5.0


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
