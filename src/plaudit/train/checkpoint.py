"""All that a resumed run of training needs, in one file that is replaced whole: a kill leaves the previous one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from plaudit.errors import PlauditError
from plaudit.files import one_line, write_atomically


def save_checkpoint(
    folder: Path,
    tensors: Mapping[str, Tensor],
    optimizers: Mapping[str, torch.optim.Optimizer],
    state: dict[str, float],
) -> None:
    """All that a resumed run needs, in one file that is replaced whole: a kill leaves the previous one."""
    everything = {f"parameter/{name}": t.detach().cpu().contiguous() for name, t in tensors.items()}
    for name, optimizer in optimizers.items():
        for index, moments in optimizer.state_dict()["state"].items():
            everything |= {f"{name}/{index}/{key}": t.detach().cpu().contiguous() for key, t in moments.items()}
    write_atomically(folder / "state.safetensors", save(everything, metadata={"state": json.dumps(state)}))


def load_checkpoint(
    folder: Path, tensors: Mapping[str, Tensor], optimizers: Mapping[str, torch.optim.Optimizer]
) -> dict[str, float] | None:
    """Put a checkpoint back in place and return its state; None where there is none yet.

    Raises:
        PlauditError: the checkpoint is damaged, or of another model or configuration.
    """
    path = folder / "state.safetensors"
    if not path.exists():
        return None
    state, stored = _read(path)
    shapes = {key: tensor.shape for key, tensor in stored.items() if key.startswith("parameter/")}
    if {f"parameter/{name}": tensor.shape for name, tensor in tensors.items()} != shapes:
        raise PlauditError(f"The checkpoint in {folder} is of another model or configuration: start a new run.")
    for name, tensor in tensors.items():
        tensor.data.copy_(stored[f"parameter/{name}"])
    for name, optimizer in optimizers.items():
        moments: dict[int, dict[str, Tensor]] = {}
        for key, tensor in stored.items():
            if key.startswith(f"{name}/"):
                _, index, kind = key.split("/")
                moments.setdefault(int(index), {})[kind] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    return state


def _read(path: Path) -> tuple[dict[str, float], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            state: dict[str, float] = json.loads(file.metadata()["state"])
            return state, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise PlauditError(
            f"The checkpoint {path} is damaged ({one_line(error)}): remove it to begin at the first iteration again."
        ) from error
