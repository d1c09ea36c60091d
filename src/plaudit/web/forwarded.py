"""Whose word on where a request came from is believed: that of proxies which the operator names.

A proxy tells by X-Forwarded-For and X-Forwarded-Proto who asked it, and how. Anybody can send these headers. Who is
believed chooses the address under which guesses are counted.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from plaudit.errors import UsageError

SENDER = "plaudit.sender"  # in the scope: who the connection is from


class Forwarded:
    """Puts into each request the address that a proxy at one of the `trusted` addresses and networks tells of it.

    uvicorn takes whatever stands there for an address; a request whose proxy tells none comes from the proxy itself.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[str] = ()) -> None:
        self._app = app
        self._told = ProxyHeadersMiddleware(self._checked, list(trusted))  # type: ignore[arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sender = _plain(scope.get("client"))
        await self._told({**scope, "client": sender, SENDER: sender}, receive, send)  # type: ignore[arg-type]

    async def _checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        told = _plain(scope["client"])
        known = told if told and is_address(told[0]) else scope[SENDER]
        await self._app({**scope, "client": known}, receive, send)


def proper_proxies(named: Sequence[str] | None, public_url: str | None) -> tuple[str, ...]:
    """Addresses and networks that are believed. UsageError for one that is none, or that is everybody.

    Where none is named: who names a public address has a proxy, on the same machine as a rule; else there is none.
    """
    if not named:
        return ("127.0.0.1", "::1") if public_url else ()
    for proxy in named:
        try:
            everybody = ipaddress.ip_network(proxy).prefixlen == 0
        except ValueError as error:
            raise UsageError(
                f"--trusted-proxy {proxy} must be an address such as 10.0.0.7 or a network such as 10.0.0.0/8: {error}."
            ) from error
        if everybody:
            raise UsageError(f"--trusted-proxy {proxy} is everybody: name the proxy's own address.")
    return tuple(named)


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _plain(client: tuple[str, int] | None) -> tuple[str, int] | None:
    """A client on IPv4 under its own address, also where the server listens on IPv6 and sees ::ffff:10.0.0.7."""
    if client is None or not is_address(client[0]):
        return client
    mapped = getattr(ipaddress.ip_address(client[0]), "ipv4_mapped", None)
    return (str(mapped), client[1]) if mapped else client
