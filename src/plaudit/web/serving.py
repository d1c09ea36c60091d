"""Running the app: where it listens, what it tells whoever started it, and how it ends.

The socket listens before anything is said, so that whoever follows the printed link is answered, be it that the
workers are still starting.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

import uvicorn

from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.connection import is_url
from plaudit.web.app import create_app, environment
from plaudit.web.security import answered_names
from plaudit.web.site import Site
from plaudit.workspace import Workspace

LOOPBACK = ("127.0.0.1", "::1", "localhost")
EVERYWHERE = ("0.0.0.0", "::")
WAITING = 1024  # connections that wait to be accepted
GOODBYE_SECONDS = 5  # for answers that are under way when it ends
HEALTH_SECONDS = 30  # a worker that is busy for less is not taken for dead


def serve(
    workspace: Workspace, host: str, port: int, workers: int, public_url: str | None = None, owner_link: bool = False
) -> None:
    """Serve the workspace's labelling app until Ctrl-C. UsageError, PlauditError: it cannot be served like that."""
    _check_url(public_url)
    database = str(workspace.database)
    if workers > 1 and not is_url(database):
        raise UsageError("Several workers need PostgreSQL: leave --workers out, or keep the feedback there.")
    site = Site.open(database, workspace.path, public_url)
    listening = _listen(host, port)
    address = public_url or _address(host, listening)
    _announce(site, address, host, owner_link)
    names = answered_names(host, public_url)
    try:
        if workers == 1:
            uvicorn.Server(_config(create_app(site, names))).run([listening])
        else:
            site.close()
            os.environ |= environment(database, workspace.path.resolve(), public_url, names)
            _supervise(workers, [listening])
    except KeyboardInterrupt:
        pass
    finally:
        listening.close()
    print("Ended. What people submitted is stored.")


def _config(app: object, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        factory=isinstance(app, str),
        workers=workers,
        access_log=False,  # addresses of one-time links must not stand in a log
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=GOODBYE_SECONDS,
        timeout_worker_healthcheck=HEALTH_SECONDS,
    )


def _supervise(workers: int, sockets: Sequence[socket.socket]) -> None:
    from uvicorn.supervisors import Multiprocess

    Multiprocess(_config("plaudit.web.app:serving", workers), sockets=list(sockets)).run()


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
    except socket.gaierror as error:
        raise UsageError(f"There is no host {host} to listen on: {error.strerror}.") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(WAITING)
    except OSError as error:
        listening.close()
        raise PlauditError(
            f"Port {port} of {host} cannot be listened on ({error.strerror}). Choose another by --port, or end the "
            "program that has it."
        ) from error
    listening.set_inheritable(True)
    return listening


def _address(host: str, listening: socket.socket) -> str:
    name = "127.0.0.1" if host in EVERYWHERE else host
    return f"http://{f'[{name}]' if ':' in name else name}:{listening.getsockname()[1]}"


def _announce(site: Site, address: str, host: str, owner_link: bool) -> None:
    print(f"Plaudit listens on {address.rstrip('/')}/ (Ctrl-C ends it).")
    if host not in LOOPBACK:
        print(
            f"Warning: whoever reaches this machine on {host} reaches the app, and without HTTPS passwords can be read "
            "on the way; put a proxy with HTTPS before it, and name it by --public-url."
        )
    if owner_link or not site.accounts.all():
        print("This link makes the owner's account. It serves once, within 24 hours; pass it to nobody:")
        print(f"{address.rstrip('/')}/join/{site.accounts.first_invitation()}")
    print(end="", flush=True)


def _check_url(url: str | None) -> None:
    parts = urlsplit(url or "http://localhost")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise UsageError(f"--public-url {url} must be an address such as https://label.example.org, without a path.")
