"""The settings of one SFTP server: an `[[sftp]]` table of the TOML file, for the targets whose URL names its host."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr, model_validator

from ion.config_tables import Table


class SftpServer(Table):
    """A server that published files are uploaded to. `known_hosts`: file with its host key, as OpenSSH writes it; no
    other key is ever accepted. `key_file`: private key without a passphrase that signs in."""

    table: ClassVar[str] = "sftp"

    host: str = Field(min_length=1)
    port: int = Field(default=22, ge=1, le=65535)
    known_hosts: Path
    key_file: Path | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    timeout_seconds: float = Field(default=30, gt=0)

    @model_validator(mode="after")
    def _has_one_way_in(self) -> "SftpServer":
        if sum(given is not None for given in (self.key_file, self.password, self.password_file)) != 1:
            raise ValueError("give one of key_file, password and password_file")
        return self
