"""CTranslate2 gives the log-probabilities of the job's answers, with the batch size that is fastest here.

The model is converted by a process of its own, so that what converting takes is no part of this one's memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from ctranslate2 import Generator
from transformers import AutoTokenizer
from turns import Turns

turns = Turns()
CONVERT = "from ctranslate2.converters.transformers import main; main()"


def converted(model: str, folder: Path) -> str:
    """The model in CTranslate2's format, made once."""
    if not folder.exists():
        made = folder.with_suffix(".part")
        subprocess.run([sys.executable, "-c", CONVERT, "--model", model, "--output_dir", made, "--force"], check=True)
        made.rename(folder)
    return str(folder)


def main() -> None:
    job = turns.job
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    texts, lengths = [], []
    for item in job["asked"]:
        said = [{"role": "user", "content": item["prompt"]}]
        prompt = tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=False)
        prompt_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        for answer in item["answers"]:
            ids = [*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
            texts.append(tokenizer.convert_ids_to_tokens(prompt_ids + ids))
            lengths.append(len(ids))
    folder = converted(job["model"], Path(job["folder"]))
    generator = Generator(folder, device="cpu", compute_type=job["compute"], intra_threads=job["threads"])

    def score(batch: int) -> list[float]:
        results = generator.score_batch(texts, max_batch_size=batch)
        return [sum(result.log_probs[-n:]) for result, n in zip(results, lengths, strict=True)]

    def seconds(batch: int) -> float:
        began = time.perf_counter()
        score(batch)
        return time.perf_counter() - began

    seconds(job["batches"][0])  # prepares the kernels
    batch = min(job["batches"], key=seconds)
    while True:
        turns.begin()
        logprobs = score(batch)
        turns.stop()
        nats = sum(logprobs) / sum(lengths)
        isa = os.environ.get("CT2_FORCE_CPU_ISA")
        turns.report(answers=len(logprobs), tokens=sum(lengths), nats=nats, batch=batch, isa=isa)


main()
