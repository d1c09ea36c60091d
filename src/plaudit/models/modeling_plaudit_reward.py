"""A reward model that Plaudit trained, for transformers' `AutoModelForSequenceClassification`.

No stock class computes it. Its head reads two states of a middle layer, both at unit scale: the last of the answer, and
the mean over the answer's. So it has to find the answer in the text: from the mark that the chat template writes before
the model's turn to the first end-of-sequence token behind it. The layers above the one that is read are left out, and
the adapter is folded into the weights.

This file imports torch and transformers alone, opens no file and no connection. `plaudit export --what reward` puts a
copy of it beside the weights. It runs under transformers 4.51 and 5.

Shapes: B rows, L tokens of the longest, D hidden size.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class PlauditRewardConfig(PretrainedConfig):
    """`text_config` is of the layers that are left; the rest says where in a text the answer stands."""

    model_type = "plaudit_reward"
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": AutoConfig}

    def __init__(
        self,
        text_config: Any = None,
        layers: str = "layers",  # the path of the list of layers in the model without a head
        answer_mark: tuple[int, ...] = (),  # token ids that the chat template writes before an answer
        answer_tokens: int = 256,  # at most so many of the answer are read
        end_token_id: int | None = None,
        length_slope: float = 0.0,  # taken off the score for each token of the answer
        num_labels: int = 1,
        **others: Any,
    ) -> None:
        given = dict(text_config) if isinstance(text_config, dict) else None
        self.text_config = text_config if given is None else AutoConfig.for_model(**given)
        self.layers, self.answer_mark = layers, list(answer_mark)
        self.answer_tokens, self.end_token_id = answer_tokens, end_token_id
        self.length_slope = length_slope
        super().__init__(**{"num_labels": num_labels, **others})


class PlauditReward(PreTrainedModel):
    """One number for each text: higher is what people preferred, 0 the mean and 1 a standard deviation in training."""

    config_class = PlauditRewardConfig
    base_model_prefix = "base"
    _no_split_modules = []  # noqa: RUF012
    _supports_sdpa = True

    def __init__(self, config: PlauditRewardConfig) -> None:
        super().__init__(config)
        self.base = AutoModel.from_config(config.text_config, trust_remote_code=False)
        self.score = nn.Linear(2 * config.text_config.hidden_size, 1)
        self.post_init()

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any) -> SequenceClassifierOutput:
        """Logits (B, 1) for token ids (B, L), padded on either side as `attention_mask` (B, L) says.

        Raises:
            ValueError: a text has no answer: it was not written by the chat template beside this file.
        """
        mask_BL = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        hidden_BLD = self._read(input_ids, mask_BL)
        scores = []
        for ids_L, mask_L, hidden_LD in zip(input_ids, mask_BL.bool(), hidden_BLD, strict=True):
            before, last = self.find_answer(ids_L[mask_L].tolist())
            states_SD = F.rms_norm(hidden_LD[mask_L][before : last + 1].float(), hidden_LD.shape[-1:])
            mean_D = F.rms_norm(states_SD.mean(0), hidden_LD.shape[-1:])
            score = F.linear(torch.cat([states_SD[-1], mean_D]), self.score.weight.float())
            scores.append(score - self.config.length_slope * (last - before))
        return SequenceClassifierOutput(logits=torch.stack(scores) + self.score.bias.float())

    def find_answer(self, ids: list[int]) -> tuple[int, int]:
        """Where the last token before the answer stands, and the answer's last."""
        mark, end = self.config.answer_mark, self.config.end_token_id
        for known in (mark, mark[:-1]):  # white space that an answer begins with may be one token with the mark's last
            for after in range(len(ids), len(known) - 1, -1):
                if known and ids[after - len(known) : after] == known:
                    ended = next((place for place in range(after, len(ids)) if ids[place] == end), len(ids) - 1)
                    return after - 1, min(ended, after - 1 + self.config.answer_tokens)
        raise ValueError("A text has no answer: write texts by this model's own chat template, the answer last.")

    def _read(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, L, D): what the last layer gives, before the final norm."""
        reached: list[Any] = []
        layer = self.base.get_submodule(self.config.layers)[-1]
        hook = layer.register_forward_hook(lambda _module, _given, out: reached.append(out))
        try:
            positions_BL = (mask_BL.long().cumsum(-1) - 1).clamp(min=0)
            self.base(input_ids=ids_BL, attention_mask=mask_BL, position_ids=positions_BL, use_cache=False)
        finally:
            hook.remove()
        hidden_BLD: Tensor = reached[0][0] if isinstance(reached[0], tuple) else reached[0]
        return hidden_BLD
