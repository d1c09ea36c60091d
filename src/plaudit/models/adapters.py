"""Adapters on disk: PEFT's format, so that PEFT, vLLM and every server that reads it can load what was trained here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save

from plaudit.errors import UsageError
from plaudit.files import write_atomically
from plaudit.models.trunk import LoraSettings, Trunk

PREFIX = "base_model.model."  # PEFT wraps the model twice


def save_adapter(trunk: Trunk, name: str, folder: Path, base_model: str) -> None:
    """Write `adapter_model.safetensors` and `adapter_config.json` for the adapter `name`."""
    parameters = trunk.adapter_parameters(name)
    tensors = {f"{PREFIX}{path}.weight": p.detach().cpu().contiguous() for path, p in parameters.items()}
    settings, paths = trunk.adapters[name], {path.rpartition(".")[0] for path in parameters}
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "inference_mode": True,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "target_modules": sorted({path.rpartition(".")[2] for path in paths}),
        "layers_to_transform": sorted({trunk.layer_index(path) for path in paths}),
        "layers_pattern": trunk.layers_name,
    }
    write_atomically(folder / "adapter_model.safetensors", save(tensors, metadata={"format": "pt"}))
    write_atomically(folder / "adapter_config.json", json.dumps(config, indent=2) + "\n")


def load_adapter(trunk: Trunk, name: str, folder: Path) -> None:
    """Add the adapter in `folder` to the trunk as `name`.

    Raises:
        UsageError: the folder holds no adapter, or one for another model.
    """
    try:
        config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text())
        tensors = load_file(folder / "adapter_model.safetensors")
    except (OSError, ValueError) as error:
        raise UsageError(f"There is no adapter in {folder} ({error}): name a finished run.") from error
    last = max(config["layers_to_transform"])
    trunk.add_adapter(name, LoraSettings(config["r"], config["lora_alpha"]), seed=0, depth=last + 1)
    parameters = trunk.adapter_parameters(name)
    expected = {f"{PREFIX}{path}.weight": p for path, p in parameters.items()}
    if expected.keys() != tensors.keys() or any(expected[k].shape != t.shape for k, t in tensors.items()):
        trunk.drop_adapter(name)
        raise UsageError(
            f"The adapter in {folder} was made for {config.get('base_model_name_or_path', 'another model')} with other "
            "layers than this trunk's: load it with the model and split that it was trained with."
        )
    for key, tensor in tensors.items():
        expected[key].data.copy_(tensor)
