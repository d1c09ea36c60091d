"""What is wrong with how signing in with an OpenID provider is deployed: `plaudit verify --security --oidc ISSUER`."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, build_opener

from plaudit.errors import UsageError
from plaudit.files import one_line
from plaudit.web.deployment import SECONDS, Stay, fetch
from plaudit.web.oidc import ENDPOINTS, SECRET, Choice

UNITS = Path("/etc/systemd/system")  # where an operator's own are
LARGEST_BYTES = 1 << 20  # of the provider's metadata
_ENVIRONMENT_FILE = re.compile(r"^\s*EnvironmentFile=-?(/\S+)", re.MULTILINE)
_HOLDS_SECRET = re.compile(rf"{SECRET}=.")


def oidc_weaknesses(folder: Path, issuer: str, public_url: str | None = None) -> Iterator[str]:
    """A sentence for each, with what to do; `folder`: the workspace's."""
    yield from _readable_secrets(folder)
    try:
        Choice(issuer, "").check()
    except UsageError as error:
        yield str(error)
        return
    metadata = yield from _metadata_weaknesses(issuer)
    if public_url is None:
        yield "Without --public-url people come back from the provider to whatever Host a request names: start with it."
    else:
        yield from _way_back(public_url.rstrip("/"), str(metadata.get("authorization_endpoint", "")))


def _readable_secrets(folder: Path) -> Iterator[str]:
    """Files in which the client's secret stands, and that others on this machine may read."""
    units = [*UNITS.glob("*.service"), *UNITS.glob("*.service.d/*.conf")]
    named = [Path(name) for unit in units for name in _ENVIRONMENT_FILE.findall(_text(unit))]
    for path in sorted({*units, *named, *folder.glob("*.env"), folder / ".env"}):
        if not _HOLDS_SECRET.search(_text(path)):
            continue
        if path in units:  # whoever may ask systemd is told
            yield f"{path} says the client's secret to all: put it into a file of mode 600, named by EnvironmentFile=."
        elif path.stat().st_mode & 0o077:
            yield f"Others on this machine may read {path}, which holds the client's secret: `chmod 600 {path}`."


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not there, or not ours to read
        return ""


def _metadata_weaknesses(issuer: str) -> Generator[str, None, dict[str, Any]]:
    """What is wrong with what the provider says of itself; returns that."""
    address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        with build_opener(Stay).open(Request(address), timeout=SECONDS) as answer:
            metadata: dict[str, Any] = json.loads(answer.read(LARGEST_BYTES))
        found, endpoints = str(metadata["issuer"]), {name: str(metadata[name]) for name in ENDPOINTS}
    except (HTTPError, URLError, OSError, ValueError, LookupError, TypeError) as error:
        yield f"{address} says nothing of a provider ({one_line(error)}): correct --oidc."
        return {}
    if found != issuer:
        yield f"The provider calls itself {found}: say --oidc {found}, letter by letter."
    for name, endpoint in endpoints.items():
        if urlsplit(endpoint).scheme not in ("https", urlsplit(issuer).scheme):
            yield f"The provider's {name} {endpoint} is without HTTPS: nobody can sign in by it."
    return metadata


def _way_back(public_url: str, endpoint: str) -> Iterator[str]:
    """Where the app sends people to sign in, and where they are sent back."""
    address, back = f"{public_url}/signin/oidc", f"{public_url}/signin/oidc/callback"
    try:
        status, headers = fetch(address)
    except (URLError, OSError, ValueError):
        return  # said of the public address already
    location = (headers.get("location") or [""])[0]
    if status != 303 or not location.startswith(endpoint):
        yield f"{address} does not lead to the provider (status {status}): start the app with this --oidc."
    elif (told := parse_qs(urlsplit(location).query).get("redirect_uri", [""])[0]) != back:
        yield f"People come back to {told}, not {back}: start the app with --public-url {public_url}."
