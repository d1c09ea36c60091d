"""Hugging Face `generate` draws the job's answers from the whole distribution, each of exactly the job's tokens."""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from turns import Turns

turns = Turns()


@torch.inference_mode()
def main() -> None:
    job = turns.job
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(job["model"], padding_side="left")
    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[job["dtype"]]
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=dtype).eval()
    asked = [[{"role": "user", "content": text}] for text in job["prompts"]]
    texts = [tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False) for turn in asked]
    prompts = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    while True:
        turns.begin()
        drawn = model.generate(
            **prompts, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, num_return_sequences=job["answers"],
            max_new_tokens=job["max_tokens"], min_new_tokens=job["max_tokens"], pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        turns.stop()
        answers = drawn[:, prompts["input_ids"].shape[1] :]
        turns.report(tokens=answers.numel(), different=len({tuple(answer) for answer in answers.tolist()}))


main()
