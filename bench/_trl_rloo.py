"""TRL's RLOO on the work of `bench gpu`, with a reward model of the policy's size; in this process, where TRL is."""

from __future__ import annotations

import time
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import LlamaForSequenceClassification, TrainerCallback
from trl import RLOOConfig, RLOOTrainer

from bench._random_llama import random_llama, random_prompts, word_tokenizer
from plaudit.models.lora import LoraSettings
from plaudit.train.configs import RlooConfig

if TYPE_CHECKING:
    from bench.gpu import Work


class Clock(TrainerCallback):
    """How long each optimisation step takes, with the drawing of what it learns from."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self.began)


def measure(work: Work, device: torch.device, steps: int, peak_gb: Callable[[], float]) -> tuple[float, float]:
    """Seconds of the last of so many steps, and the most memory in GB."""
    ours, lora = RlooConfig(), LoraSettings()
    tokenizer = word_tokenizer(work.sizes["vocab_size"])
    prompts = random_prompts(work.prompts, work.prompt_tokens, work.sizes["vocab_size"])
    asked = [{"prompt": [{"role": "user", "content": prompt.messages[-1].content}]} for prompt in prompts]
    peak_gb()
    model = random_llama(work.sizes, torch.bfloat16, device, attention="sdpa")
    config = model.config.__class__(**model.config.to_dict() | {"num_labels": 1})
    with device:
        reward = LlamaForSequenceClassification._from_config(config, dtype=torch.bfloat16)
    clock, rows = Clock(), work.rollout.rows * work.answers
    with TemporaryDirectory() as folder:
        arguments = RLOOConfig(
            output_dir=folder, per_device_train_batch_size=rows, num_generations=work.answers,
            gradient_accumulation_steps=work.prompts * work.answers // rows, max_completion_length=work.tokens,
            generation_kwargs={"min_new_tokens": work.tokens}, max_steps=steps, learning_rate=ours.learning_rate,
            lr_scheduler_type="constant", beta=ours.kl_coefficient, bf16=True, gradient_checkpointing=False,
            report_to=[], save_strategy="no", logging_strategy="no", use_cpu=device.type == "cpu", disable_tqdm=True,
        )  # fmt: skip
        trainer = RLOOTrainer(
            model=model, reward_funcs=reward, args=arguments, train_dataset=Dataset.from_list(asked * steps),
            processing_class=tokenizer, reward_processing_classes=tokenizer, callbacks=[clock],
            peft_config=LoraConfig(
                r=lora.rank, lora_alpha=lora.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
            ),
        )  # fmt: skip
        trainer.train()
    return clock.seconds[-1], peak_gb()
