"""The settings: one list with default, unit and help, read once and checked loudly.

Flags stand over `ION_` environment variables, these over the TOML file, this over the defaults. An unknown key is an
error, in the file and in the environment. A secret may come from a file: `ION_RELAY_PASSWORD_FILE=/run/secrets/relay`.
The TOML file is the one named by `--config` or `ION_CONFIG`, else `ion.toml` in the working folder if it is there.
"""

import os
import re
import tomllib
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ion.config_imap import IMAP_SECRETS, ImapAccount
from ion.config_relay import RELAY_SECRETS, RelayTable
from ion.config_sftp import SftpServer
from ion.config_tables import LOOPBACK
from ion.errors import SettingError

ENV_PREFIX = "ION_"
CONFIG_VARIABLE = "ION_CONFIG"
_ADDRESS = re.compile(r"[!-~]+@[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)*")  # whether mail can go there is seen when it is made


def _default_data_dir() -> Path:
    """XDG base directory specification: user data."""
    base = os.environ.get("XDG_DATA_HOME") or ""
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "share") / "ion"


def local_time(value: str) -> str:
    """A local time of day, `HH:MM`. Raises ValueError."""
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError("give a local time as HH:MM, for example 02:00")
    return value


def zone_name(value: str) -> str:
    """The name of an IANA time zone. Raises ValueError."""
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("give an IANA time zone, for example Europe/Berlin") from error
    return value


