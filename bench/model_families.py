"""Every causal class of transformers as the trunk: tiny random ones, packed, cached and through PEFT, or refused.

Each class is built small from its configuration alone, with windows of 64 tokens, and read by its own eager forward in
fp32: texts of 300 tokens, each alone. The trunk then reads them as answers behind shared prompts (packed), token by
token (cached), and with an adapter that PEFT puts on the untouched model (PEFT). A class is right where the largest
difference of a log-probability is at most 1e-4 nats in all three, and refused where plaudit says so in a sentence.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench import Row
from bench._tiny_models import TooLargeError, causal_classes, tiny_model
from plaudit.errors import UsageError
from plaudit.models.decoding import Decoding, prefill
from plaudit.models.lora import LoraSettings
from plaudit.models.packing import pack
from plaudit.models.trunk import Trunk

SEEDS = (0,)
LENGTH = 300
PROMPTS = (140, 140, 60)  # tokens of each text's prompt; the first two are the same
EXACT = 1e-4  # nats
QUICK = ("LlamaForCausalLM", "MistralForCausalLM", "Gemma2ForCausalLM", "GptOssForCausalLM", "MambaForCausalLM")


def main(quick: bool) -> list[Row]:
    warnings.filterwarnings("ignore")
    classes = [c for c in causal_classes() if not quick or c.__name__ in QUICK]
    verdicts: dict[str, list[tuple[str, str]]] = {}
    for model_class in classes:
        verdict, detail = judge(model_class)
        verdicts.setdefault(verdict, []).append((model_class.__name__, detail))
        print(f"{model_class.__name__}: {verdict} {detail}", file=sys.stderr)
    counts = Counter({verdict: len(names) for verdict, names in verdicts.items()})
    right = verdicts.get("right", [])
    built = sum(counts.values()) - counts["not small"]
    return [
        Row("classes that transformers builds small", built),
        Row("  right", counts["right"]),
        Row("  refused in a sentence", counts["refused"]),
        Row("  wrong", counts["wrong"], goal="<= 0"),
        Row("  crashed", counts["crashed"], goal="<= 0"),
        *(Row(f"{name}, largest difference", float(detail), "nats", goal=f"<= {EXACT}") for name, detail in right),
    ]


def judge(model_class: Any) -> tuple[str, str]:
    """One of right, wrong, refused, crashed and not small, with the difference or the reason."""
    try:
        untouched = alone(tiny_model(model_class), texts())
    except Exception as error:  # too large, or transformers itself does not run it from its configuration
        return "not small", str(error) if isinstance(error, TooLargeError) else _line(error)
    try:
        errors = measure(model_class, untouched)
    except UsageError as error:
        return "refused", str(error)
    except Exception as error:
        return "crashed", _line(error)
    worst = max(errors.values())
    right = worst <= EXACT  # a NaN is not
    return ("right", f"{worst:.2g}") if right else ("wrong", ", ".join(f"{k} {v:.2g}" for k, v in errors.items()))


def measure(model_class: Any, untouched: list[Tensor]) -> dict[str, float]:
    """The largest difference of a log-probability, by the way of reading. UsageError where the class is refused."""
    trunk, ids = Trunk(tiny_model(model_class)), texts()
    return {
        "packed": _difference(packed(trunk, ids), untouched),
        "cached": _difference(cached(trunk, ids), untouched, steps=LENGTH - max(PROMPTS)),
        "PEFT": _difference(*with_adapter(trunk, model_class, ids)),
    }


def texts() -> Tensor:
    """(3, LENGTH) ids, the first two with one prompt."""
    ids = torch.randint(3, 90, (3, LENGTH), generator=torch.Generator().manual_seed(1))
    ids[1, : PROMPTS[1]] = ids[0, : PROMPTS[0]]
    return ids


@torch.no_grad()
def alone(model: Any, ids: Tensor) -> list[Tensor]:
    """Log-probabilities (S, V) from each prompt's end on, by the model's own forward."""
    logprobs = model(input_ids=ids.to(model.device), use_cache=False).logits.float().log_softmax(-1)
    return [logprobs[row, n - 1 :] for row, n in enumerate(PROMPTS)]


@torch.no_grad()
def packed(trunk: Trunk, ids: Tensor, adapter: str | None = None) -> list[Tensor]:
    """The same from answers behind shared prompts."""
    prompts = [ids[row, :n].tolist() for row, n in enumerate(PROMPTS)]
    answers = [ids[row, n:].tolist() for row, n in enumerate(PROMPTS)]
    rows = pack([prompts[0], prompts[2]], [answers[:2], answers[2:]], dtype=trunk.dtype, device=trunk.device)
    with trunk.using(adapter):
        hidden = trunk.upper(trunk.lower(rows.tokens), rows.tokens).flatten(0, 1)
    states = [s[: n + 1] for s, n in zip(rows.states_AS, rows.lengths_A.tolist(), strict=True)]
    return [trunk.logits(hidden[s]).float().log_softmax(-1) for s in states]


@torch.no_grad()
def cached(trunk: Trunk, ids: Tensor, stepping: Callable[[Decoding], Any] = lambda growing: growing) -> list[Tensor]:
    """The same token by token, in the steps that `stepping` makes of a prefilled cache."""
    steps = LENGTH - max(PROMPTS)
    decoding, logits = prefill(trunk, [ids[row, :n].tolist() for row, n in enumerate(PROMPTS)], steps)
    read, batch = [logits], stepping(decoding)
    for step in range(steps):
        tokens = torch.stack([ids[row, n + step] for row, n in enumerate(PROMPTS)]).to(trunk.device)
        read.append(batch.step(tokens).clone())
    return list(torch.stack(read, 1).float().log_softmax(-1))


def with_adapter(trunk: Trunk, model_class: Any, ids: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Packed with an adapter, and alone with the same adapter as PEFT reads it."""
    from peft import PeftModel

    trunk.add_adapter("policy", LoraSettings(4, 8.0), seed=0)
    generator = torch.Generator().manual_seed(7)
    for parameter in trunk.adapter_parameters("policy").values():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    with tempfile.TemporaryDirectory() as folder:
        trunk.save_adapter("policy", Path(folder), "somebody/something")
        peft = PeftModel.from_pretrained(tiny_model(model_class), folder)
    return packed(trunk, ids, "policy"), alone(peft, ids)


def _difference(ours: list[Tensor], theirs: list[Tensor], steps: int | None = None) -> float:
    pairs = [(a, b if steps is None else b[: steps + 1]) for a, b in zip(ours, theirs, strict=True)]
    return max(float((a - b).abs().max()) for a, b in pairs)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
