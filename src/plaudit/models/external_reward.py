"""A reward model from elsewhere: any `AutoModelForSequenceClassification` with one output and its own tokenizer.

It reads text, not the trunk's states, so it is a second network in memory and costs a forward pass of its own. It sees
the conversation with the answer through its own chat template, the newest tokens where that is too long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plaudit import hub
from plaudit.errors import PlauditError, UsageError
from plaudit.models.arithmetic import DTYPES
from plaudit.models.catalog import quiet_transformers, separate_pad
from plaudit.models.packing import Packed, microbatches
from plaudit.types import Prompt, Response, Role

TOKENS_AT_ONCE = 4096
LONGEST = 1024  # tokens of conversation and answer


@dataclass(frozen=True)
class Scale:
    """What makes scores mean 0 and standard deviation 1, so that a KL coefficient means the same for every model."""

    mean: float = 0.0
    std: float = 1.0


class ExternalReward:
    """A `Scorer` that shares nothing with the policy's trunk."""

    def __init__(self, name: str, network: Any, tokenizer: Any, scale: Scale | None = None) -> None:
        self.name, self.network, self.tokenizer = name, network, tokenizer
        self.scale = scale or Scale()

    @classmethod
    def load(cls, name: str, dtype: str = "fp32") -> ExternalReward:
        """Load a folder or Hugging Face id, to compute in `dtype`: the policy's, as the models share a machine.

        Raises:
            UsageError: there is no such model, or it does not give one number for a text.
        """
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        quiet_transformers()
        if not Path(name).is_dir():
            hub.ready()
        try:
            tokenizer = AutoTokenizer.from_pretrained(name)
            network: Any = AutoModelForSequenceClassification.from_pretrained(name, dtype=DTYPES[dtype])
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise UsageError(
                f"The reward model {name} could not be loaded ({reason}): give a run of `plaudit reward`, a folder, or "
                "the id of a sequence classifier on the hub."
            ) from error
        if network.config.num_labels != 1:
            raise UsageError(f"{name} gives {network.config.num_labels} numbers for a text; a reward model gives one.")
        separate_pad(tokenizer)
        tokenizer.padding_side = "right"
        network.config.pad_token_id = tokenizer.pad_token_id  # by which it finds the end of a text
        network.eval().requires_grad_(False)
        return cls(name, network.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer)

    def normalise(self, prompts: Sequence[Prompt], answers: Sequence[Response]) -> None:
        """Set the scale by the scores of these answers, A prompts and answers. PlauditError when they are all equal."""
        scores = self.raw(prompts, answers)
        spread = float(scores.std()) if len(scores) > 1 else 0.0
        if not spread > 0:
            raise PlauditError(f"{self.name} gives all of {len(scores)} answers the same score: it can guide nothing.")
        self.scale = Scale(float(scores.mean()), spread)

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Response], lower_BLD: Tensor, packed: Packed
    ) -> Tensor:
        """See `Scorer`: (A,) normalised scores. What the trunk computed is not used."""
        return (self.raw(prompts, answers) - self.scale.mean).to(lower_BLD.device) / self.scale.std

    @torch.no_grad()
    def raw(self, prompts: Sequence[Prompt], answers: Sequence[Response]) -> Tensor:
        """(A,) the network's own scores, in fp32."""
        encoded = [self._encode(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
        scores = torch.zeros(len(encoded))
        for rows in microbatches([len(ids) for ids in encoded], TOKENS_AT_ONCE):
            longest = max(len(encoded[row]) for row in rows)
            pad = self.tokenizer.pad_token_id
            ids = torch.tensor([encoded[row] + [pad] * (longest - len(encoded[row])) for row in rows])
            present = torch.arange(longest) < torch.tensor([len(encoded[row]) for row in rows])[:, None]
            device = self.network.device
            logits = self.network(input_ids=ids.to(device), attention_mask=present.long().to(device)).logits
            scores[rows] = logits[:, 0].float().cpu()
        return scores

    def _encode(self, prompt: Prompt, answer: Response) -> list[int]:
        turns = [*((str(m.role), m.content) for m in prompt.messages), (str(Role.ASSISTANT), answer.text)]
        if self.tokenizer.chat_template:
            messages = [{"role": role, "content": content} for role, content in turns]
            text = self.tokenizer.apply_chat_template(messages, tokenize=False)
        else:
            text = "\n\n".join(f"{role.capitalize()}: {content}" for role, content in turns)
        return list(self.tokenizer(text, add_special_tokens=not self.tokenizer.chat_template)["input_ids"])[-LONGEST:]
