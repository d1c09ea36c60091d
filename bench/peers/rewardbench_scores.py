"""Scores of a folder as rewardbench's command has them, of a file of conversations.

Reads {folder, conversations} from standard input and prints the scores as JSON. The command moves every batch to a GPU,
whatever there is: where there is none, that step alone is left out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import BatchEncoding

move = BatchEncoding.to


def move_if_there(batch: BatchEncoding, device: Any, **more: Any) -> BatchEncoding:
    return move(batch, "cpu" if device == "cuda" and not torch.cuda.is_available() else device, **more)


def main() -> None:
    job = json.load(sys.stdin)
    with open("pairs.jsonl", "w") as file:
        for turns in job["conversations"]:
            other = [*turns[:-1], {"role": "assistant", "content": "no"}]
            file.write(json.dumps({"chosen": turns, "rejected": other}) + "\n")
    BatchEncoding.to = move_if_there
    sys.argv = [
        "rewardbench", "--model", job["folder"], "--trust_remote_code", "--not_quantized", "--torch_dtype", "float32",
        "--dataset", "pairs.jsonl", "--load_json", "--output_dir", "", "--batch_size", "3",
    ]  # fmt: skip
    from rewardbench.rewardbench import main as command

    command()
    lines = Path(f"{job['folder']}_outputs.jsonl").read_text().splitlines()
    print(json.dumps([json.loads(line)["scores_chosen"] for line in lines]))


if __name__ == "__main__":
    main()
