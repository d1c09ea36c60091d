"""Models by name: the embedded one, a folder on disk, or a Hugging Face id. One place that loads any of them."""

from __future__ import annotations

import json
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
from plaudit.printable import make_printable

NOT_FOUND = 404
OWN_CODE = {"trust_remote_code": False}  # else transformers asks on the terminal whether to run what came with a model


@dataclass(frozen=True)
class LanguageModel:
    """A trunk, its tokenizer, the name that loads both again, and how it computes here."""

    name: str
    trunk: Trunk
    tokenizer: Any
    arithmetic: Arithmetic

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Every token that ends an answer: of the tokenizer, of the model's configuration and of its generation's."""
        generation = getattr(self.trunk.model, "generation_config", None)
        declared: list[Any] = [self.tokenizer.eos_token_id]
        for config in (self.trunk.config, self.trunk.model.config, generation):
            ends = getattr(config, "eos_token_id", None)
            declared += ends if isinstance(ends, list) else [ends]
        return tuple({end for end in declared if end is not None})


def load(
    name: str,
    *,
    split: int | None = None,
    dtype: str = "auto",
    threads: int = 0,
) -> LanguageModel:
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
    from transformers import AutoModelForCausalLM

    tune(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    arithmetic = choose_arithmetic(dtype, device)
    quiet_transformers()
    path = locate(name)
    try:
        tokenizer = tokenizer_of(path)
        model: Any = load_whole(AutoModelForCausalLM, path, name, DTYPES[arithmetic.dtype])
    except UsageError:
        raise
    except Exception as error:  # torn files, formats that need other packages, a hub in trouble
        raise no_such_model(name, path, error) from error
    model.to(device)
    separate_pad(tokenizer)
    loaded = LanguageModel(name, Trunk(model, split), tokenizer, arithmetic)
    _check_tokens(loaded)
    return loaded


def tokenizer_of(path: str) -> Any:
    """What `from_pretrained` finds there; raises whatever that does."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path, **OWN_CODE)


def load_whole(auto: Any, path: str, name: str, dtype: torch.dtype) -> Any:
    """A model with eager attention, of which every weight comes from its files.

    Raises:
        UsageError: some do not: transformers would draw them at random, anew each time. Or they are quantised.
    """
    from transformers import AutoConfig

    _check_weights(path, name)
    config: Any = AutoConfig.from_pretrained(path, **OWN_CODE)
    if getattr(config, "quantization_config", None) or getattr(config.get_text_config(), "quantization_config", None):
        raise UsageError(f"The weights of {name} are quantised, which adapters cannot be added to: name the original.")
    model, info = auto.from_pretrained(
        path, config=config, dtype=dtype, attn_implementation="eager", output_loading_info=True,
        use_safetensors=True, **OWN_CODE,
    )  # fmt: skip
    lacking = sorted({*info["missing_keys"], *(key for key, *_ in info.get("mismatched_keys", ()))})
    if lacking:
        others = f", but has {_few(sorted(info['unexpected_keys']))}" if info["unexpected_keys"] else ""
        raise UsageError(
            f"The files of {name} lack {_few(lacking)}{others}: without them the model would be partly random, so "
            f"give a complete checkpoint of a {type(model).__name__}."
        )
    return model


def _check_weights(path: str, name: str) -> None:
    """UsageError where the index of the weights names anything but safetensors beside it: torch would unpickle it."""
    from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, cached_file

    try:
        index = cached_file(path, SAFE_WEIGHTS_INDEX_NAME)
    except OSError:  # one file holds all of them, or what is wrong is told by who loads them
        return
    files = set(json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values()) if index else set()
    strange = sorted(file for file in files if not file.endswith(".safetensors") or Path(file).name != file)
    if strange:
        where = make_printable(_few(strange))
        raise UsageError(
            f"The weights of {name} are in {where}: Plaudit reads safetensors in the model's own "
            "folder alone. Save the model with `save_pretrained`, which writes them."
        )


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _check_tokens(model: LanguageModel) -> None:
    """Refuse a tokenizer that does not belong, and forbid what no reader of an answer would see.

    A special token is not shown, so a policy that writes one says something that no person has judged. Neither does a
    row of the embedding without a token.
    """
    size, known = model.trunk.head.weight.shape[0], model.tokenizer.get_vocab()
    check_vocabulary(model.name, model.tokenizer, size)
    if not model.end_ids:
        raise UsageError(
            f"{model.name} has no end-of-sequence token, so no answer would ever end: set eos_token in its "
            "tokenizer_config.json."
        )
    nameless = set(range(size)) - set(known.values())
    # A pad that `separate_pad` took from the vocabulary is a word all the same: GPT-2's first is "!".
    unseen = set(model.tokenizer.all_special_ids) & set(model.tokenizer.added_tokens_decoder)
    model.trunk.head.forbid({*unseen, *nameless} - set(model.end_ids))


def check_vocabulary(name: str, tokenizer: Any, size: int) -> None:
    """UsageError where the tokenizer has tokens for which the model, with `size` of them, has no embedding."""
    largest = max(tokenizer.get_vocab().values())
    if largest >= size:
        raise UsageError(
            f"The tokenizer of {name} has {largest + 1} tokens and its model {size}: they are of different models, or "
            "tokens were added without resizing the embedding."
        )


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


def no_such_model(name: str, path: str, error: Exception, otherwise: str = ANOTHER) -> PlauditError:
    """Why `name` could not be loaded, as far as its folder, the hub or the error says; what else to do, at the end."""
    folder, reason = Path(path), (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    if folder.is_dir():
        # safetensors takes a file that it may not read for one that is not there, so the files are asked themselves
        if closed := [file.name for file in sorted(folder.iterdir()) if not os.access(file, os.R_OK)]:
            return PlauditError(f"No permission to read {closed[0]} in {folder}: ask the file's owner for it.")
        return UsageError(f"The model in {folder} could not be loaded: {reason}.")
    if (status := _status(error)) is not None and status != NOT_FOUND:
        return _refused_by_hub(name, status)
    if status is None and not isinstance(error, OSError):
        return UsageError(f"The model {name} could not be loaded: {reason}.")
    if not hub.ready():
        return UsageError(
            f"The model {name} is neither a folder nor in the local Hugging Face cache, and the hub cannot be reached: "
            f"connect once, copy the model here and give its path, or {otherwise}."
        )
    return UsageError(
        f"There is no model {name}: give a folder in Hugging Face format, the id of a model on the hub, or {otherwise}."
    )


def _refused_by_hub(name: str, status: int) -> PlauditError:
    if status in (401, 403):
        return UsageError(
            f"The hub gives {name} to nobody unknown: it is private, gated, or not there. Accept its terms on "
            "huggingface.co, and log in by `hf auth login`."
        )
    return PlauditError(f"The hub could not give {name} (it answered {status}): try again later.")


def _status(error: BaseException | None) -> int | None:
    """What the hub answered, from the error or those that it came from."""
    while error is not None:
        if isinstance(status := getattr(getattr(error, "response", None), "status_code", None), int):
            return status
        error = error.__cause__ or error.__context__
    return None
