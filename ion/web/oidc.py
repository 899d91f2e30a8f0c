"""Signing in at a provider of OpenID Connect: the authorization code flow with PKCE, state and nonce.

All three are derived of one secret in a cookie of the browser, so nothing is kept here, and an answer is taken only in
the browser that asked. The ID token has to be signed by a key of the provider's, for this program, and to hold the
nonce. Nobody is added by signing in: a user has been entered before, by the provider's identifier (the claim `sub`), or
by an e-mail address that the provider says is verified, whose place the identifier takes at the first time.
"""

import base64
import hmac
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx2
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from ion.config import Settings
from ion.config_tables import LOOPBACK
from ion.errors import IonError
from ion.store import invited_as

TIMEOUT_SECONDS = 10.0
KEPT_SECONDS = 3600.0  # what the provider says of itself
_LEEWAY_SECONDS = 60
_MOST_OCTETS = 1_000_000
# Signatures by keys that only the provider has: neither `none` nor those by the client secret.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")


class OidcError(IonError):
    """The provider, or what came from it, cannot be used."""


@dataclass(frozen=True)
class Identity:
    """Who signed in. `subject`: issuer and identifier; `invited`: what a user is entered as who is known by address
    only, None where the provider does not say that the address is verified; `identifier`: the claim `sub`."""

    subject: str
    invited: str | None
    identifier: str


@dataclass(frozen=True)
class _Provider:
    """What the provider says of itself, and when it was asked, by the clock that never goes back."""

    metadata: Mapping[str, Any]
    keys: KeySet
    asked_at: float


