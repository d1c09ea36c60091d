"""The site's cookies: no script reads them, no other site's form sends them, and over HTTPS no other site sets them.

A site under the same domain can set cookies for it, and so plant the sign-in form's. Browsers take a name with the
prefix `__Host-` from this host alone, over HTTPS (RFC 6265bis, 4.1.3.2).
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import HTTPConnection
from starlette.responses import Response

from plaudit.web.site import Site


@dataclass(frozen=True, slots=True)
class Cookies:
    """Those of one request, and of the answer to it."""

    site: Site
    request: HTTPConnection

    @property
    def _is_https(self) -> bool:
        """Also where a proxy that does not say so has taken the HTTPS off, and under whatever name it asks."""
        return self.request.scope.get("scheme") == "https" or self.site.is_https

    def read(self, use: str) -> str | None:
        return self.request.cookies.get(cookie_name(self.site, use, self._is_https))

    def write(self, response: Response, use: str, value: str, seconds: int | None) -> None:
        name = cookie_name(self.site, use, self._is_https)
        response.set_cookie(name, value, seconds, httponly=True, samesite="lax", secure=self._is_https)

    def delete(self, response: Response, use: str) -> None:
        name = cookie_name(self.site, use, self._is_https)
        response.delete_cookie(name, httponly=True, samesite="lax", secure=self._is_https)


def cookie_name(site: Site, use: str, is_https: bool = False) -> str:
    return f"{'__Host-' if is_https else ''}plaudit_{use}_{site.secret.cookie_suffix}"
