"""Signing in with an OpenID provider: the authorisation code flow with PKCE (OpenID Connect Core 1.0, RFC 7636).

Imported only where `plaudit label --oidc` is given. A person is who the provider says: issuer and subject. An e-mail
address is no identity, as addresses are given to the next person; it only lets a domain's people in as annotators.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from plaudit.errors import UsageError
from plaudit.files import one_line
from plaudit.printable import make_printable
from plaudit.web.deployment import LOOPBACK
from plaudit.web.people import LONGEST_NAME
from plaudit.web.secret import new_token
from plaudit.web.texts import RefusalError

SECRET = "PLAUDIT_OIDC_SECRET"
# Signatures that only the provider can make. Neither `none`, nor one whose key is the client's secret.
ALGORITHMS = [f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512)] + ["EdDSA"]
SECONDS = 10.0  # that the provider has for an answer
FRESH_SECONDS = 3600.0  # how long its metadata is believed
LEEWAY_SECONDS = 60  # that its clock may be off
RETRY_SECONDS = 30  # after which a provider that could not be reached is asked again
MOST_ASKING = 4  # at once: each holds one of a worker's 40 threads for as long as the provider takes
LONGEST = 255  # characters of an issuer and of a subject
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")

log = logging.getLogger("plaudit.web")


@dataclass(frozen=True, slots=True)
class Choice:
    """What the operator chose."""

    issuer: str
    client_id: str
    domain: str | None = None  # whose people come in as annotators

    def check(self) -> None:
        """UsageError where nobody could sign in safely like that."""
        parts = urlsplit(self.issuer)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
            raise UsageError(f"--oidc {self.issuer} must be the provider's address, such as https://login.example.org.")
        if len(self.issuer) > LONGEST or parts.query or parts.fragment:
            raise UsageError(f"--oidc {self.issuer} is no issuer: it has {LONGEST} characters at most, and no ? or #.")
        if self.domain is not None and ("@" in self.domain or not self.domain.strip(".")):
            raise UsageError(f"--oidc-domain {self.domain} must be what stands behind the @, such as example.org.")


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody, as the provider knows them."""

    issuer: str
    subject: str
    called: str = ""  # what the provider calls them: a proposal
    domain: str | None = None  # of their e-mail address, where the provider has verified it


