"""Models by name: the embedded one, a folder on disk, or a Hugging Face id. One place that loads any of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from plaudit import hub
from plaudit.errors import PlauditError, UsageError
from plaudit.hub import ANOTHER, EMBEDDED, folder_of
from plaudit.models.arithmetic import DTYPES, Arithmetic, choose_arithmetic
from plaudit.models.embedded import embedded_model
from plaudit.models.runtime import tune
from plaudit.models.trunk import Trunk


@dataclass(frozen=True)
class LanguageModel:
    """A trunk, its tokenizer, the name that loads both again, and how it computes here."""

    name: str
    trunk: Trunk
    tokenizer: Any
    arithmetic: Arithmetic

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Every token that ends an answer: the tokenizer's end of sequence, and the model's own list of them."""
        declared: Any = self.trunk.config.eos_token_id
        extra = declared if isinstance(declared, list) else [declared]
        return tuple({self.tokenizer.eos_token_id, *(e for e in extra if e is not None)})


def load(name: str, *, split: int | None = None, dtype: str = "auto", threads: int = 0) -> LanguageModel:
    """Load the model `name` on the best device there is.

    Args:
        name: `smollm2`, a folder in Hugging Face format, or a Hugging Face id.
        split: see `Trunk`.
        dtype: `bf16`, `fp16` or `fp32`, or `auto` for what is fastest here.
        threads: to compute on, for the whole process; 0 for as many as there are cores to use.

    Raises:
        UsageError: there is no such model, its architecture cannot be the trunk, or the device does not compute so.
        PlauditError: the embedded model could not be fetched, or the model's files may not be read.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tune(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    arithmetic = choose_arithmetic(dtype, device)
    quiet_transformers()
    path = locate(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=DTYPES[arithmetic.dtype])
    except (OSError, ValueError, KeyError) as error:
        raise _no_such_model(name, path, error) from error
    model.to(device)
    separate_pad(tokenizer)
    return LanguageModel(name, Trunk(model, split), tokenizer, arithmetic)


def locate(name: str) -> str:
    """What `from_pretrained` is to be given for `name`; an id is the hub's, which is asked whether it is there."""
    if name == EMBEDDED:
        return str(embedded_model())
    if folder := folder_of(name):
        return str(folder)
    hub.ready()
    return name


def quiet_transformers() -> None:
    """The libraries' own bars, advice and retries say nothing that a user of plaudit can act on."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()


def separate_pad(tokenizer: Any) -> None:
    """Give the tokenizer a PAD that is not EOS: where they are one, the end of every answer looks like padding."""
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id != tokenizer.eos_token_id:
        return
    spare = [t for t in tokenizer.all_special_tokens if t not in (tokenizer.eos_token, tokenizer.bos_token)]
    # Any valid id will do, since padding is masked by position and never by identity.
    tokenizer.pad_token = spare[0] if spare else tokenizer.convert_ids_to_tokens(0)


def _no_such_model(name: str, path: str, error: Exception) -> PlauditError:
    folder = Path(path)
    if folder.is_dir():
        # safetensors takes a file that it may not read for one that is not there, so the files are asked themselves
        if closed := [file.name for file in sorted(folder.iterdir()) if not os.access(file, os.R_OK)]:
            return PlauditError(f"No permission to read {closed[0]} in {folder}: ask the file's owner for it.")
        reason = str(error).splitlines()[0]
        return UsageError(f"The model in {folder} could not be loaded: {reason}")
    if not hub.ready():
        return UsageError(
            f"The model {name} is neither a folder nor in the local Hugging Face cache, and the hub cannot be reached: "
            f"connect once, copy the model here and give its path, or {ANOTHER}."
        )
    return UsageError(
        f"There is no model {name}: give {EMBEDDED}, a folder in Hugging Face format, or the id of a model on the hub."
    )
