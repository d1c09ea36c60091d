"""An OpenID provider of the tests' own, on this machine, which can also be made to lie."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

CLIENT, SECRET = "plaudit", "the client's secret"


class Escaping(json.JSONEncoder):
    """Also half a character can be said in JSON."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how | {"ensure_ascii": True})


class OpenId:
    """Whoever is sent to `sign_in` signs in at once. `claims` and `header` replace what a proper token says."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one"})
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.signed_by: Any = self.key
        self.calls_itself: str | None = None
        self.is_away = False
        self.codes: dict[str, dict[str, str]] = {}
        self.issuer = ""

    def sign_in(self, address: str) -> dict[str, str]:
        """What the browser is sent back with."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert (asked["client_id"], asked["response_type"]) == (CLIENT, "code")
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_hex(8)
        self.codes[code] = asked
        return {"code": code, "state": asked["state"]}

    def answer(self, path: str, sent: dict[str, str], authorization: str) -> tuple[int, Any]:
        if self.is_away:
            return 503, {}
        if path == "/.well-known/openid-configuration":
            places = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
            found = {name: f"{self.issuer}/{place}" for name, place in places.items()}
            return 200, {"issuer": self.calls_itself or self.issuer, **found}
        if path == "/keys":
            return 200, {"keys": [self.key.as_dict(private=False)]}
        return self._token(sent, authorization)

    def _token(self, sent: dict[str, str], authorization: str) -> tuple[int, Any]:
        asked = self.codes.pop(sent["code"], None)  # a code serves once
        if asked is None:
            return 400, {"error": "invalid_grant"}
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(sent["code_verifier"].encode()).digest()).decode().strip("=")
        )
        assert challenge == asked["code_challenge"]
        assert sent["redirect_uri"] == asked["redirect_uri"]
        assert base64.b64decode(authorization.removeprefix("Basic ")).decode() == f"{CLIENT}:{SECRET}"
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "sub": "u1", "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        claims = {name: value for name, value in (claims | self.claims).items() if value is not None}
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": self._sign(claims)}

    def _sign(self, claims: dict[str, Any]) -> str:
        header = {"alg": "RS256", "kid": "one"} | self.header
        return jwt.encode(header, claims, self.signed_by, algorithms=["RS256", "HS256", "none"], encoder_cls=Escaping)


def shared_key(provider: OpenId) -> OctKey:
    """The client's secret, or the public key, taken for a key that both sides know."""
    return OctKey.import_key(SECRET)


@contextmanager
def running() -> Iterator[OpenId]:
    provider = OpenId()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            self._reply({name: values[0] for name, values in parse_qs(body).items()})

        def _reply(self, sent: dict[str, str]) -> None:
            status, content = provider.answer(self.path, sent, self.headers.get("authorization", ""))
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
