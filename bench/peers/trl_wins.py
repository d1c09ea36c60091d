"""TRL's RLOO or GRPO until the job's process is ended, rewarded as Plaudit is: a turn is an iteration."""

from __future__ import annotations

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl_turns import ALGORITHMS, TakingTurns
from turns import Turns
from wins import Wins

turns = Turns()


class Winning(TakingTurns):
    """Tells of each turn which comparisons were won."""

    def __init__(self, wins: Wins) -> None:
        super().__init__(turns)
        self.wins = wins

    def on_log(self, args, state, control, logs, **_):
        if "loss" in logs:
            turns.report(**self.wins.take(), kl_nats=logs.get("kl"), length=logs.get("completions/mean_length"))


def main() -> None:
    job = turns.job
    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    turns.begin()
    bf16 = job["dtype"] == "bf16"
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.bfloat16 if bf16 else torch.float32)
    wins = Wins(job["base"])
    turns.stop()
    turns.report()

    def by_utility(completions, completion_ids, question, **_):
        ended = [ids[-1] == tokenizer.eos_token_id for ids in completion_ids]
        texts = [completion[0]["content"] for completion in completions]
        return [wins.reward(*each) for each in zip(question, texts, ended, strict=True)]

    asked = [{"prompt": [{"role": "user", "content": text}], "question": text} for text in job["prompts"]]
    trainer_class, config_class = ALGORITHMS[job["algorithm"]]
    rollouts = job["rollout_prompts"] * job["answers"]
    rows = min(8, rollouts)
    config = config_class(
        output_dir=job["scratch"], per_device_train_batch_size=rows, gradient_accumulation_steps=rollouts // rows,
        num_generations=job["answers"], max_completion_length=job["max_tokens"], max_steps=job["iterations"],
        learning_rate=job["learning_rate"], lr_scheduler_type="constant", beta=job["beta"], seed=job["seed"],
        logging_steps=1, report_to=[], use_cpu=True, save_strategy="no", bf16=bf16, gradient_checkpointing=False,
        dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = trainer_class(
        model=model, reward_funcs=by_utility, args=config, train_dataset=Dataset.from_list(asked),
        processing_class=tokenizer, callbacks=[Winning(wins)],
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    )  # fmt: skip
    trainer.train()


main()
