"""Running the app: where it listens, what it tells whoever started it, and how it ends.

The socket listens before anything is said, so that whoever follows the printed link is answered, be it that the
workers are still starting.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import uvicorn

from plaudit.errors import PlauditError, UsageError
from plaudit.web.app import create_app, environment, open_provider
from plaudit.web.deployment import LOOPBACK, readable_by_others
from plaudit.web.forwarded import proper_proxies
from plaudit.web.security import answered_names
from plaudit.web.site import Site
from plaudit.web.wire import PunctualProtocol
from plaudit.workspace import Workspace

EVERYWHERE = ("0.0.0.0", "::")
WAITING = 1024  # connections that wait to be accepted
MOST_CONNECTIONS = 1_000  # at a moment, a worker: whoever opens more is told that the server is busy
GOODBYE_SECONDS = 5  # for answers that are under way when it ends
HEALTH_SECONDS = 30  # a worker that is busy for less is not taken for dead


@dataclass(frozen=True)
class Serving:
    """How to serve a workspace's labelling app."""

    workspace: Workspace
    host: str = LOOPBACK[0]
    port: int = 8000  # 0: any free one
    workers: int = 1
    public_url: str | None = None  # where people reach it, when that is not where it listens
    trusted_proxies: Sequence[str] | None = None  # whose X-Forwarded-For is believed; None: see `proper_proxies`
    owner_link: bool = False  # print one even where there are accounts
    oidc: tuple[str, str, str | None] | None = None  # issuer, client's id, and whose people come in as annotators


def serve(settings: Serving) -> None:
    """Serve until Ctrl-C or SIGTERM. UsageError, PlauditError: it cannot be served like that."""
    check_url(settings.public_url)
    trusted = proper_proxies(settings.trusted_proxies, settings.public_url)
    database = str(settings.workspace.database)
    if settings.workers > 1 and "://" not in database:
        raise UsageError(
            "Several workers need PostgreSQL: make the workspace on it (`plaudit init --help`), or leave --workers out."
        )
    oidc = open_provider(*settings.oidc) if settings.oidc else None
    site = Site.open(database, settings.workspace.path, settings.public_url, oidc)
    listening = _listen(settings.host, settings.port)
    names = answered_names(settings.host, settings.public_url)
    server = uvicorn.Server(_config(create_app(site, names, trusted)))
    # From before it is said that it ends by Ctrl-C: between Python's handler and uvicorn's, asyncio's would lose it.
    signals = (signal.SIGINT, signal.SIGTERM) if settings.workers == 1 else ()
    before = {number: signal.signal(number, server.handle_exit) for number in signals}
    try:
        print("".join(f"Warning: {sentence}\n" for sentence in readable_by_others(settings.workspace)), end="")
        _announce(site, settings.public_url or _address(settings.host, listening), settings.host, settings.owner_link)
        if settings.workers == 1:
            server.run([listening])
        else:
            site.close()
            folder = settings.workspace.path.resolve()
            os.environ |= environment(database, folder, settings.public_url, names, trusted, oidc)
            _supervise(settings.workers, [listening])
    except KeyboardInterrupt:
        pass
    finally:
        listening.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    print("Ended. What people submitted is stored.")


def _config(app: object, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        factory=isinstance(app, str),
        http=PunctualProtocol,
        workers=workers,
        access_log=False,  # addresses of one-time links must not stand in a log
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # `forwarded` reads them
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=GOODBYE_SECONDS,
        timeout_worker_healthcheck=HEALTH_SECONDS,
    )


def _supervise(workers: int, sockets: Sequence[socket.socket]) -> None:
    from uvicorn.supervisors import Multiprocess

    class Supervisor(Multiprocess):
        """Keeps only its own end of the line to each worker: then the line of one that died is dead, too.

        Else a worker killed while it is asked whether it is well leaves the supervisor waiting for HEALTH_SECONDS, in
        which it replaces nobody and hears no Ctrl-C.
        """

        def init_processes(self) -> None:
            super().init_processes()
            self._keep_own_ends()

        def keep_subprocess_alive(self) -> None:
            super().keep_subprocess_alive()
            self._keep_own_ends()

        def _keep_own_ends(self) -> None:
            for worker in self.processes:
                worker.child_conn.close()

    Supervisor(_config("plaudit.web.app:serving", workers), sockets=list(sockets)).run()


def _listen(host: str, port: int) -> socket.socket:
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = addresses[0]
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
    address = address.rstrip("/")
    lines = [f"Plaudit listens on {address}/ (Ctrl-C ends it)."]
    if host not in LOOPBACK:
        lines.append(
            f"Warning: whoever reaches this machine on {host} reaches the app, and without HTTPS passwords can be read "
            "on the way; put a proxy with HTTPS before it, and name it by --public-url."
        )
    if owner_link or not site.accounts.all():
        lines.append("This link makes the owner's account. It serves once, within 24 hours; pass it to nobody:")
        lines.append(f"{address}/join/{site.accounts.first_invitation()}")
    print("\n".join(lines), flush=True)


def check_url(url: str | None) -> None:
    """UsageError where it is not a site's address."""
    parts = urlsplit(url or "http://localhost")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise UsageError(f"--public-url {url} must be an address such as https://label.example.org, without a path.")
