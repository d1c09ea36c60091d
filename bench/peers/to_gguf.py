"""The model's weights as GGUF files for llama.cpp, and the prompts as token ids: `to_gguf.py JOB_FILE`.

The job names the model, a folder for the files, the kinds (F32, BF16, Q8_0) and the prompts; the ids are printed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gguf
import numpy as np
from safetensors.torch import load_file
from transformers import AutoTokenizer

from plaudit.models.chat import encode_prompt
from plaudit.models.embedded import LAYER_NAMES, TOP_NAMES
from plaudit.types import Prompt

KINDS = {kind: gguf.GGMLQuantizationType[kind] for kind in ("F32", "BF16", "Q8_0")}
OURS = {ours: name for name, ours in TOP_NAMES.items()}
OURS_IN_LAYER = {ours: name for name, ours in LAYER_NAMES.items()}


def gguf_name(name: str) -> str:
    """`model.layers.3.self_attn.q_proj.weight` -> `blk.3.attn_q.weight`."""
    stem, suffix = name.rsplit(".", 1)
    if stem in OURS:
        return f"{OURS[stem]}.{suffix}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{OURS_IN_LAYER[part]}.{suffix}"


def permute(weight: np.ndarray, heads: int) -> np.ndarray:
    """The order of query and key rows that llama.cpp has: the inverse of `embedded.unpermute`."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write(model: Path, path: Path, kind: str) -> None:
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    for name, tensor in load_file(model / "model.safetensors").items():
        weight = tensor.float().numpy()
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            weight = permute(weight, config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"])
        as_kind = KINDS[kind] if weight.ndim == 2 else KINDS["F32"]
        packed = gguf.quantize(np.ascontiguousarray(weight), as_kind)
        writer.add_tensor(gguf_name(name), packed, raw_dtype=as_kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    model, folder = Path(job["model"]), Path(job["folder"])
    for kind in job["kinds"]:
        path = folder / f"{kind}.gguf"
        if not path.exists():
            write(model, path.with_suffix(".part"), kind)
            path.with_suffix(".part").replace(path)
    tokenizer = AutoTokenizer.from_pretrained(model)
    print(json.dumps([encode_prompt(tokenizer, Prompt.from_text(text)) for text in job["prompts"]]))


if __name__ == "__main__":
    main()
