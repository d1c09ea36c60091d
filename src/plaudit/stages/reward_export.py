"""A reward run for other programs: a folder that transformers loads, with a model card. No stage: it leaves no run."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plaudit.errors import UsageError
from plaudit.hub import folder_of, loadable_name
from plaudit.progress import say
from plaudit.report.outcome import interval_text
from plaudit.runs import Run
from plaudit.stages.lifecycle import provide_model
from plaudit.stages.sessions import require_trunk
from plaudit.stages.stale import find_stale_runs
from plaudit.stages.template import told
from plaudit.workspace import Workspace

if TYPE_CHECKING:
    from plaudit.models.catalog import LanguageModel
    from plaudit.models.reward_model import RewardModel

CARD = """\
---
library_name: transformers
pipeline_tag: text-classification
tags: [reward-model, plaudit]
{base}---

# {name}

A reward model that Plaudit trained on preferences: for a conversation that ends with
an answer it gives one number, higher for what people preferred. 0 is the mean and 1 a standard deviation of the scores
in training.

- Learned from preferences on {prompts} prompts, by the question "{question}".
- {worth}
- Base model: {model}, its lowest {depth} layers of {layers}; the adapter is folded into the weights, which are fp32.

## How to load it

The head reads the last state of the answer and the mean of all of them, which no stock class does. So the folder holds
a class of its own, `modeling_plaudit_reward.py`: a hundred lines that import torch and transformers alone. Read it:

```python
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder = "."  # this one
model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True).eval()
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
text = tokenizer.apply_chat_template(
    [
        {{"role": "user", "content": {asked}}},
        {{"role": "assistant", "content": {said}}},
    ],
    tokenize=False,
)
with torch.no_grad():
    score = model(**tokenizer(text, return_tensors="pt", add_special_tokens=False)).logits  # {score:.4f}
```

TRL: `GRPOTrainer(reward_funcs=folder, args=GRPOConfig(trust_remote_code=True, …), …)`, and so `RLOOTrainer`.
rewardbench: `rewardbench --model FOLDER --trust_remote_code --not_quantized --torch_dtype float32`.
Plaudit: `plaudit align --reward-model FOLDER`, which runs its own copy of the class and not the folder's.

## What to know

- Texts are written by the folder's chat template, the answer last; another text is refused.
- An answer is what stands between the mark of the model's turn and the next end-of-sequence token, {answer_tokens}
  tokens at most. In training a conversation was cut to its newest {prompt_tokens} tokens, turn by turn; here it is read
  whole.
- A program that tokenizes texts as they are takes `{end}` in an answer for the token. Take it out of texts by people
  whom you do not know.
"""


def export_reward(workspace: Workspace, run_id: str | None, folder: Path) -> str:
    """Write the reward run (None: the newest) into `folder`. Returns what was done, in a sentence."""
    run = workspace.finished("reward", run_id)
    for stale in find_stale_runs(workspace):
        if stale.run.id == run.id:
            say(f"{stale.sentence} Make it again by `{stale.command}`.")
    with provide_model(workspace.override(dtype="fp32"), None) as model:
        from plaudit.models import reward_export
        from plaudit.models.reward_ensemble import load_reward

        require_trunk(run, model.name)
        reward = load_reward(model.trunk, run.adapter_dir)
        if len(reward.members) > 1:
            raise UsageError(
                f"{run.id} has {len(reward.members)} members, and a folder holds one network: train one of their mean "
                "weights by `plaudit reward --members N --set training.average=true`, or one without members."
            )
        with told(model.tokenizer, run) if run.template else nullcontext():
            card = _card(run, folder.name, model, reward)
            reward_export.export_reward(model, reward, folder, card)
    return f"Wrote {run.id} to {folder}, for transformers, TRL and rewardbench. Its README.md says how it is loaded."


def _card(run: Run, name: str, model: LanguageModel, reward: RewardModel) -> str:
    from plaudit.models.reward_export import example_score

    asked, said, score = example_score(model, reward)
    results, settings = run.results, reward.settings
    public = None if folder_of(model.name) else loadable_name(model.name)  # a path here says nothing elsewhere
    return CARD.format(
        name=name,
        base=f"base_model: {public}\n" if public else "",
        model=public or Path(model.name).name,
        depth=settings.depth,
        layers=model.trunk.depth,
        prompts=results.get("prompts_train", "some"),
        question=results.get("question", "which answer is better"),
        worth=_worth(results),
        asked=json.dumps(asked),
        said=json.dumps(said),
        score=score,
        answer_tokens=settings.answer_tokens,
        prompt_tokens=settings.prompt_tokens,
        end=model.tokenizer.eos_token,
    )


def _worth(results: dict[str, Any]) -> str:
    judges = "a simulated panel, not people" if results.get("simulated") else "people, or a data set's annotators"
    if "reward_accuracy" not in results:
        return f"Its accuracy was not measured: no preferences were held out. The judges were {judges}."
    longer = results.get("longer_wins_accuracy")
    beside = f" (betting on the longer answer: {longer:.2f})" if longer is not None else ""
    accuracy = interval_text(results, "reward_accuracy")
    return f"It predicts held-out preferences with accuracy {accuracy}{beside}. The judges were {judges}."
