"""What is wrong with how the labelling app is deployed, a sentence each: `plaudit verify --security`.

It looks at what an operator sets: modes of files, the key, the database's connection, the versions that are installed,
and, where people's address is given, what that address answers. It changes nothing.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from packaging.requirements import Requirement
from sqlalchemy import make_url

from plaudit.errors import PlauditError
from plaudit.files import one_line
from plaudit.web.secret import FILE as KEY
from plaudit.web.secret import read_key
from plaudit.workspace import SETTINGS_FILE, Workspace

LOOPBACK = ("127.0.0.1", "::1", "localhost")
SAFE_TLS = ("verify-full", "verify-ca", "require")
SECONDS = 10.0  # that the public address has to answer
OURS = "content-security-policy"  # a header that each of the app's answers has
STRANGE_HOST = "elsewhere.invalid"  # RFC 6761: nobody's name


def find_weaknesses(workspace: Workspace, public_url: str | None = None) -> list[str]:
    """A sentence for each, with what to do; none where nothing was found."""
    found = [
        *readable_by_others(workspace),
        *_key(workspace),
        *_database(workspace),
        *outdated(requires("plaudit") or ()),
    ]
    return found + (list(_public(public_url)) if public_url else [])


def readable_by_others(workspace: Workspace) -> Iterator[str]:
    """Files with secrets that others on this machine may read, and a folder that they may write into."""
    if os.name != "posix":
        return
    folder, database = workspace.path, workspace.database
    if folder.stat().st_mode & 0o022:
        yield f"Others on this machine may write into {folder} and so put in a key of theirs: `chmod go-w {folder}`."
    files = [folder / KEY]
    if isinstance(database, str):
        files += [folder / SETTINGS_FILE] if make_url(database).password else []
    else:
        files += [database, *(database.with_name(f"{database.name}-{part}") for part in ("wal", "shm"))]
    files += [path for path in sorted(folder.glob("*.zip")) if _is_backup(path)]
    for path in files:
        if path.exists() and path.stat().st_mode & 0o077:
            yield f"Others on this machine may read {path}, which holds secrets: `chmod 600 {path}`."


def _is_backup(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {"manifest.json", "events.jsonl"} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _key(workspace: Workspace) -> Iterator[str]:
    path = workspace.path / KEY
    try:
        if path.exists():
            read_key(path)
    except PlauditError as error:
        yield str(error)


def _database(workspace: Workspace) -> Iterator[str]:
    if not isinstance(workspace.database, str):
        return
    url = make_url(workspace.database)
    local = not url.host or url.host in LOOPBACK or url.host.startswith("/")
    if not local and url.query.get("sslmode") not in SAFE_TLS:
        yield (
            f"What goes to the database on {url.host} can be read on the way: add ?sslmode=verify-full to its URL in "
            f"{workspace.path / SETTINGS_FILE}."
        )


def outdated(requirements: tuple[str, ...] | list[str]) -> Iterator[str]:
    """Packages older than Plaudit asks for: the floors stand above the versions with known holes."""
    for requirement in map(Requirement, requirements):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            asked = f"{requirement.name}{requirement.specifier}"
            yield f"{requirement.name} {installed} is installed, which may have known holes: install {asked}."


def _public(url: str) -> Iterator[str]:
    """What is wrong with what people's browsers are answered."""
    host = urlsplit(url).hostname or ""
    if urlsplit(url).scheme != "https" and host not in LOOPBACK:
        yield f"{url} is without HTTPS: passwords can be read on the way. Put a proxy with HTTPS before the app."
    address = f"{url.rstrip('/')}/signin"
    try:
        status, headers = fetch(address)
        strange, answered = fetch(address, Host=STRANGE_HOST)
    except (URLError, OSError, ValueError) as error:
        yield f"{address} cannot be fetched ({one_line(error)}): start the app and its proxy, and correct the address."
        return
    yield from page_weaknesses(url, status, headers)
    if strange == 200 and OURS in answered:  # else it is the proxy's own answer to a name that it does not know
        yield f"{url} answers under any name: let the proxy pass the Host on, and leave the check of it to the app."


def page_weaknesses(url: str, status: int, headers: Mapping[str, list[str]]) -> Iterator[str]:
    """What is wrong with the sign-in page's answer; `headers` by name in small letters."""
    if status != 200 or OURS not in headers:
        yield f"{url} does not answer as the labelling app does (status {status}): correct the address or the proxy."
        return
    if urlsplit(url).scheme != "https":
        return
    if "strict-transport-security" not in headers:
        yield f"{url} does not keep browsers to HTTPS: start the app with --public-url {url}."
    if any("secure" not in cookie.lower() for cookie in headers.get("set-cookie", [])):
        yield f"{url} sets cookies that also go without HTTPS: start the app with --public-url {url}."


class Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Another address would be another's answer."""


def fetch(address: str, **headers: str) -> tuple[int, dict[str, list[str]]]:
    """Status and headers of the answer."""
    try:
        with build_opener(Stay).open(Request(address, headers=headers), timeout=SECONDS) as answer:
            status, said = answer.status, answer.headers
    except HTTPError as refusal:
        status, said = refusal.code, refusal.headers
    return status, {name.lower(): said.get_all(name) or [] for name in said}
