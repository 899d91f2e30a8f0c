"""Access tokens for IMAP accounts (OAuth 2.0, RFC 6749): had from the token endpoint, kept until shortly before they
end. The standard library is enough for one form and one JSON answer."""

import http.client
import json
import threading
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

import structlog

from ion.config_imap import OAuthClient
from ion.errors import IonError, UnreachableError
from ion.files import write_whole
from ion.inbox.deadline import deadline, shut_down

log = structlog.get_logger("ion.inbox")

ENDPOINT_SECONDS = 20.0
LARGEST_ANSWER_BYTES = 65_536
MARGIN_SECONDS = 60.0  # a token is not used in its last minute
# RFC 6749, 5.2, and OpenID Connect: what trying again does not mend. A known word may be told, any other may not.
_FOR_A_PERSON = ("invalid_grant", "invalid_client", "unauthorized_client", "invalid_scope", "unsupported_grant_type",
                 "interaction_required", "consent_required", "login_required", "access_denied")  # fmt: skip


class SignInRefusedError(IonError):
    """A server does not take what we sign in with; a person has to renew it."""


class AccessTokens:
    """The access token of one account. May be used from several threads."""

    def __init__(self, client: OAuthClient) -> None:
        self._client = client
        self._token: str | None = None
        self._good_until = 0.0
        self._refresh_token: str | None = None  # a newer one than the settings hold, where no file takes it
        self._lock = threading.Lock()

    def token(self) -> str:
        """A token that is good now. Raises SignInRefusedError, UnreachableError where the endpoint does not answer
        well, SettingError for a secret file that cannot be read."""
        with self._lock:
            if self._token is None or time.monotonic() >= self._good_until:
                self._renew()
            assert self._token is not None
            return self._token

    def forget(self) -> None:
        """The mail server refused the token: have another one next time."""
        with self._lock:
            self._token = None

    def _renew(self) -> None:
        client = self._client
        refresh_token = self._refresh_token or client.secret("refresh_token")
        form = {"client_id": client.client_id, "grant_type": "client_credentials"}
        if refresh_token:
            form |= {"grant_type": "refresh_token", "refresh_token": refresh_token}
        if secret := client.secret("client_secret"):
            form["client_secret"] = secret
        if client.scope:
            form["scope"] = client.scope
        status, answer = _asked(client.token_endpoint, form)
        if status != 200:
            error = answer.get("error")
            if status in (400, 401, 403) and error in _FOR_A_PERSON:
                self._refresh_token = None  # the file may hold a newer one next time
                raise SignInRefusedError(f"the token endpoint says {error}: the access was revoked or has expired")
            raise UnreachableError(f"the token endpoint answered with status {status}")
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        # RFC 6750, 2.1: what a bearer token is made of. Anything else could break out of the sign-in.
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token or not token:
            raise UnreachableError("the token endpoint gave no access token")
        self._token = token
        lasts = float(seconds) if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) else 300.0
        self._good_until = time.monotonic() + max(lasts - MARGIN_SECONDS, 0.0)
        new = answer.get("refresh_token")
        if isinstance(new, str) and new and new != refresh_token:
            self._keep(new)

    def _keep(self, refresh_token: str) -> None:
        """Some providers give a new refresh token each time, and the old one ends."""
        self._refresh_token = refresh_token
        path = self._client.refresh_token_file
        if path is None:
            log.warning("a new refresh token is lost at the next start; set refresh_token_file")
            return
        try:
            write_whole(path, lambda file: file.write(refresh_token.encode() + b"\n"))
        except OSError as error:
            log.error("a new refresh token cannot be kept", cause=error.strerror, file=path.name)  # noqa: TRY400
        else:
            self._refresh_token = None


def _asked(endpoint: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Status and JSON object of one POST. Follows no redirection: the form holds secrets. Raises UnreachableError."""
    parts = urlsplit(endpoint)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=ENDPOINT_SECONDS)
    try:
        connection.connect()
        sock = connection.sock
        with deadline(ENDPOINT_SECONDS, lambda: shut_down(sock)):
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            kinds = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
            connection.request("POST", target, urlencode(form), kinds)
            response = connection.getresponse()
            body = response.read(LARGEST_ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(f"the token endpoint does not answer: {type(error).__name__}") from error
    finally:
        connection.close()
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    return response.status, answer if isinstance(answer, dict) else {}