class Settings(BaseSettings):
    """Every setting of the program. Each field's description is its help; units stand in the names."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    data_dir: Path = Field(
        default_factory=_default_data_dir,
        description="folder of the database, the keys and the exports; created owner-only",
    )
    database_url: str | None = Field(
        default=None,
        description="URL of a PostgreSQL database (`postgresql+psycopg://...`); unset: SQLite `ion.db` in `data_dir`",
    )
    mail_domain: str = Field(default="localhost", description="domain of the merchants' own forward-to addresses")
    smtp_host: str = Field(default="127.0.0.1", description="address the SMTP listener binds to")
    smtp_port: int = Field(default=8025, ge=0, le=65535, description="port the SMTP listener binds to; 0: any free one")
    smtp_max_message_bytes: int = Field(
        default=26_214_400, ge=1024, description="largest message the SMTP listener takes, in octets"
    )
    smtp_memory_bytes: int = Field(
        default=67_108_864, ge=1024, description="octets that all messages on their way in may take together"
    )
    smtp_min_free_bytes: int = Field(
        default=104_857_600, ge=0, description="with less free on the database's disk no mail is taken; 0: no floor"
    )
    smtp_max_connections: int = Field(default=256, ge=1, description="most SMTP connections at one time")
    smtp_max_connections_per_address: int = Field(
        default=50, ge=1, description="most of them from one address; of IPv6, from one /64"
    )
    smtp_max_recipients: int = Field(default=100, ge=1, description="most recipients of one message")
    smtp_max_commands: int = Field(default=100_000, ge=10, description="most commands in one SMTP session")
    smtp_idle_seconds: float = Field(default=300, gt=0, description="longest silence of an SMTP client")
    smtp_message_seconds: float = Field(default=600, gt=0, description="longest time one message may take to come in")
    smtp_session_seconds: float = Field(default=3600, gt=0, description="longest SMTP session")
    smtp_tls_port: int | None = Field(
        default=None, ge=0, le=65535, description="port for SMTP within TLS from the first octet; unset: none"
    )
    smtp_lmtp_port: int | None = Field(default=None, ge=0, le=65535, description="port for LMTP; unset: none")
    smtp_tls_certificate: Path | None = Field(
        default=None,
        description="PEM file of the listener's certificate chain; unset: no TLS. Read anew when it changes",
    )
    smtp_tls_key: Path | None = Field(default=None, description="PEM file of its key; unset: in the same file")
    smtp_user: str | None = Field(default=None, description="user name that SMTP clients may sign in with, over TLS")
    smtp_password: SecretStr | None = Field(
        default=None, description="its password; better in a file named by `ION_SMTP_PASSWORD_FILE`"
    )
    smtp_auth_required: bool = Field(default=False, description="whether mail is taken only after signing in")
    smtp_proxy_addresses: str | None = Field(
        default=None,
        description="addresses or networks, with commas between, whose connections begin with a PROXY header",
    )
    # What waits behind a message that hangs must have its turn within ten seconds.
    read_timeout_seconds: float = Field(default=8, gt=0, description="longest time the reading of one message may take")
    readers: int | None = Field(
        default=None, ge=1, le=64, description="processes that read mail; unset: one for each core, from 2 to 8"
    )
    authserv_id: str | None = Field(
        default=None,
        description="name by which your own mail server signs its `Authentication-Results`; unset: none count",
    )
    dns_server: str | None = Field(
        default=None, description="name server asked for the keys of signatures, `ADDRESS[:PORT]`; unset: the system's"
    )
    dns_timeout_seconds: float = Field(default=2, gt=0, description="longest wait for one such key")
    sender: str = Field(default="ION <ion@localhost>", description="From address of the notifications sent")
    reply_to: str | None = Field(default=None, description="Reply-To address of the notifications sent")
    relay_host: str = Field(default="127.0.0.1", description="SMTP server that notifications are handed to")
    relay_port: int = Field(default=25, ge=1, le=65535, description="its port")
    relay_security: Literal["none", "starttls", "tls"] = Field(
        default="none", description="`none`, `starttls` (usually port 587) or `tls` (usually port 465)"
    )
    relay_user: str | None = Field(default=None, description="user name at the relay; unset: no sign-in")
    relay_password: SecretStr | None = Field(
        default=None, description="password at the relay; better in a file named by `ION_RELAY_PASSWORD_FILE`"
    )
    relay_tls_ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authorities that its certificate is verified with; unset: the system's",
    )
    relay_timeout_seconds: float = Field(default=30, gt=0, description="longest wait for an answer of the relay")
    relay: tuple[RelayTable, ...] = Field(
        default=(), description="further relays, for merchants that name them: `[[relay]]` tables, see Sending"
    )
    bounce_domain: str | None = Field(
        default=None,
        description="domain whose mail reaches the SMTP listener, for bounces of what is sent; unset: none are read",
    )
    digest_time: str = Field(default="18:00", description="local time of the daily digests, HH:MM")
    watch_dir: Path | None = Field(
        default=None, description="folder whose payload files `ion serve` sends as `ion send --watch` does; unset: none"
    )
    templates_dir: Path | None = Field(
        default=None, description="folder of your own mail templates; unset: the built-in ones"
    )
    locale: str = Field(default="en", description="language of the notifications: one of the 28 tags under Languages")
    export_dir: Path | None = Field(
        default=None, description="folder of the nightly files; unset: `exports` in `data_dir`"
    )
    export_time: str = Field(
        default="02:00",
        description="local time of the nightly job, HH:MM, of merchants without one of their own",
    )
    time_zone: str = Field(
        default="UTC", description="IANA time zone of times and dates, of merchants without one of their own"
    )
    alert_to: str | None = Field(
        default=None,
        description="addresses, with commas between, that are told by mail what needs a person, of every merchant; "
        "unset: none",
    )
    alert_repeat_hours: float = Field(default=24, ge=1, description="hours until what lasts is told by mail again")
    alert_mails_per_hour: int = Field(default=6, ge=1, description="most such mails to one address in an hour")
    alert_job_minutes: float = Field(default=60, ge=1, description="minutes a job may be late before it is an alert")
    alert_imap_minutes: float = Field(
        default=30, ge=0, description="minutes an IMAP account may fail before it is an alert"
    )
    alert_gap_hours: float = Field(
        default=24, ge=0, description="hours a sequence number may be missing before it is an alert"
    )
    alert_silence_days: float = Field(
        default=2, ge=0, description="days without order mail before the silence can be an alert"
    )
    alert_unentered_hours: float = Field(
        default=72, ge=0, description="hours an order may wait to be entered before it is an alert"
    )
    alert_unentered: Literal["used", "always", "never"] = Field(
        default="used",
        description="whose orders these are: `used`, merchants that have entered one; `always`, all; `never`, none",
    )
    imap: tuple[ImapAccount, ...] = Field(
        default=(), description="IMAP accounts: `[[imap]]` tables of the TOML file, see Fetching by IMAP"
    )
    sftp: tuple[SftpServer, ...] = Field(
        default=(), description="SFTP servers that files go to: `[[sftp]]` tables, see Where files go"
    )
    web_host: str = Field(default="127.0.0.1", description="address the web server binds to")
    web_port: int | None = Field(
        default=8080,
        ge=0,
        le=65535,
        description="port of the web server: staff page, files and API; 0: any free one; `none`: `ion serve` has none",
    )
    web_tls_certificate: Path | None = Field(
        default=None,
        description="PEM file of its certificate chain; unset: no TLS. Read anew when it changes",
    )
    web_tls_key: Path | None = Field(default=None, description="PEM file of its key; unset: in the same file")
    web_url: str | None = Field(
        default=None,
        description="address at which browsers reach the web server, for example `https://orders.shop.example`; "
        "unset: the one they ask for",
    )
    metrics_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="token that `/metrics` is asked with; better in a file named by `ION_METRICS_TOKEN_FILE`; "
        "unset: it is answered to this machine only",
    )
    oidc_issuer: str | None = Field(
        default=None,
        description="address of the OpenID Connect provider that users may sign in at, see Signing in elsewhere; "
        "unset: none",
    )
    oidc_client_id: str | None = Field(default=None, description="what the provider calls this installation")
    oidc_client_secret: SecretStr | None = Field(
        default=None,
        description="its secret there, where it has one; better in a file named by `ION_OIDC_CLIENT_SECRET_FILE`",
    )
    oidc_name: str = Field(
        default="OpenID Connect", min_length=1, max_length=60, description="how the sign-in page names the provider"
    )
    raw_days: int = Field(
        default=30, ge=1, le=36_500, description="days that raw mail is kept after it was read, ignored or decided"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level that is logged"
    )

    @field_validator("imap", "relay")
    @classmethod
    def _have_different_names(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if len({table.name for table in value}) < len(value):
            raise ValueError("two of them have the same name")
        return value

    @field_validator("bounce_domain")
    @classmethod
    def _is_a_domain(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"(?=.{1,200}\Z)[a-z0-9-]+(\.[a-z0-9-]+)*", value.lower()):
            raise ValueError("give a domain in letters of ASCII, for example mail.example")
        return value and value.lower()

    @field_validator("alert_to")
    @classmethod
    def _are_addresses(cls, value: str | None) -> str | None:
        if not all(_ADDRESS.fullmatch(address) for address in _listed(value)):
            raise ValueError("give addresses, for example ana@shop.example,it@shop.example")
        return value

    @field_validator("export_time", "digest_time")
    @classmethod
    def _is_a_time(cls, value: str) -> str:
        return local_time(value)

    @field_validator("web_port", mode="before")
    @classmethod
    def _may_be_none(cls, value: Any) -> Any:
        if isinstance(value, str) and not value.isdecimal():
            if value != "none":  # TOML and environments have no word of their own for it
                raise ValueError("give the number of a port, or none")
            return None
        return value

    @field_validator("web_url")
    @classmethod
    def _is_an_address_of_browsers(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[a-zA-Z0-9.:\[\]-]+/?", value):
            raise ValueError("give a scheme and a host without a path, for example https://orders.shop.example")
        return value and value.rstrip("/")

    @field_validator("oidc_issuer")
    @classmethod
    def _is_an_issuer(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "")
        if value is not None and not (
            parts.hostname
            and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK))
            and re.fullmatch(r"[!-~]+", value)
            and not (parts.query or parts.fragment)
        ):
            raise ValueError("give the issuer as the provider writes it, for example https://login.shop.example")
        return value

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        return zone_name(value)

    @field_validator("smtp_proxy_addresses")
    @classmethod
    def _are_networks(cls, value: str | None) -> str | None:
        try:
            _networks(value)
        except ValueError as error:
            raise ValueError("give addresses or networks, for example 10.0.0.5,192.168.7.0/24") from error
        return value

    @field_validator("dns_server")
    @classmethod
    def _is_a_name_server(cls, value: str | None) -> str | None:
        if value is None:
            return None
        host, port = value, "53"
        if value.startswith("["):
            host, _, port = value[1:].removesuffix("]").partition("]:")
        elif value.count(":") == 1:
            host, port = value.split(":")
        try:
            ip_address(host)
            usable = 0 < int(port or 53) < 65536
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("give the address of a name server, for example 192.0.2.53 or 192.0.2.53:53")
        return value

    @field_validator("locale")
    @classmethod
    def _is_a_language(cls, value: str) -> str:
        from ion.contract import language

        try:
            return language(value).tag
        except SettingError as error:
            raise ValueError(str(error)) from error

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # Environment and file are merged in load_settings, where an unknown name can be reported by its source.
        return (init_settings,)

    @property
    def sqlite_path(self) -> Path:
        return self.data_dir / "ion.db"

    @property
    def store_url(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database_url or f"sqlite:///{self.sqlite_path}"

    @property
    def reader_count(self) -> int:
        """How many processes read mail: more than one, so that a message that hangs holds up nobody."""
        return self.readers or min(8, max(2, os.cpu_count() or 1))

    @property
    def keys_dir(self) -> Path:
        return self.data_dir / "keys"

    @property
    def exports(self) -> Path:
        return self.export_dir or self.data_dir / "exports"

    @property
    def proxies(self) -> tuple[str, ...]:
        """`smtp_proxy_addresses`, each as a network."""
        return _networks(self.smtp_proxy_addresses)

    @property
    def alert_addresses(self) -> tuple[str, ...]:
        """`alert_to`, each address once."""
        return tuple(dict.fromkeys(_listed(self.alert_to)))

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _networks(text: str | None) -> tuple[str, ...]:
    return tuple(str(ip_network(part)) for part in _listed(text))


SECRETS = tuple(
    name for name, info in Settings.model_fields.items() if SecretStr in getattr(info.annotation, "__args__", ())
)


# A database URL may hold a password.
FROM_FILES = (*SECRETS, "database_url")


def load_settings(flags: dict[str, Any] | None = None, config: Path | None = None) -> Settings:
    """The settings in force. `flags`: values given on the command line, None where not given.

    Raises SettingError naming the setting, where it came from, its value and what is expected.
    """
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for source, found in (
        *_from_file(config),
        ("the environment", _from_environment()),
        ("the command line", {name: value for name, value in (flags or {}).items() if value is not None}),
    ):
        for name, value in found.items():
            if name not in Settings.model_fields:
                raise SettingError(f"{source} names an unknown setting {name!r}; `ion config` lists them all")
            values[name], origin[name] = value, source
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        secret = name in FROM_FILES or first["loc"][-1:] in [(one,) for one in (*IMAP_SECRETS, *RELAY_SECRETS)]
        # A whole table may hold secrets, and so may a name that was misspelt.
        secret = secret or isinstance(first.get("input"), (dict, list)) or first["type"] == "extra_forbidden"
        shown = "(secret)" if secret else repr(first.get("input"))
        wanted = first["msg"].removeprefix("Value error, ")
        path = ".".join(map(str, first["loc"])) or "?"
        raise SettingError(f"setting {path} = {shown} from {origin.get(name, 'its default')}: {wanted}") from error


def masked(settings: Settings) -> dict[str, Any]:
    """All settings as plain values, secrets masked."""
    shown = settings.model_dump(mode="json")
    if shown["database_url"]:
        shown["database_url"] = re.sub(r"(//[^/@]*?:)[^/]*@", r"\1***@", shown["database_url"])
    return {name: ("***" if name in SECRETS and value else value) for name, value in shown.items()}


def _from_file(config: Path | None) -> list[tuple[str, dict[str, Any]]]:
    named = config or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    path = named or Path("ion.toml")
    if named is None and not path.is_file():
        return []
    try:
        return [(str(path), tomllib.loads(path.read_text("utf-8")))]
    except OSError as error:
        raise SettingError(f"the settings file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"the settings file {path} is not valid TOML: {error}") from error


def _from_environment() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, value in os.environ.items():
        if not variable.startswith(ENV_PREFIX) or variable == CONFIG_VARIABLE:
            continue
        name = variable.removeprefix(ENV_PREFIX).lower()
        if name.endswith("_file") and name.removesuffix("_file") in FROM_FILES:
            found[name.removesuffix("_file")] = _secret_of(variable, Path(value))
        elif value != "":
            found[name] = value
    return found


def _secret_of(variable: str, path: Path) -> str:
    try:
        return path.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{variable} names the file {path}, which cannot be read: {error}") from error
