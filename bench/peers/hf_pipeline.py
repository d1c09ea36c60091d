"""The text-classification pipeline of transformers scores the job's answers, with the batch size that is fastest here.

The texts come shortest first, which is how the pipeline pads least. What batch size is fastest is found before the
first turn.
"""

from __future__ import annotations

import time

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
from turns import Turns

turns = Turns()


def main() -> None:
    job = turns.job
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[job["dtype"]]
    model = AutoModelForSequenceClassification.from_pretrained(job["model"], num_labels=1, dtype=dtype)
    model.config.pad_token_id = tokenizer.pad_token_id
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu", function_to_apply="none")
    texts = []
    for item in job["asked"]:
        for answer in item["answers"]:
            said = [{"role": "user", "content": item["prompt"]}, {"role": "assistant", "content": answer}]
            texts.append(tokenizer.apply_chat_template(said, tokenize=False))
    texts.sort(key=lambda text: len(tokenizer(text)["input_ids"]))

    def seconds(batch: int) -> float:
        began = time.perf_counter()
        classify(texts, batch_size=batch, truncation=True, max_length=512)
        return time.perf_counter() - began

    seconds(job["batches"][0])  # prepares the kernels
    batch = min(job["batches"], key=seconds)
    while True:
        turns.begin()
        scores = classify(texts, batch_size=batch, truncation=True, max_length=512)
        turns.stop()
        turns.report(answers=len(scores), different=len({score["score"] for score in scores}), batch=batch)


main()
