"""A reward model as a folder for `AutoModelForSequenceClassification`: TRL's `reward_funcs`, rewardbench, any program.

What the folder computes stands in `modeling_plaudit_reward`, of which it has a copy; what text it computes it for, in
its tokenizer's chat template: the very tokens that the reward model learned from. Before anything is written, both
score a few texts, and a model whose scores are others is refused.

Weights are fp32, since an adapter that is folded into eight bits of mantissa is rounded away.
"""

from __future__ import annotations

import copy
import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import torch

from plaudit.errors import UsageError
from plaudit.files import write_atomically, writing
from plaudit.models import modeling_plaudit_reward as copied
from plaudit.models.catalog import LanguageModel
from plaudit.models.chat import DATE, TODAY, TOLD, around, encode_prompt, template_of
from plaudit.models.modeling_plaudit_reward import PlauditReward, PlauditRewardConfig
from plaudit.models.reward_model import RewardModel
from plaudit.types import Message, Prompt, Response, Role, StopReason

TOLERANCE = 1e-4  # standard deviations of the score
ASKED = (
    Prompt.from_text("How do I make tea?"),
    Prompt(
        (
            Message(Role.USER, "Why is the sky blue?"),
            Message(Role.ASSISTANT, "Air scatters blue light most."),
            Message(Role.USER, "And why is the evening red?"),
        )
    ),
)
SAID = ("Boil the water, pour it over the leaves, and wait for three minutes.", "I do not know.")
CODE = Path(copied.__file__)
OLD_CLASS = "PreTrainedTokenizerFast"  # what transformers 4 and 5 both know a tokenizer.json by
# A text without a template is written as `models.chat` writes it.
PLAIN = "{% for m in messages %}{{ m['role'] | capitalize }}: {{ m['content'] }}\n\n{% endfor %}Assistant:"
BEFORE = (
    "{% set answered = messages[-1]['role'] == 'assistant' and not add_generation_prompt %}"
    "{% if answered %}{% set answer = messages[-1]['content'] %}{% set messages = messages[:-1] %}"
    "{% set add_generation_prompt = true %}{% endif %}\n"
)
BEHIND = "{% if answered %}{{ answer + eos_token }}{% endif %}"


def export_reward(model: LanguageModel, reward: RewardModel, folder: Path, card: str) -> None:
    """Write `folder`, whole or not at all, with `card` as its README.md.

    Args:
        model: in fp32, the trunk that `reward` is an adapter of; its chat template is told what the run was told.

    Raises:
        UsageError: the model cannot be cut below its top, or what is left scores otherwise.
    """
    network, tokenizer = _network(model, reward), _tokenizer(model.tokenizer)
    _compare(model, reward, network, tokenizer)
    with _whole(folder) as draft:
        network.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        _tell_version_4(draft)
        shutil.copyfile(CODE, draft / CODE.name)
        write_atomically(draft / "README.md", card)


def example_score(model: LanguageModel, reward: RewardModel) -> tuple[str, str, float]:
    """A question, an answer and its score, by which whoever loads the folder can see that it is what it was."""
    asked, said = ASKED[0], Response(ASKED[0].id, SAID[0], StopReason.EOS)
    (score,) = reward.score_texts(model, [(asked, [said])]).values()
    return asked.messages[-1].content, SAID[0], score


def _network(model: LanguageModel, reward: RewardModel) -> PlauditReward:
    trunk, settings = model.trunk, reward.settings
    decoder, path = trunk.decoder, trunk.layers_path
    config = PlauditRewardConfig(
        text_config=_cut(decoder.config, settings.depth),
        layers=path,
        answer_mark=tuple(_answer_mark(model.tokenizer)),
        answer_tokens=settings.answer_tokens,
        end_token_id=model.tokenizer.eos_token_id,
        length_slope=settings.length_slope / settings.std,
        pad_token_id=model.tokenizer.pad_token_id,
    )
    config.auto_map = {
        "AutoConfig": f"{CODE.stem}.{PlauditRewardConfig.__name__}",
        "AutoModelForSequenceClassification": f"{CODE.stem}.{PlauditReward.__name__}",
    }
    try:
        network = PlauditReward(config).eval().requires_grad_(False)
        network.base.load_state_dict(trunk.merged_weights(reward.adapter, settings.depth))
    except Exception as error:  # of a family's own code
        raise UsageError(f"A {decoder.config.model_type} model cannot be exported: {error}") from error
    network.score.weight.data = (reward.head.weight / settings.std)[None].detach().float().cpu()
    network.score.bias.data = ((reward.head.bias - settings.mean) / settings.std).detach().float().cpu().reshape(1)
    return network


