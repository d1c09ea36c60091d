"""Any model by one name, and one sentence, at once, where there is none."""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants

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
