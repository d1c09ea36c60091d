"""TRL's PPO, as it was last shipped (1.9.2): an iteration of the job's prompts and answers, one pass over them.

Its critic is a model of its own that is trained in full: it knows no other. No token stops an answer, so that every one
has exactly the job's tokens.
"""

from __future__ import annotations

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer
from turns import Turns, copies, distance

turns = Turns()
drawn: list[int] = []  # tokens of each iteration


class Waiting:
    """The batches, each handed out when it is this process's turn."""

    def __init__(self, batches) -> None:
        self.batches = batches

    def __iter__(self):
        for batch in self.batches:
            turns.begin()
            yield batch


class TakingTurns(TrainerCallback):
    """An iteration ends; its figures have been logged before."""

    def on_log(self, args, state, control, logs, **_):
        self.logs = logs

    def on_step_end(self, *_, **__):
        turns.stop()
        moved = distance(self.before, self.trained)
        turns.report(tokens=drawn[-1], loss=self.logs["loss/policy_avg"], moved=moved)


def count_tokens(generate):
    def counted(model, queries, *others):
        answers, logits = generate(model, queries, *others)
        drawn.append(answers[:, queries.shape[1] :].numel())
        return answers, logits

    return counted


def main() -> None:
    job = turns.job
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    bf16 = job["dtype"] == "bf16"
    dtype = torch.bfloat16 if bf16 else torch.float32
    tokenizer = AutoTokenizer.from_pretrained(job["model"], padding_side="left")

    def scalar_model():
        model = AutoModelForSequenceClassification.from_pretrained(job["model"], num_labels=1, dtype=dtype)
        model.config.pad_token_id = tokenizer.pad_token_id
        return model

    def encode(question: str) -> list[int]:
        said = [{"role": "user", "content": question}]
        text = tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=False)
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    rollouts = len(job["prompts"]) * job["answers"]
    rows = min(job["rows"], rollouts)
    prompts = Dataset.from_list([{"input_ids": encode(text)} for text in job["prompts"] * job["answers"]])
    config = PPOConfig(
        output_dir=job["scratch"], per_device_train_batch_size=rows, gradient_accumulation_steps=rollouts // rows,
        num_ppo_epochs=1, num_mini_batches=1, total_episodes=rollouts * job["turns"],
        response_length=job["max_tokens"], temperature=1.0, learning_rate=1e-5, report_to=[], use_cpu=True,
        save_strategy="no", bf16=bf16, stop_token=None, num_sample_generations=0, gradient_checkpointing=False,
        local_rollout_forward_batch_size=min(job["at_once"], rollouts),
    )  # fmt: skip
    ppo_trainer.batch_generation = count_tokens(ppo_trainer.batch_generation)
    callback = TakingTurns()
    trainer = PPOTrainer(
        args=config, processing_class=tokenizer, ref_model=None, reward_model=scalar_model(),
        model=AutoModelForCausalLM.from_pretrained(job["model"], dtype=dtype), value_model=scalar_model(),
        train_dataset=prompts, eval_dataset=prompts, callbacks=[callback],
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    )  # fmt: skip
    callback.trained = {name: p for name, p in trainer.model.named_parameters() if "lora_" in name and p.requires_grad}
    callback.before = copies(callback.trained)
    trainer.dataloader = Waiting(trainer.dataloader)
    trainer.train()


main()