class Oidc:
    """The provider of the settings, whose `oidc_issuer` and `oidc_client_id` are set. Safe between threads."""

    def __init__(self, settings: Settings) -> None:
        self._issuer = settings.oidc_issuer or ""
        self._client_id = settings.oidc_client_id or ""
        self._secret = settings.oidc_client_secret.get_secret_value() if settings.oidc_client_secret else None
        self._lock = threading.Lock()
        self._known: _Provider | None = None

    def address(self, secret: str, redirect_uri: str) -> str:
        """Where to send the browser whose cookie holds `secret`. Raises OidcError."""
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "scope": "openid email",
            "state": _derived(secret, "state"),
            "nonce": _derived(secret, "nonce"),
            "code_challenge": create_s256_code_challenge(_derived(secret, "verifier")),
            "code_challenge_method": "S256",
        }
        endpoint = self._endpoint(self._provider().metadata, "authorization_endpoint")
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def identity(self, secret: str, redirect_uri: str, answer: Mapping[str, str]) -> Identity:
        """Who signed in, by what the provider sent the browser back with. Raises OidcError."""
        state = answer.get("state", "").encode("utf-8", "replace")
        if not secret or not hmac.compare_digest(state, _derived(secret, "state").encode()):
            raise OidcError("this answer belongs to no sign-in that was begun in this browser; begin again")
        if answer.get("iss", self._issuer) != self._issuer:  # RFC 9207
            raise OidcError("this answer comes from another provider")
        if "code" not in answer:
            raise OidcError("the provider did not let you in; try again, or ask who runs it")
        return self._identity_of(self._tokens(secret, redirect_uri, answer["code"]), _derived(secret, "nonce"))

    def _tokens(self, secret: str, redirect_uri: str, code: str) -> Mapping[str, Any]:
        metadata = self._provider().metadata
        form = {
            "grant_type": "authorization_code",
            "code": code[:4000],
            "redirect_uri": redirect_uri,
            "code_verifier": _derived(secret, "verifier"),
        }
        headers = {}
        if self._secret is None:
            form["client_id"] = self._client_id
        elif "client_secret_basic" in metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]):
            pair = f"{quote(self._client_id, safe='')}:{quote(self._secret, safe='')}"  # RFC 6749, 2.3.1
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            form |= {"client_id": self._client_id, "client_secret": self._secret}
        return self._asked("POST", self._endpoint(metadata, "token_endpoint"), data=form, headers=headers)

    def _identity_of(self, tokens: Mapping[str, Any], nonce: str) -> Identity:
        text = tokens.get("id_token")
        if not isinstance(text, str):
            raise OidcError("the provider sent no ID token; have it allow the scope openid")
        try:
            claims = self._verified(text, nonce)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise OidcError(
                "the provider's ID token does not hold; see that issuer, client and clock are right"
            ) from error
        identifier = claims["sub"]
        if not isinstance(identifier, str) or not 0 < len(identifier) <= 255:
            raise OidcError("the provider's ID token does not say who signed in")
        email = claims.get("email")
        is_verified = claims.get("email_verified") is True and isinstance(email, str)
        return Identity(
            f"{self._issuer} {identifier}", invited_as(self._issuer, email) if is_verified else None, identifier
        )

    def _verified(self, text: str, nonce: str) -> CodeIDToken:
        try:
            token = jwt.decode(text, self._provider().keys, algorithms=_ALGORITHMS)
        except (JoseError, ValueError):
            # Perhaps signed with a key that is newer than what is known here.
            token = jwt.decode(text, self._provider(newer=True).keys, algorithms=_ALGORITHMS)
        options: Any = {
            "iss": {"essential": True, "value": self._issuer},
            "aud": {"essential": True, "value": self._client_id},
            "nonce": {"essential": True, "value": nonce},
        }
        claims = CodeIDToken(token.claims, token.header, options, {"nonce": nonce, "client_id": self._client_id})
        claims.validate(leeway=_LEEWAY_SECONDS)
        return claims

    def _provider(self, *, newer: bool = False) -> _Provider:
        """What is known of the provider, or, where that is old, asked anew; `newer`: unless it was asked just now."""
        with self._lock:
            known = self._known
            age = time.monotonic() - known.asked_at if known else KEPT_SECONDS
            if known is not None and age < (_LEEWAY_SECONDS if newer else KEPT_SECONDS):
                return known
            metadata = self._asked("GET", f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
            if metadata.get("issuer") != self._issuer:
                raise OidcError("what answers at oidc_issuer calls itself otherwise; set it as the provider does")
            keys = self._asked("GET", self._endpoint(metadata, "jwks_uri"))
            try:
                self._known = _Provider(metadata, KeySet.import_key_set(keys), time.monotonic())  # type: ignore[arg-type]
            except (JoseError, ValueError, TypeError, KeyError) as error:
                raise OidcError("the provider's keys cannot be read") from error
            return self._known

    def _endpoint(self, metadata: Mapping[str, Any], name: str) -> str:
        found = metadata.get(name)
        if not isinstance(found, str) or not (found.startswith("https://") or _is_here(found, self._issuer)):
            raise OidcError(f"the provider names no {name} with https")
        return found

    def _asked(self, method: str, address: str, **options: Any) -> Mapping[str, Any]:
        octets = b""
        try:
            with (
                httpx2.Client(timeout=TIMEOUT_SECONDS) as client,
                client.stream(method, address, **options) as response,
            ):
                for some in response.iter_bytes():
                    octets += some
                    if len(octets) > _MOST_OCTETS:
                        raise OidcError("the provider's answer is too long")
            found = json.loads(octets)
        except httpx2.HTTPError as error:
            raise OidcError("the provider does not answer now; try again later") from error
        except ValueError as error:
            raise OidcError(f"the provider's answer cannot be read (status {response.status_code})") from error
        if response.status_code != 200 or not isinstance(found, dict):
            raise OidcError(f"the provider refused (status {response.status_code}); begin again")
        return found


def _derived(secret: str, what: str) -> str:
    digest = hmac.digest(secret.encode("utf-8", "replace"), what.encode(), sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _is_here(address: str, issuer: str) -> bool:
    """A provider on this machine may do without TLS."""
    hosts = {urlsplit(address).hostname, urlsplit(issuer).hostname}
    return address.startswith("http://") and hosts <= set(LOOPBACK)
