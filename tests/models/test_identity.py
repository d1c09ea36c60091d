"""A model is its weights and its tokenizer, not its name."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from plaudit.errors import UsageError
from plaudit.models import identity
from plaudit.models.identity import DIGESTS, model_digest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLAUDIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def flip(path: Path) -> None:
    """Change the last byte, and nothing about the length."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "generation_config.json"])
def test_another_byte_is_another_model(folder: Path, name: str) -> None:
    before = model_digest(str(folder))
    assert len(before) == 64
    flip(folder / name)
    assert model_digest(str(folder)) != before


def test_a_copy_elsewhere_is_the_same_model_and_a_readme_is_no_part_of_it(folder: Path, tiny_folder: Path) -> None:
    (folder / "README.md").write_text("read me")
    (folder / "training_args.bin").write_text("of a trainer")
    assert model_digest(str(folder)) == model_digest(str(tiny_folder))


def test_an_unchanged_file_is_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = model_digest(str(folder))
    read: list[object] = []
    hashing = identity.hashlib.file_digest
    monkeypatch.setattr(identity.hashlib, "file_digest", lambda *a: (read.append(a), hashing(*a))[1])
    assert model_digest(str(folder)) == digest
    assert read == []
    os.utime(folder / "model.safetensors", ns=(1, 1))
    assert model_digest(str(folder)) == digest
    assert len(read) == 1


@pytest.mark.parametrize("damage", ["{", "[]", "null", '{"x": 3}'])
def test_a_damaged_cache_is_as_good_as_none(folder: Path, cache: Path, damage: str) -> None:
    digest = model_digest(str(folder))
    (cache / DIGESTS).write_text(damage)
    assert model_digest(str(folder)) == digest
    assert len(json.loads((cache / DIGESTS).read_text())) >= 3


def test_a_model_of_the_hub_is_found_in_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(UsageError, match="some/model is not in the local Hugging Face cache"):
        model_digest("some/model")
    stored = tmp_path / "hub" / "models--some--model"
    (stored / "refs").mkdir(parents=True)
    (stored / "refs" / "main").write_text("abc")
    shutil.copytree(folder, stored / "snapshots" / "abc")
    assert model_digest("some/model") == model_digest(str(folder))


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no model folder .*/nowhere"):
        model_digest(str(tmp_path / "nowhere"))
