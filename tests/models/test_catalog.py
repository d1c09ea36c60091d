"""Any model by one name, and one sentence, at once, where there is none."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from plaudit import hub
from plaudit.errors import PlauditError, UsageError
from plaudit.models.catalog import load, locate, separate_pad
from plaudit.models.external_reward import ExternalReward

NOBODY = "http://127.0.0.1:9"  # the discard port, where nothing listens


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", NOBODY)


@pytest.mark.usefixtures("unreachable")
@pytest.mark.parametrize("loads", [load, ExternalReward.load])
def test_without_the_hub_an_unknown_id_is_refused_at_once_and_quietly(loads, capfd: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    with pytest.raises(UsageError, match="nobody/nothing") as refused:
        loads("nobody/nothing")
    assert time.monotonic() - began < 10  # its libraries would go on trying for most of a minute
    assert "\n" not in str(refused.value)
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("unreachable")
def test_the_sentence_says_that_the_hub_is_away_and_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"the hub cannot be reached: connect once, .* another model, such as smollm2"):
        load("nobody/nothing")


def test_a_hub_that_refuses_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            """Not on the screen."""

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    assert hub.ready()
    server.shutdown()
    server.server_close()


def test_a_folder_needs_no_hub(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "ready", lambda: pytest.fail("the hub was asked"))
    assert load(str(tiny_folder)).end_ids == (2,)


def test_folders_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no config.json"):
        locate(str(tmp_path))
    with pytest.raises(UsageError, match=r"There is no model folder .*/nowhere: check the path"):
        locate(str(tmp_path / "nowhere"))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="could not be loaded"):
        load(str(tmp_path))


def test_files_that_may_not_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").touch()
    monkeypatch.setattr("os.access", lambda file, _: Path(file).name != "model.safetensors")  # root may read all
    with pytest.raises(PlauditError, match=r"No permission to read model\.safetensors in "):
        load(str(tmp_path))


def test_pad_is_never_the_end(tiny) -> None:
    tokenizer = tiny.tokenizer
    for pad in (tokenizer.eos_token, None):
        tokenizer.pad_token = pad
        separate_pad(tokenizer)
        assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)


def test_a_pad_out_of_the_vocabulary_is_written_like_any_word(tiny_folder: Path, tmp_path: Path) -> None:
    """A vocabulary without a spare special token, as GPT-2's: its first token is "!", and stands in for a pad."""
    folder = copy_of(tiny_folder, tmp_path / "m")
    file = folder / "tokenizer.json"
    stored = json.loads(file.read_text())
    stored["added_tokens"] = [token for token in stored["added_tokens"] if token["content"] != "<pad>"]
    file.write_text(json.dumps(stored))
    change(folder / "tokenizer_config.json", pad_token=None)
    model = load(str(folder))
    assert model.tokenizer.pad_token_id == 0
    assert model.trunk.head.forbidden.tolist() == [model.tokenizer.bos_token_id], "the pad is a word here"


def copy_of(tiny_folder: Path, folder: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, folder))


def change(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


QUANTISED = (  # as such models' own config.json says it
    {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True},
    {"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm", "zero_point": True},
    {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": [128, 128]},
    {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]},
    {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {}},
)


def test_weights_that_are_not_there_are_named(tiny_folder: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny_folder, tmp_path / "m")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.2.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"lack model\.layers\.2\.mlp\.up_proj\.weight: without them .* partly random"):
        load(str(folder))


def test_an_untied_head_that_is_not_there_is_named(tiny_folder: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny_folder, tmp_path / "m")
    change(folder / "config.json", tie_word_embeddings=False)
    with pytest.raises(UsageError, match=r"lack lm_head\.weight"):
        load(str(folder))


def test_torn_weights_and_quantised_ones_are_refused_in_a_sentence(tiny_folder: Path, tmp_path: Path) -> None:
    torn, quantised = copy_of(tiny_folder, tmp_path / "torn"), copy_of(tiny_folder, tmp_path / "q")
    (torn / "model.safetensors").write_bytes((torn / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(UsageError, match=r"The model in .*torn could not be loaded: ") as refused:
        load(str(torn))
    assert "\n" not in str(refused.value)
    for how in QUANTISED:
        change(quantised / "config.json", quantization_config=how)
        for loads in (load, ExternalReward.load):
            with pytest.raises(UsageError, match="are quantised"):
                loads(str(quantised))


def test_every_end_that_is_declared_ends_an_answer(tiny_folder: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny_folder, tmp_path / "m")
    change(folder / "generation_config.json", eos_token_id=[2, 40, 41])
    model = load(str(folder))
    assert set(model.end_ids) == {2, 40, 41}


def test_a_tokenizer_that_does_not_belong_and_one_without_an_end_are_refused(tiny_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = copy_of(tiny_folder, tmp_path / "m")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"new{n}" for n in range(5)])
    tokenizer.save_pretrained(folder)
    with pytest.raises(UsageError, match=r"tokenizer of .* has 292 tokens and its model 287"):
        load(str(folder))
    endless = copy_of(tiny_folder, tmp_path / "e")
    change(endless / "tokenizer_config.json", eos_token=None)
    change(endless / "config.json", eos_token_id=None)
    (endless / "generation_config.json").unlink()
    with pytest.raises(UsageError, match="has no end-of-sequence token"):
        load(str(endless))


GATED = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to model some/model is restricted."}
ABSENT = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}


@pytest.fixture
def hub_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[int, dict[str, str]], None]]:
    """A hub of our own, which is there and answers whatever it is asked for as it is told."""
    told: list[tuple[int, dict[str, str]]] = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            status, headers = told[-1] if self.path != "/" else (200, {})
            self.send_response(status)
            for name, value in ({"Content-Length": "0"} | headers).items():
                self.send_header(name, value)
            self.end_headers()

        do_GET = do_HEAD

        def log_message(self, *_: object) -> None:
            """Not on the screen."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # its pauses between tries
    yield lambda status, headers: told.append((status, headers))
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("loads", [load, ExternalReward.load], ids=["trunk", "reward model"])
@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (401, GATED, "private, gated, or not there. Accept its terms on huggingface.co"),
        (403, GATED, "private, gated, or not there. Accept its terms on huggingface.co"),
        (401, ABSENT, "private, gated, or not there. Accept its terms on huggingface.co"),
        (404, ABSENT, "There is no model some/model: give a folder in Hugging Face format, "),
        (500, {}, "The hub could not give some/model (it answered 500): try again later."),
        (503, {}, "The hub could not give some/model (it answered 503): try again later."),
        (429, {}, "The hub could not give some/model (it answered 429): try again later."),
    ],
)
def test_what_the_hub_answers_is_said(hub_answers, loads, status: int, headers: dict[str, str], says: str) -> None:
    hub_answers(status, headers)
    with pytest.raises(PlauditError, match=re.escape(says)) as refused:
        loads("some/model")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("loads", [load, ExternalReward.load], ids=["trunk", "reward model"])
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_a_torn_file_is_a_sentence(tiny_folder: Path, tmp_path: Path, loads, file: str, share: float) -> None:
    folder = copy_of(tiny_folder, tmp_path / "torn")
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UsageError, match=r"The model in .*torn could not be loaded: ") as refused:
        loads(str(folder))
    assert "\n" not in str(refused.value)


def test_adapters_name_a_base_that_others_can_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    assert hub.loadable_name("smollm2") == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert hub.loadable_name("model") == str((tmp_path / "model").resolve())
    assert hub.loadable_name("org/name") == "org/name"
