"""The author of a model: its files may hold code, and nothing of it is run, whatever stands on standard input."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from plaudit.errors import PlauditError
from plaudit.models import catalog
from plaudit.models.external_reward import ExternalReward

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


@pytest.mark.parametrize("load", [catalog.load, ExternalReward.load], ids=["trunk", "reward model"])
def test_code_in_a_models_folder_is_never_run(evil: Path, tmp_path: Path, load: object) -> None:
    with pytest.raises(PlauditError) as refused:
        load(str(evil))  # type: ignore[operator]
    assert not (tmp_path / "was run").exists()
    assert "\n" not in str(refused.value)


def test_pickled_weights_are_not_read(tiny_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(PlauditError, match="safetensors"):
        catalog.load(str(folder))
