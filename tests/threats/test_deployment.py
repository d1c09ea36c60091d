"""Who deploys it makes mistakes; whoever shares the machine or the network waits for them.

`plaudit verify --security` names each mistake, and what to do about it.
"""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from plaudit.cli import main
from plaudit.feedback.store import FeedbackStore
from plaudit.web.deployment import find_weaknesses, outdated, page_weaknesses
from plaudit.web.secret import key_of
from plaudit.workspace import Workspace

OURS = {"content-security-policy": ["default-src 'none'"]}
HSTS = {"strict-transport-security": ["max-age=31536000"]}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace.create(tmp_path / "w")
    made.path.chmod(0o755)
    FeedbackStore.open(made.database).close()
    for file in made.path.glob("feedback.db*"):
        file.chmod(0o600)
    key_of(made.path)
    return made


def test_a_deployment_in_order_has_no_weakness(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--security", "-w", str(workspace.path)]) == 0
    assert "No weakness found" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["feedback.db", "secret.key", "of-last-week.zip"])
def test_a_secret_that_others_may_read_is_named(
    workspace: Workspace, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with FeedbackStore.open(workspace.database) as store:
        store.back_up(workspace.path / "of-last-week.zip")
    (workspace.path / name).chmod(0o644)
    assert main(["verify", "--security", "-w", str(workspace.path)]) == 1
    assert f"chmod 600 {workspace.path / name}" in capsys.readouterr().out


def test_a_folder_that_others_may_write_into_is_named(workspace: Workspace) -> None:
    workspace.path.chmod(0o777)
    assert any("may write into" in sentence for sentence in find_weaknesses(workspace))


def test_a_key_that_is_none_is_named(workspace: Workspace) -> None:
    (workspace.path / "secret.key").write_text("")
    assert ["must hold 32 bytes" in sentence for sentence in find_weaknesses(workspace)] == [True]


@pytest.mark.parametrize(
    ("url", "weak"),
    [
        ("postgresql://labels:secret@db.example.org/labels", True),
        ("postgresql://labels:secret@db.example.org/labels?sslmode=prefer", True),
        ("postgresql://labels:secret@db.example.org/labels?sslmode=verify-full", False),
        ("postgresql://labels@localhost/labels", False),
    ],
)
def test_a_database_that_is_reached_without_tls_is_named(tmp_path: Path, url: str, weak: bool) -> None:
    workspace = Workspace.create(tmp_path / "w", feedback=url)
    (workspace.path / "plaudit.toml").chmod(0o600)
    found = find_weaknesses(workspace)
    assert [("read on the way" in sentence) for sentence in found] == [True] * weak
    assert "secret" not in "".join(found)


def test_a_package_older_than_asked_for_is_named() -> None:
    asked = ("starlette>=9999", "pytest>=1", "notinstalled>=1", "uvicorn>=9999; extra == 'other'")
    assert [sentence.split()[0] for sentence in outdated(asked)] == ["starlette"]


def test_an_address_that_does_not_keep_to_https_is_named() -> None:
    url = "https://label.example.org"
    assert list(page_weaknesses(url, 200, OURS | HSTS | {"set-cookie": ["form=1; Secure; HttpOnly"]})) == []
    found = list(page_weaknesses(url, 200, OURS | {"set-cookie": ["form=1; HttpOnly"]}))
    assert ["keep browsers to HTTPS" in found[0], "go without HTTPS" in found[1]] == [True, True]
    assert all(f"--public-url {url}" in sentence for sentence in found)


def test_another_page_at_the_address_is_named() -> None:
    assert ["does not answer as" in it for it in page_weaknesses("https://label.example.org", 502, {})] == [True]


@contextmanager
def answering(strange: str) -> Iterator[str]:
    """A sign-in page; who answers another name than its own: "app", "proxy", or it is "refused"."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_strange = "elsewhere" in self.headers["Host"]
            self.send_response(400 if is_strange and strange == "refused" else 200)
            if not (is_strange and strange == "proxy"):
                self.send_header("Content-Security-Policy", "default-src 'none'")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(("strange", "weak"), [("app", True), ("proxy", False), ("refused", False)])
def test_an_address_that_answers_under_any_name_is_named(workspace: Workspace, strange: str, weak: bool) -> None:
    """Not where a proxy itself answers a name that it does not know."""
    with answering(strange) as url:
        found = find_weaknesses(workspace, url)
    assert ["under any name" in sentence for sentence in found] == [True] * weak


def test_an_address_that_does_not_answer_is_named(workspace: Workspace) -> None:
    with answering("refused") as url:
        pass
    assert ["cannot be fetched" in sentence for sentence in find_weaknesses(workspace, url)] == [True]


def test_what_cannot_be_checked_is_refused(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--public-url", "https://label.example.org", "-w", str(workspace.path)]) == 2
    assert main(["verify", "--security", "--public-url", "ftp://x", "-w", str(workspace.path)]) == 2
    assert main(["verify", "--security", "--repair", "-w", str(workspace.path)]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("package", "mended"),
    {"python-multipart": "0.0.34", "starlette": "1.10", "fastapi": "0.165", "jinja2": "3.1.6", "datasets": "4.0",
     "torch": "2.6"}.items(),
)  # fmt: skip
def test_no_version_with_a_known_hole_is_asked_for(package: str, mended: str) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {found.name: found for found in map(Requirement, project["dependencies"])}[package]
    assert Version(mended) in asked.specifier
    assert [floor.version for floor in asked.specifier if Version(floor.version) < Version(mended)] == []
