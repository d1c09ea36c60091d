"""TRL's RewardTrainer learns from the job's pairs; a turn is one epoch, from the weights that it has reached."""

from __future__ import annotations

from itertools import chain

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl import RewardConfig, RewardTrainer
from turns import Turns, copies, distance

turns = Turns()


def pairs_of(item: dict) -> list[dict]:
    """In TRL's conversational format."""
    question = {"role": "user", "content": item["prompt"]}

    def said(answer: int) -> list[dict]:
        return [question, {"role": "assistant", "content": item["answers"][answer]}]

    return [{"chosen": said(chosen), "rejected": said(rejected)} for chosen, rejected in item["pairs"]]


def main() -> None:
    job = turns.job
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    bf16 = job["dtype"] == "bf16"
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    model = AutoModelForSequenceClassification.from_pretrained(
        job["model"], num_labels=1, dtype=torch.bfloat16 if bf16 else torch.float32
    )
    model.config.pad_token_id = tokenizer.pad_token_id
    pairs = list(chain.from_iterable(pairs_of(item) for item in job["asked"]))
    config = RewardConfig(
        output_dir=job["scratch"], per_device_train_batch_size=job["batch"], num_train_epochs=1, max_length=512,
        learning_rate=1e-4, report_to=[], use_cpu=True, save_strategy="no", bf16=bf16, gradient_checkpointing=False,
        logging_steps=1, dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = RewardTrainer(
        model=model, args=config, train_dataset=Dataset.from_list(pairs), processing_class=tokenizer,
        peft_config=LoraConfig(
            r=16, lora_alpha=32, target_modules="all-linear", task_type="SEQ_CLS", modules_to_save=["score"]
        ),
    )  # fmt: skip
    trained = {name: p for name, p in trainer.model.named_parameters() if p.requires_grad}
    while True:
        before = copies(trained)
        turns.begin()
        ended = trainer.train()
        turns.stop()
        seen = ended.global_step * job["batch"]
        turns.report(pairs=min(seen, len(pairs)), loss=ended.training_loss, moved=distance(before, trained))


main()
