"""A provider of OpenID Connect on the loopback, with a key of its own, that lets in whom a test says."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey

CLIENT, SECRET = "ion at the shop", "s3cret&%"


@dataclass
class Provider:
    """`claims`: of the next ID token, in place of the right ones, None: left out. `key`, `algorithm`: that it is signed
    with; `published`: the keys told; `fixed`: what is
    answered in place of tokens."""

    issuer: str = ""
    key: Any = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "one"}))
    algorithm: str = "ES256"
    published: list[Any] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    fixed: dict[str, Any] | None = None
    asked: list[str] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def sign_in(self, address: str, **claims: Any) -> str:
        """What the browser is sent back to, of somebody who signs in at the address it was sent to."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert query["response_type"] == "code" and query["code_challenge_method"] == "S256"
        assert query["client_id"] == CLIENT and "openid" in query["scope"].split()
        code = f"code-{len(self._codes)}"
        self._codes[code] = query
        self.claims = claims
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state'], 'iss': self.issuer})}"

    def described(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?tenant=1",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        } | self.metadata

    def keys(self) -> Any:
        return KeySet(self.published or [self.key]).as_dict(private=False)

    def tokens(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        if self.fixed is not None:
            return 200, self.fixed
        query = self._codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
        pair = base64.b64encode(b"ion%20at%20the%20shop:s3cret%26%25").decode()
        if query is None or challenge != query["code_challenge"] or form["redirect_uri"] != query["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        if authorization != f"Basic {pair}":
            return 401, {"error": "invalid_client"}
        now = int(time.time())
        right = {"iss": self.issuer, "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": query["nonce"]}
        claims = {name: value for name, value in (right | self.claims).items() if value is not None}
        header = {"alg": self.algorithm} | ({"kid": self.key.kid} if self.key.kid else {})
        token = jwt.encode(header, claims, self.key, algorithms=[self.algorithm])
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": token}


class _Handler(BaseHTTPRequestHandler):
    provider: Provider

    def do_GET(self) -> None:
        self.provider.asked.append(self.path)
        if self.path == "/.well-known/openid-configuration":
            self._answer(200, self.provider.described())
        else:
            self._answer(200, self.provider.keys())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        self._answer(*self.provider.tokens(form, self.headers.get("Authorization", "")))

    def _answer(self, status: int, value: Any) -> None:
        octets = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@contextmanager
def provider() -> Iterator[Provider]:
    """One that answers as long as the block lasts."""
    made = Provider()
    handler = type("Handler", (_Handler,), {"provider": made})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    made.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


__all__ = ["CLIENT", "SECRET", "ECKey", "OctKey", "Provider", "provider"]
