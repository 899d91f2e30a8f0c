"""The settings of one more relay: a `[[relay]]` table of the TOML file, for the merchants that name it."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, model_validator

from ion.config_tables import LOOPBACK, Table

RELAY_SECRETS = ("password",)


class RelayTable(Table):
    """An SMTP server that takes a merchant's notifications. `tls_ca_file`: PEM file of the authorities that its
    certificate is verified with; unset: the system's."""

    table: ClassVar[str] = "relay"

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    host: str = Field(min_length=1)
    port: int | None = Field(default=None, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    tls_ca_file: Path | None = None
    user: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "RelayTable":
        if self.password is not None and self.password_file is not None:
            raise ValueError("give password or password_file, not both")
        if (self.user is None) != (self.password is None and self.password_file is None):
            raise ValueError("user and password (or password_file) go together")
        if self.user is not None and self.security == "none" and self.host not in LOOPBACK:
            raise ValueError('security = "none" would send the password in clear; use tls or starttls')
        return self

    @property
    def port_number(self) -> int:
        return self.port or {"starttls": 587, "tls": 465, "none": 25}[self.security]
