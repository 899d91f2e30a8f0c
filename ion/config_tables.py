"""What the tables of the TOML file have in common: unknown keys are errors, a secret stands there or in a file.

A secret file is read when it is needed, not at the start: one renewed by another program counts at once.
"""

from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, SecretStr

from ion.errors import SettingError

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Table(BaseModel):
    """`table`: its name in the file, for what is told."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    table: ClassVar[str]

    def secret(self, name: str) -> str | None:
        """The secret `name`, from the table or from the file that `<name>_file` names; None where neither is given.

        Raises SettingError naming the file that cannot be read.
        """
        given: SecretStr | None = getattr(self, name)
        path: Path | None = getattr(self, f"{name}_file")
        if given is not None:
            return given.get_secret_value()
        if path is None:
            return None
        try:
            return path.read_text("utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(
                f"{self.table}: {name}_file names the file {path}, which cannot be read: {error}"
            ) from error
