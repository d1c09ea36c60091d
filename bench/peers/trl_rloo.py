"""TRL's RLOO or GRPO: an iteration of the job's prompts and answers, with a reward model of the policy's size.

Every answer has exactly the job's tokens: the end of an answer is not drawn before them. Nothing is recomputed in the
backward pass, which is TRL's fastest way.
"""

from __future__ import annotations

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl_turns import ALGORITHMS, TakingTurns
from turns import Turns, copies, distance

turns = Turns()


class Learning(TakingTurns):
    """Tells of each turn how far the weights have moved."""

    def on_train_begin(self, args, state, control, model, **_):
        self.trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.before = copies(self.trained)

    def on_log(self, args, state, control, logs, **_):
        if "loss" in logs:
            tokens = round(logs["completions/mean_length"] * args.train_batch_size * args.gradient_accumulation_steps)
            turns.report(tokens=tokens, loss=logs["loss"], moved=distance(self.before, self.trained))


def main() -> None:
    job = turns.job
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    bf16 = job["dtype"] == "bf16"
    dtype = torch.bfloat16 if bf16 else torch.float32
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    reward = AutoModelForSequenceClassification.from_pretrained(job["model"], num_labels=1, dtype=dtype)
    reward.config.pad_token_id = tokenizer.pad_token_id
    asked = [{"prompt": [{"role": "user", "content": text}]} for text in job["prompts"]]
    trainer_class, config_class = ALGORITHMS[job["algorithm"]]
    rollouts = len(job["prompts"]) * job["answers"]
    rows = min(job["rows"], rollouts)
    config = config_class(
        output_dir=job["scratch"], per_device_train_batch_size=rows,
        gradient_accumulation_steps=rollouts // rows, num_generations=job["answers"],
        max_completion_length=job["max_tokens"], generation_kwargs={"min_new_tokens": job["max_tokens"]},
        max_steps=job["turns"], learning_rate=5e-4, lr_scheduler_type="constant", beta=0.08, logging_steps=1,
        report_to=[], use_cpu=True, save_strategy="no", bf16=bf16, gradient_checkpointing=False,
        dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = trainer_class(
        model=AutoModelForCausalLM.from_pretrained(job["model"], dtype=dtype), reward_funcs=reward, args=config,
        train_dataset=Dataset.from_list(asked * job["turns"]), processing_class=tokenizer,
        reward_processing_classes=tokenizer, callbacks=[Learning(turns)],
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    )  # fmt: skip
    trainer.train()


main()
