"""The settings of one IMAP account: a `[[imap]]` table of the TOML file."""

import re
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from ion.config_tables import LOOPBACK, Table

IMAP_SECRETS = ("password", "client_secret", "refresh_token")


class OAuthClient(Table):
    """How an access token is had (RFC 6749): with a refresh token (section 6) for a person's mailbox, or, where there
    is none, with the client's own credentials (4.4). A new refresh token is written back to `refresh_token_file`."""

    table: ClassVar[str] = "imap"

    token_endpoint: str
    client_id: str
    client_secret: SecretStr | None = None
    client_secret_file: Path | None = None
    refresh_token: SecretStr | None = None
    refresh_token_file: Path | None = None
    scope: str | None = None

    @field_validator("token_endpoint")
    @classmethod
    def _is_private(cls, value: str) -> str:
        parts = urlsplit(value)
        if not parts.hostname or not (parts.scheme == "https" or parts.hostname in LOOPBACK):
            raise ValueError("give an https:// address: secrets travel to it")
        return value

    @model_validator(mode="after")
    def _has_a_secret(self) -> "OAuthClient":
        if not any((self.client_secret, self.client_secret_file, self.refresh_token, self.refresh_token_file)):
            raise ValueError("give refresh_token_file, or client_secret_file, or both")
        return self


class ImapAccount(Table):
    """One mailbox whose order mail belongs to one merchant.

    `after`: what is done with a message once it is stored: `leave`, `flag` (marked as read) or `move:<folder>`.
    `window`: UIDs asked for at a time. `round_seconds`: longest time between two looks.
    """

    table: ClassVar[str] = "imap"

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    merchant: str = "default"
    host: str = Field(min_length=1)
    port: int | None = Field(default=None, ge=1, le=65535)
    security: Literal["tls", "starttls", "none"] = "tls"
    tls_ca_file: Path | None = None
    user: str = Field(min_length=1)
    password: SecretStr | None = None
    password_file: Path | None = None
    oauth: OAuthClient | None = None
    folders: tuple[str, ...] = Field(default=("INBOX",), min_length=1)
    after: str = "leave"
    window: int = Field(default=50, ge=1, le=500)
    # An IDLE must be renewed within 29 minutes (RFC 2177); a round renews it.
    round_seconds: float = Field(default=60, ge=1, le=1680)

    @field_validator("after")
    @classmethod
    def _is_an_action(cls, value: str) -> str:
        if value not in ("leave", "flag") and not re.fullmatch(r"move:[^\x00-\x1f]+", value):
            raise ValueError("give leave, flag or move:<folder>")
        return value

    @field_validator("folders")
    @classmethod
    def _are_different(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value) or not all(re.fullmatch(r"[^\x00-\x1f]+", folder) for folder in value):
            raise ValueError("name each folder once, without control characters")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "ImapAccount":
        ways = [self.password is not None, self.password_file is not None, self.oauth is not None]
        if sum(ways) != 1:
            raise ValueError("give exactly one of password, password_file and [imap.oauth]")
        if self.security == "none" and self.host not in LOOPBACK:
            raise ValueError('security = "none" would send the password in clear; use tls or starttls')
        if self.move_to in self.folders:
            raise ValueError("after = move: names a folder that is fetched itself")
        return self

    @property
    def move_to(self) -> str | None:
        """The folder that stored messages are moved to; None where they are not moved."""
        return self.after.removeprefix("move:") if self.after.startswith("move:") else None

    @property
    def port_number(self) -> int:
        return self.port or (993 if self.security == "tls" else 143)

    @property
    def source(self) -> str:
        """Which mailbox this is, and whose: how far it was fetched counts for this one only."""
        return f"{self.merchant} {self.user}@{self.host.lower()}"
