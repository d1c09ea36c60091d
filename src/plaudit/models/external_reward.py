"""A reward model from elsewhere: any `AutoModelForSequenceClassification` with one output and its own tokenizer.

It reads text, not the trunk's states, so it is a second network in memory and costs a forward pass of its own. It sees
the conversation with the answer through its own chat template, the newest tokens where that is too long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from plaudit.errors import PlauditError, UsageError
from plaudit.models.arithmetic import DTYPES
from plaudit.models.catalog import (
    check_vocabulary,
    load_whole,
    locate,
    no_such_model,
    quiet_transformers,
    tokenizer_of,
)
from plaudit.models.chat import around, encode_text, encode_turns
from plaudit.models.modeling_plaudit_reward import PlauditReward, PlauditRewardConfig
from plaudit.models.packing import microbatches
from plaudit.models.text_reward import TextReward
from plaudit.types import Message, Prompt, Response, Role

TOKENS_AT_ONCE = 4096
LONGEST = 1024  # tokens of conversation and answer
NO_TOKEN = -1
OTHERWISE = "leave --reward-model out to be guided by a run of `plaudit reward`"


class ExternalReward(TextReward):
    """A sequence classifier."""

    def __init__(self, name: str, network: Any, tokenizer: Any) -> None:
        super().__init__(name)
        self.network, self.tokenizer = network, tokenizer

    @classmethod
    def load(cls, name: str, dtype: str = "fp32") -> ExternalReward:
        """Load a folder or Hugging Face id, to compute in `dtype`: the policy's, as the models share a machine.

        Raises:
            UsageError: there is no such model, or it does not give one number for a text.
            PlauditError: the model's files may not be read, or the hub is in trouble.
        """
        from transformers import AutoModelForSequenceClassification

        quiet_transformers()
        _know_our_own()
        path = locate(name)
        try:
            tokenizer = tokenizer_of(path)
            network: Any = load_whole(AutoModelForSequenceClassification, path, name, DTYPES[dtype])
        except UsageError:
            raise
        except Exception as error:  # as of the trunk
            raise no_such_model(name, path, error, OTHERWISE) from error
        check_vocabulary(name, tokenizer, network.get_input_embeddings().weight.shape[0])
        if network.config.num_labels != 1:
            raise UsageError(f"{name} gives {network.config.num_labels} numbers for a text; a reward model gives one.")
        # A decoder's classifier reads the last token that is not padding, by identity. Nothing is padded here, and no
        # token is taken for it, be it the tokenizer's own.
        network.config.get_text_config().pad_token_id = network.config.pad_token_id = NO_TOKEN
        network.eval().requires_grad_(False)
        return cls(name, network.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer)

    @torch.no_grad()
    def raw(self, prompts: Sequence[Prompt], answers: Sequence[Response]) -> Tensor:
        """(A,) the network's own scores, in fp32. Texts of one length are read together, so that none is padded."""
        encoded = [self._encode(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
        scores = torch.zeros(len(encoded))
        by_length: dict[int, list[int]] = {}
        for row, ids in enumerate(encoded):
            by_length.setdefault(len(ids), []).append(row)
        for length, same in by_length.items():
            for rows in microbatches([length] * len(same), TOKENS_AT_ONCE):
                chosen = [same[row] for row in rows]
                ids_BL = torch.tensor([encoded[row] for row in chosen], device=self.network.device)
                try:
                    logits = self.network(input_ids=ids_BL, attention_mask=torch.ones_like(ids_BL)).logits
                except ValueError as error:  # of a class of ours, whose text was cut where the answer begins
                    asked = prompts[chosen[0]].id
                    raise PlauditError(f"{self.name} cannot score an answer to the prompt {asked}: {error}") from error
                scores[chosen] = logits[:, 0].float().cpu()
        return scores

    def _encode(self, prompt: Prompt, answer: Response) -> list[int]:
        """Token ids with what the tokenizer begins a text with; of too long a text the newest."""
        turns = (*prompt.messages, Message(Role.ASSISTANT, answer.text))
        first, last = ([], []) if self.tokenizer.chat_template else around(self.tokenizer)
        if self.tokenizer.chat_template:
            ids = encode_turns(self.tokenizer, turns, f"the prompt {prompt.id}", add_generation_prompt=False)
        else:
            ids = encode_text(self.tokenizer, "\n\n".join(f"{str(m.role).capitalize()}: {m.content}" for m in turns))
        room = max(0, self._longest() - len(first) - len(last))
        return [*first, *ids[max(0, len(ids) - room) :], *last]

    def _longest(self) -> int:
        """LONGEST tokens, or as many as the network has positions for: RoBERTa's kin count from after the pad token."""
        config = self.network.config.get_text_config()
        embeddings = [
            m for n, m in self.network.named_modules() if n.endswith("position_embeddings") and hasattr(m, "weight")
        ]
        positions = [m.weight.shape[0] - (m.padding_idx + 1 if m.padding_idx is not None else 0) for m in embeddings]
        positions += [getattr(config, "max_position_embeddings", None) or LONGEST, self.tokenizer.model_max_length]
        return int(min(LONGEST, *positions))


def _know_our_own() -> None:
    """What `plaudit export --what reward` wrote is computed by our own copy of its class, not the folder's."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    AutoConfig.register(PlauditRewardConfig.model_type, PlauditRewardConfig, exist_ok=True)
    AutoModelForSequenceClassification.register(PlauditRewardConfig, PlauditReward, exist_ok=True)