@dataclass(frozen=True, slots=True)
class Flow:
    """A sign-in that has begun, as the browser keeps it meanwhile in a signed cookie."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def begin(cls) -> Flow:
        return cls(new_token(), new_token(), new_token())


class Provider:
    """The OpenID provider. RefusalError where it is not reached, or what comes of a sign-in is not proper."""

    def __init__(self, choice: Choice) -> None:
        choice.check()
        try:
            import authlib  # noqa: F401
            import requests  # noqa: F401
        except ImportError as error:
            raise UsageError("--oidc needs packages that are not here: pip install 'plaudit[oidc]'.") from error
        self.choice = choice
        self._secret = os.environ.get(SECRET, "")
        if not self._secret:
            raise UsageError(f"--oidc needs the client's secret in the environment variable {SECRET}.")
        self._metadata: dict[str, Any] = {}
        self._until = self._away_until = 0.0  # on time.monotonic()'s clock
        self._places = threading.BoundedSemaphore(MOST_ASKING)

    @property
    def name(self) -> str:
        """As people know it."""
        return urlsplit(self.choice.issuer).hostname or self.choice.issuer

    def admits(self, identity: Identity) -> bool:
        """Whether somebody without an invitation becomes an annotator."""
        wanted = self.choice.domain
        return wanted is not None and (identity.domain or "").casefold() == wanted.casefold()

    def address(self, flow: Flow, back_to: str) -> str:
        """Where the browser goes to sign in."""
        with self._in_order(), self._session(metadata := self._known(), back_to) as session:
            endpoint, sent = metadata["authorization_endpoint"], {"state": flow.state, "nonce": flow.nonce}
            address, _ = session.create_authorization_url(endpoint, code_verifier=flow.verifier, **sent)
            return str(address)

    def identify(self, code: str, flow: Flow, back_to: str) -> Identity:
        """Who has signed in, for the code that the browser brought back."""
        from authlib.oidc.core import CodeIDToken
        from joserfc import jwt
        from joserfc.jwk import KeySet

        with self._in_order(), self._session(metadata := self._known(), back_to) as session, self._asking():
            token = session.fetch_token(metadata["token_endpoint"], code=code, code_verifier=flow.verifier)
            keys = KeySet.import_key_set(_get(session, metadata["jwks_uri"]))
            signed = jwt.decode(token["id_token"], keys, algorithms=ALGORITHMS)
            expected = {"iss": self.choice.issuer, "aud": self.choice.client_id}
            options: dict[str, Any] = {name: {"essential": True, "value": value} for name, value in expected.items()}
            asked = {"nonce": flow.nonce, "client_id": self.choice.client_id}
            asked["access_token"] = token.get("access_token", "")
            claims = CodeIDToken(signed.claims, signed.header, options, asked)
            claims.validate(leeway=LEEWAY_SECONDS)
            return _identity(claims)

    @contextmanager
    def _in_order(self) -> Iterator[None]:
        """What goes wrong inside is told in a sentence; the log has why."""
        import requests
        from authlib.common.errors import AuthlibBaseError
        from joserfc.errors import JoseError

        try:
            yield
        except requests.RequestException as error:
            if isinstance(error, (requests.ConnectionError, requests.Timeout)):  # no answer, of which there are many
                self._away_until = time.monotonic() + RETRY_SECONDS
            log.error("%s cannot be asked: %s", self.choice.issuer, make_printable(one_line(error)))
            raise self._away() from error
        except (AuthlibBaseError, JoseError, ValueError, TypeError, LookupError, AttributeError) as error:
            why = make_printable(one_line(error))
            log.warning("A sign-in with %s came to nothing: %s", self.choice.issuer, why)
            raise RefusalError(403, "oidc-wrong") from error

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """One of the few who ask the provider at a time.

        RefusalError (503) at once where those are asking already, or it was not to be reached a moment ago: everybody
        else's threads would wait with them.
        """
        if time.monotonic() < self._away_until or not self._places.acquire(blocking=False):
            raise self._away()
        try:
            yield
        finally:
            self._places.release()

    def _away(self) -> RefusalError:
        return RefusalError(503, "oidc-away", provider=self.name, retry_seconds=RETRY_SECONDS)

    def _known(self) -> dict[str, Any]:
        """The provider's metadata, asked for where what is known is too old.

        Source: OpenID Connect Discovery 1.0. ValueError where it is another issuer's, or goes without HTTPS.
        """
        if time.monotonic() >= self._until:
            with self._asking(), self._session({}, "") as session:
                found = _get(session, f"{self.choice.issuer.rstrip('/')}/.well-known/openid-configuration")
            if found["issuer"] != self.choice.issuer:
                raise ValueError(f"it calls itself {found['issuer']}")
            scheme = urlsplit(self.choice.issuer).scheme
            if any(urlsplit(found[name]).scheme not in ("https", scheme) for name in ENDPOINTS):
                raise ValueError("an endpoint of it is without HTTPS")
            self._metadata, self._until = found, time.monotonic() + FRESH_SECONDS
        return self._metadata

    def _session(self, metadata: dict[str, Any], back_to: str) -> Any:
        """Follows no redirect: the client's secret is for the provider alone."""
        from authlib.integrations.requests_client import OAuth2Session

        methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        session = OAuth2Session(
            self.choice.client_id,
            self._secret,
            token_endpoint_auth_method="client_secret_basic" if "client_secret_basic" in methods else methods[0],
            scope="openid profile email",
            redirect_uri=back_to,
            code_challenge_method="S256",
            default_timeout=SECONDS,
        )
        session.max_redirects = 0
        return session


def _get(session: Any, address: str) -> Any:
    """The JSON object there. ValueError where it is none."""
    answer = session.get(address, withhold_token=True)
    answer.raise_for_status()
    found = json.loads(answer.content)
    if not isinstance(found, dict):
        raise ValueError(f"{address} holds no object")
    return found


def _identity(claims: dict[str, Any]) -> Identity:
    """ValueError where the subject cannot be one."""
    subject, email = claims["sub"], claims.get("email")
    if not (isinstance(subject, str) and 1 <= len(subject) <= LONGEST and subject.isascii() and subject.isprintable()):
        raise ValueError("the subject is not 1 to 255 characters of ASCII")
    verified = claims.get("email_verified") is True and isinstance(email, str) and email.count("@") == 1
    called = claims.get("preferred_username") or claims.get("name")
    called = called.encode("utf-8", "ignore").decode()[:LONGEST_NAME] if isinstance(called, str) else ""
    domain = str(email).partition("@")[2] if verified else None
    return Identity(claims["iss"], subject, called, domain)
