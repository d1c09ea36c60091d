"""The shared trunk: one frozen language model, and small LoRA adapters that make it policy, reward model and critic.

PPO needs a policy, a reference, a reward model and a critic. Here they are one set of weights: the reference is the
trunk with no adapter, each of the others is an adapter (LoRA, arXiv 2106.09685) in the upper layers only, unless told
otherwise. The layers below `split` are then the same for all four: their output is computed once a batch (`lower`), and
never differentiated.

The layers are run by the model's own forward (`layers`) with attention over packed rows (`attention`). What comes out
is compared with the untouched model on loading (`fidelity`): what is not the same is refused, not mistrained.

Shapes: B rows, L tokens a row, D hidden size, V vocabulary, N selected positions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from plaudit.errors import UsageError
from plaudit.files import write_atomically
from plaudit.hub import loadable_name
from plaudit.models.attention import ATTENTION
from plaudit.models.fidelity import compare, read_untouched
from plaudit.models.head import Head
from plaudit.models.layers import Layers
from plaudit.models.logprobs import TokenLogprobs
from plaudit.models.lora import Active, AdaptedLinear, LoraSettings
from plaudit.models.packing import Tokens
from plaudit.models.prepacked import MOST_BYTES, prepack

PREFIX = "base_model.model."  # PEFT wraps the model twice
# In a mixture of experts PEFT reads these names as the experts' own tensors, also where a plain layer or an expert that
# all tokens share has them (peft #3711): they stay without adapters, so that what is saved is what is loaded.
OF_EXPERTS = {"gate", "gate_proj", "up_proj", "down_proj", "w1", "w2", "w3"}


class Trunk:
    """A frozen causal language model that several adapters share.

    Args:
        model: a Hugging Face causal language model; it is frozen and its dropout switched off.
        split: number of layers at the bottom that no adapter touches, unless it is told to. Default: half of them.

    Raises:
        UsageError: the model's layout is not one that this class runs faithfully.
    """

    def __init__(self, model: Any, split: int | None = None) -> None:
        model.eval().requires_grad_(False)
        self.model, self.config = model, model.config.get_text_config(decoder=True)
        try:
            untouched = read_untouched(model)
            self.head, self._layers = Head.of(model), Layers(model)
            model.config._attn_implementation = ATTENTION
            self.layers: list[Any] = list(self._layers.list)
            self._path = self._layers.path
            self.layers_name = self._path.rpartition(".")[2]
            self.layers_path = next(path for path, m in self.decoder.named_modules() if m is self._layers.list)
            self._upper = len(self.layers) // 2 if split is None else split
            self._has_experts = any(p.dim() == 3 for p in self._layers.list.parameters())
            self.active = Active()
            self.adapters: dict[str, LoraSettings] = {}
            self._starts: dict[str, int] = {}  # adapter -> its lowest layer
            self.adapted: dict[str, AdaptedLinear] = {}  # module path -> layer that an adapter may touch
            for index in range(len(self.layers)):
                self._wrap(index)
            if not self.adapted:
                raise UsageError("its layers have no linear modules for an adapter")
            compare(self, model, untouched)
        except Exception as error:
            raise UsageError(f"A {model.config.model_type} model cannot be the trunk: {_reason(error)}.") from error

    def _wrap(self, index: int) -> None:
        layer = self.layers[index]
        for path, module in list(layer.named_modules()):
            name = path.rpartition(".")[2]
            # A subclass of nn.Linear computes something of its own.
            if type(module) is nn.Linear and not (self._has_experts and name in OF_EXPERTS):
                parent = layer.get_submodule(path.rpartition(".")[0])
                adapted = AdaptedLinear(module, self.active)
                setattr(parent, name, adapted)
                self.adapted[f"{self._path}.{index}.{path}"] = adapted

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.head.weight.dtype

    @property
    def depth(self) -> int:
        return len(self.layers)

    @property
    def decoder(self) -> Any:
        """The transformers model without a head that runs the layers."""
        return self._layers.decoder

    @property
    def split(self) -> int:
        """How many layers at the bottom are the same for all adapters that there are."""
        return min(self._upper, *self._starts.values(), self.depth)

    @property
    def hidden_size(self) -> int:
        return int(self.config.hidden_size)

    def add_adapter(
        self, name: str, settings: LoraSettings, seed: int, depth: int | None = None, start: int | None = None
    ) -> None:
        """A new adapter `name` in layers `start` to `depth` (default: all the upper ones). It changes nothing yet."""
        generator = torch.Generator().manual_seed(seed)
        start = self._upper if start is None else start
        for path, layer in self.adapted.items():
            if start <= self.layer_index(path) < (self.depth if depth is None else depth):
                layer.add(name, settings, generator)
        self.adapters[name], self._starts[name] = settings, start

    def drop_adapter(self, name: str) -> None:
        for layer in self.adapted.values():
            if name in layer.a:
                del layer.a[name], layer.b[name], layer.scales[name]
        del self.adapters[name], self._starts[name]

    def save_adapter(self, name: str, folder: Path, base_model: str) -> None:
        """Write the adapter `name` in PEFT's format, so that PEFT, vLLM and whatever reads it can load it.

        `adapter_model.safetensors` and `adapter_config.json`, which names `base_model` as others can load it.
        """
        parameters = self.adapter_parameters(name)
        tensors = {f"{PREFIX}{path}.weight": p.detach().cpu().contiguous() for path, p in parameters.items()}
        settings, paths = self.adapters[name], {path.rpartition(".")[0] for path in parameters}
        config = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": loadable_name(base_model),
            "inference_mode": True,
            "r": settings.rank,
            "lora_alpha": settings.alpha,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": False,
            "init_lora_weights": True,
            "target_modules": sorted({path.rpartition(".")[2] for path in paths}),
            "layers_to_transform": sorted({self.layer_index(path) for path in paths}),
            "layers_pattern": self.layers_name,
        }
        write_atomically(folder / "adapter_model.safetensors", save(tensors, metadata={"format": "pt"}))
        write_atomically(folder / "adapter_config.json", json.dumps(config, indent=2) + "\n")

    def load_adapter(self, name: str, folder: Path) -> None:
        """Add the adapter in `folder` as `name`.

        Raises:
            UsageError: the folder holds no adapter, or one for another model.
        """
        config, _ = _read_adapter(folder)
        settings, layers = LoraSettings(config["r"], config["lora_alpha"]), config["layers_to_transform"]
        self.add_adapter(name, settings, seed=0, depth=max(layers) + 1, start=min(layers))
        try:
            self.fill_adapter(name, folder)
        except UsageError:
            self.drop_adapter(name)
            raise

    def fill_adapter(self, name: str, folder: Path) -> None:
        """Put the weights in `folder` into the adapter `name`, which is there. UsageError as `load_adapter`."""
        config, tensors = _read_adapter(folder)
        expected = {f"{PREFIX}{path}.weight": p for path, p in self.adapter_parameters(name).items()}
        if expected.keys() != tensors.keys() or any(expected[k].shape != t.shape for k, t in tensors.items()):
            raise UsageError(
                f"The adapter in {folder} was made for {config.get('base_model_name_or_path', 'another model')} with "
                "other layers than this trunk's: load it with the model and split that it was trained with."
            )
        for key, tensor in tensors.items():
            expected[key].data.copy_(tensor)

    def layer_index(self, path: str) -> int:
        """Which layer the module at `path` (as in `adapted`) belongs to."""
        return int(path.removeprefix(f"{self._path}.").split(".")[0])

    def adapter_parameters(self, name: str) -> dict[str, nn.Parameter]:
        """Module path + ".lora_A" / ".lora_B" -> parameter, for one adapter."""
        parameters = {}
        for path, layer in self.adapted.items():
            if name in layer.a:
                parameters[f"{path}.lora_A"] = layer.a[name]
                parameters[f"{path}.lora_B"] = layer.b[name]
        return parameters

    def merged_weights(self, name: str, depth: int) -> dict[str, Tensor]:
        """Path in `decoder` -> weight, of the lowest `depth` layers and what is no layer, the adapter folded in."""
        inside = self._path.removesuffix(self.layers_path)
        merged = {f"{path}.weight": layer.merge(name) for path, layer in self.adapted.items() if name in layer.a}
        of_adapters = tuple(f"{path}.{part}." for path in self.adapted for part in ("a", "b"))
        weights = {}
        for path, tensor in self.decoder.state_dict().items():
            whole = f"{inside}{path}"
            is_layer = path.startswith(f"{self.layers_path}.")
            if not whole.startswith(of_adapters) and not (is_layer and self.layer_index(whole) >= depth):
                weights[path] = merged.get(whole, tensor).detach().cpu()
        return weights

    @contextmanager
    def using(self, name: str | None) -> Iterator[None]:
        """Apply the adapter `name` (None: the bare trunk) inside the block."""
        previous, self.active.name = self.active.name, name
        try:
            yield
        finally:
            self.active.name = previous

    @contextmanager
    def merged(self, name: str | None) -> Iterator[None]:
        """As `using`, for sampling: the adapter is folded into a copy of the weights, in the order of fastest products.

        Other weights are brought into that order only where a copy of all of them is small.
        """
        adapted = [layer for layer in self.adapted.values() if name is not None and name in layer.a]
        others: list[Any] = [self.head, *(layer for layer in self.adapted.values() if layer not in adapted)]
        with torch.no_grad(), self.using(name):
            try:
                for layer in adapted:
                    layer.ready = prepack(layer.merge(str(name)))
                if sum(it.weight.nbytes for it in others) <= MOST_BYTES:
                    for it in others:
                        it.ready = prepack(it.weight)
                yield
            finally:
                for it in (*adapted, *others):
                    it.ready = None

    @torch.no_grad()
    def lower(self, tokens: Tokens, cache: Any = None) -> Tensor:
        """Hidden states (B, L, D) where the adapters begin: the same for all of them."""
        return self._layers.run(tokens, 0, self.split, cache=cache)[0]

    def upper(self, hidden_BLD: Tensor, tokens: Tokens, depth: int | None = None, cache: Any = None) -> Tensor:
        """Hidden states (B, L, D) after layer `depth` (default: all and the final norm), with the active adapter."""
        reached_BLD, final_BLD = self._layers.run(tokens, self.split, depth or self.depth, hidden_BLD, cache)
        return final_BLD if depth is None else reached_BLD

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits for hidden states of any shape (..., D)."""
        return self.head.logits(hidden)

    def token_logprobs(
        self, hidden_ND: Tensor, targets_N: Tensor, temperature: float = 1.0, learns_entropy: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Log-probability of each target and the entropy (both (N,), nats, fp32) of softmax(logits / temperature).

        The sampler divides by the same temperature: a policy is what it samples from (TRL #4159).
        """
        logprobs_N, entropy_N = TokenLogprobs.apply(hidden_ND, self.head, targets_N, temperature, learns_entropy)
        return logprobs_N, entropy_N


def _read_adapter(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The settings and weights of a saved adapter. UsageError where there is none."""
    try:
        config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text())
        tensors = load_file(folder / "adapter_model.safetensors")
        _ = LoraSettings(config["r"], config["lora_alpha"]), min(config["layers_to_transform"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UsageError(f"There is no whole adapter in {folder} ({error}): name a finished run.") from error
    return config, tensors


def _reason(error: Exception) -> str:
    """A clause for a sentence: ours as they are, and the first line of anything that its own code raised."""
    if isinstance(error, UsageError):
        return str(error)
    line = (str(error).strip().splitlines() or ["no reason given"])[0].rstrip(".")
    return f"its own code does not run as plaudit needs it ({type(error).__name__}: {line})"