def _cut(config: Any, depth: int) -> dict[str, Any]:
    """The configuration of the lowest `depth` layers."""
    whole = config.to_dict()
    layers = config.num_hidden_layers
    cut = {k: v[:depth] if isinstance(v, list) and len(v) == layers else v for k, v in whole.items()}
    cut |= {next(k for k in ("num_hidden_layers", "n_layer", "num_layers") if k in whole): depth}
    for name in ("dtype", "torch_dtype", "_name_or_path", "architectures", "transformers_version"):
        cut.pop(name, None)
    return cut


def _answer_mark(tokenizer: Any) -> list[int]:
    """Token ids that stand between whatever was asked and the answer."""
    one, other = (encode_prompt(tokenizer, Prompt.from_text(text))[::-1] for text in ("tea", "air?"))
    same = next(n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return one[:same][::-1]


def _tokenizer(tokenizer: Any) -> Any:
    """A copy whose chat template writes a conversation as a prompt, and its last answer plainly behind it."""
    arguments, today = getattr(tokenizer, TOLD, None) or ({}, TODAY)
    written = copy.deepcopy(tokenizer)
    written.chat_template = _template(tokenizer, arguments, today)
    if hasattr(written, TOLD):
        delattr(written, TOLD)
    return written


def _template(tokenizer: Any, arguments: dict[str, Any], today: date) -> str:
    own = template_of(tokenizer) or tokenizer.decode(around(tokenizer)[0]) + PLAIN
    own = DATE.sub(lambda call: json.dumps(today.strftime(call["format"])), own).removesuffix("\n")
    told = "".join(f"{{% set {name} = {json.dumps(value)} %}}" for name, value in arguments.items())
    return told + BEFORE + own + BEHIND


def _compare(model: LanguageModel, reward: RewardModel, network: PlauditReward, tokenizer: Any) -> None:
    """UsageError where the scores of a few texts, padded on the left and on the right, are others than the model's."""
    groups = [(p, [Response(p.id, text, StopReason.EOS) for text in SAID]) for p in ASKED]
    expected = list(reward.score_texts(model, groups).values())
    conversations = [
        [*({"role": str(m.role), "content": m.content} for m in p.messages), {"role": "assistant", "content": a.text}]
        for p, answers in groups
        for a in answers
    ]
    texts = [tokenizer.apply_chat_template(turns, tokenize=False) for turns in conversations]
    for side in ("left", "right"):
        given = tokenizer(texts, return_tensors="pt", padding=True, padding_side=side, add_special_tokens=False)
        with torch.no_grad():
            found = network(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).logits[:, 0]
        off = (found - torch.tensor(expected)).abs().max()
        if not off <= TOLERANCE * max(1.0, *map(abs, expected)):
            kind = network.config.text_config.model_type
            raise UsageError(
                f"A {kind} model cannot be exported: what is left of it scores otherwise (off by {off:.2g} standard "
                "deviations). Use it by `plaudit` alone."
            )


def _tell_version_4(folder: Path) -> None:
    """transformers 4 knows neither version 5's name of a tokenizer's class, nor the table that its angles stand in now.

    Where each kind of layer has angles of its own, the two versions have nothing in common: version 4 is told nothing.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    rope = config["text_config"].get("rope_parameters") or {}
    if "rope_theta" in rope:
        config["text_config"]["rope_theta"] = rope["rope_theta"]
        if rope.get("rope_type", "default") != "default":
            config["text_config"]["rope_scaling"] = {k: v for k, v in rope.items() if k != "rope_theta"}
        write_atomically(folder / "config.json", json.dumps(config, indent=2) + "\n")
    if (folder / "tokenizer.json").exists():
        path = folder / "tokenizer_config.json"
        tokenizer = json.loads(path.read_text(encoding="utf-8")) | {"tokenizer_class": OLD_CLASS}
        write_atomically(path, json.dumps(tokenizer, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder to write into, which is there as `folder` once the block is over, and else not at all."""
    draft = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
    with writing(folder):
        draft.mkdir(parents=True)
        try:
            yield draft
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
