"""The author of a model: its files may hold code, and nothing of it is run, whatever stands on standard input."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from plaudit.errors import PlauditError, UsageError
from plaudit.models import catalog
from plaudit.models.external_reward import ExternalReward
from plaudit.stages.plan import twin_of
from plaudit.workspace import Workspace

CODE = "from pathlib import Path\nPath({!r}).touch()\nfrom transformers import PreTrainedConfig as EvilConfig\n"


@pytest.fixture
def evil(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that brings code along, and somebody who says yes to everything."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    names = ("AutoConfig", "AutoModelForCausalLM", "AutoModelForSequenceClassification")
    config |= {"model_type": "evil", "auto_map": dict.fromkeys(names, "evil.EvilConfig")}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(CODE.format(str(tmp_path / "was run")))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 100))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    return folder


def plan_with(name: str) -> object:
    return twin_of(Workspace(Path(), model=name), None, None)


@pytest.mark.parametrize("load", [catalog.load, ExternalReward.load, plan_with], ids=["trunk", "reward model", "plan"])
def test_code_in_a_models_folder_is_never_run(evil: Path, tmp_path: Path, load: object) -> None:
    with pytest.raises(PlauditError) as refused:
        load(str(evil))  # type: ignore[operator]
    assert not (tmp_path / "was run").exists()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("file", ["weights.bin", "../elsewhere.safetensors"])
def test_an_index_names_no_pickles_and_no_files_elsewhere(tiny_folder: Path, tmp_path: Path, file: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "weights.bin")
    save_file(tensors, tmp_path / "elsewhere.safetensors", metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": dict.fromkeys(tensors, file)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UsageError, match="safetensors in the model's own folder alone"):
        catalog.load(str(folder))


def test_weights_in_several_files_are_read(tiny_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {name: f"model-0000{n % 2 + 1}-of-00002.safetensors" for n, name in enumerate(tensors)}
    for file in set(places.values()):
        save_file({name: tensors[name] for name in tensors if places[name] == file}, folder / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    loaded = catalog.load(str(folder)).trunk.head.weight
    assert torch.equal(loaded, catalog.load(str(tiny_folder)).trunk.head.weight)


def test_pickled_weights_are_not_read(tiny_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(PlauditError, match="safetensors"):
        catalog.load(str(folder))


def test_what_lies_beside_an_exported_reward_model_is_not_run(tiny, evil: Path, tmp_path: Path) -> None:
    """A folder may say that Plaudit wrote it, and bring another class under that class's name."""
    from bench.reward_export import random_reward
    from plaudit.models.reward_export import export_reward

    folder = tmp_path / "rm"
    export_reward(tiny, random_reward(tiny.trunk, 3), folder, "card")
    shutil.copy(evil / "evil.py", folder / "modeling_plaudit_reward.py")
    shutil.copy(evil / "evil.py", folder / "evil.py")
    config = json.loads((folder / "config.json").read_text())
    names = ("AutoConfig", "AutoModel", "AutoModelForSequenceClassification")
    config["text_config"]["auto_map"] = dict.fromkeys(names, "evil.EvilConfig")
    (folder / "config.json").write_text(json.dumps(config))
    ExternalReward.load(str(folder), "fp32")
    assert not (tmp_path / "was run").exists()
