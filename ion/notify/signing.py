"""DKIM signatures of the mails sent (RFC 6376), and the keys they are made with.

A key is a PEM file `<data>/keys/dkim/<domain>/<signs from>_<algorithm>_<selector>.pem`, owner-only. A domain may have
keys of both algorithms; its mail then gets a signature by each (RFC 8463, 3), because not every verifier knows Ed25519.
Of the keys of one algorithm the one that signs from the latest time that has come is used: so the record of a new key
can be in the DNS before the first mail needs it. The others stay, for mail under way, until they are removed.

The signature covers the whole body (no l=) and is relaxed/relaxed: relays may fold headers anew and touch blanks.
Nothing here asks the DNS. `cryptography` is imported where there is a key only, so that who signs nothing needs it not.
"""

import base64
import fcntl
import hashlib
import os
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ion.config import Settings
from ion.errors import SettingError
from ion.files import sync_folder, write_whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    PrivateKey = RSAPrivateKey | Ed25519PrivateKey

INSTALL = "DKIM keys need more: pip install 'ion-orders[dkim]'"
RSA_BITS = 2048  # RFC 8301, 3.2; a longer one does not fit into a DNS answer by UDP
# Where a field of these is in the mail, so many are signed and one more that is not there: nobody can add another
# (RFC 6376, 8.15). RFC 6376, 5.4.1 names most; the others tell machines what to do with the mail.
_SIGNED = tuple(
    "from reply-to sender to cc subject date message-id in-reply-to references mime-version content-type "
    "content-transfer-encoding content-language auto-submitted x-auto-response-suppress list-id list-unsubscribe "
    "list-unsubscribe-post".split()
)
# Signed as missing too. Not Date, Message-ID or Sender: a submission server may add those (RFC 6409, 8).
_NEVER_ADDED = ("reply-to", "cc", "to", "subject", "content-transfer-encoding")
# Labels of letters, digits and hyphens (RFC 6376, 3.1 and RFC 5321, 4.1.2); lower case, as both are compared.
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_FILE = re.compile(rf"(?P<time>\d{{8}}T\d{{12}}Z)_(?P<algorithm>rsa|ed25519)_(?P<selector>{_NAME.pattern})\.pem")
_TIME = "%Y%m%dT%H%M%S%fZ"
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")  # RFC 5322, 2.2; a blank before the colon is of its obsolete form, 4.5.8
_BLANKS = re.compile(rb"[ \t]+")


class Algorithm(StrEnum):
    """How a key signs: RSA, which every verifier knows, or Ed25519 (RFC 8463), whose record and signature are short."""

    rsa = "rsa"
    ed25519 = "ed25519"


@dataclass(frozen=True)
class DkimKey:
    """A key on file. `signs_from`: aware UTC."""

    domain: str
    selector: str
    algorithm: Algorithm
    signs_from: datetime
    path: Path

    @property
    def record_name(self) -> str:
        """Where its public half stands in the DNS."""
        return f"{self.selector}._domainkey.{self.domain}"


class DkimKeys:
    """The keys in `folder`, by domain. Methods raise SettingError where a file is damaged or cannot be read or written,
    where a domain or selector cannot be one, and where the library is missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def domains(self) -> tuple[str, ...]:
        """All domains with a key."""
        found = [name for name in self._names(self.folder) if _NAME.fullmatch(name) and self.keys(name)]
        return tuple(sorted(found))

    def keys(self, domain: str) -> tuple[DkimKey, ...]:
        """All keys of `domain`, newest first."""
        found = []
        for name in self._names(self.folder / domain):
            parts = _FILE.fullmatch(name)
            if parts:
                try:
                    time = datetime.strptime(parts["time"], _TIME).replace(tzinfo=UTC)
                except ValueError as error:
                    raise SettingError(f"the key file {self.folder / domain / name} has no time in its name") from error
                algorithm = Algorithm(parts["algorithm"])
                found.append(DkimKey(domain, parts["selector"], algorithm, time, self.folder / domain / name))
        return tuple(sorted(found, key=lambda key: (key.signs_from, key.selector), reverse=True))

    def signing_keys(self, domain: str, now: datetime) -> tuple[DkimKey, ...]:
        """The keys that sign mail of `domain` at `now`: the newest of each algorithm."""
        newest: dict[Algorithm, DkimKey] = {}
        for key in self.keys(domain):
            if key.signs_from <= now:
                newest.setdefault(key.algorithm, key)
        return tuple(newest[algorithm] for algorithm in Algorithm if algorithm in newest)

    def add(self, domain: str, algorithm: Algorithm, selector: str | None, signs_from: datetime) -> DkimKey:
        """Make a key. `selector` None: one of the algorithm's letter and the day, such as `r20261126`."""
        domain = _checked(domain, "domain", "platform.example")
        folder = self.folder / domain
        with self._locked():
            used = {key.selector for key in self.keys(domain)}
            if selector is None:
                selector = _free_selector(f"{algorithm.value[0]}{signs_from:%Y%m%d}", used)
            else:
                selector = _checked(selector, "selector", "s1")
            if selector in used:
                raise SettingError(f"{domain} has a key with the selector {selector!r}; a new key needs a new one")
            path = folder / f"{signs_from.strftime(_TIME)}_{algorithm.value}_{selector}.pem"
            pem = _new_pem(algorithm)
            try:
                folder.mkdir(mode=0o700, exist_ok=True)
                write_whole(path, lambda file: file.write(pem))
            except OSError as error:
                raise SettingError(f"the key file {path} cannot be written: {error.strerror}") from error
        return DkimKey(domain, selector, algorithm, signs_from, path)

    def remove(self, domain: str, selector: str) -> DkimKey:
        """Remove a key for good; what it was."""
        domain = _checked(domain, "domain", "platform.example")
        with self._locked():
            found = next((key for key in self.keys(domain) if key.selector == selector.lower()), None)
            if not found:
                raise SettingError(f"{domain} has no key with the selector {selector!r}; `ion dkim list` lists them")
            try:
                found.path.unlink()
                sync_folder(found.path.parent)
            except OSError as error:
                raise SettingError(f"the key file {found.path} cannot be removed: {error.strerror}") from error
        return found

    def record(self, key: DkimKey) -> str:
        """The TXT record of the key's public half (RFC 6376, 3.6.1; RFC 8463, 4)."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        public: Any = self.private(key).public_key()
        if key.algorithm is Algorithm.rsa:
            octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            octets = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return f"v=DKIM1; k={key.algorithm.value}; p={base64.b64encode(octets).decode()}"

    def private(self, key: DkimKey) -> "PrivateKey":
        """The key itself; the file is read again only where it has changed."""
        try:
            status = key.path.stat()
            return _loaded(key, status.st_mtime_ns, status.st_size)
        except OSError as error:
            raise SettingError(f"the key file {key.path} cannot be read: {error.strerror}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer alone."""
        try:
            for folder in (*reversed(self.folder.parents[:2]), self.folder):  # each owner-only
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SettingError(f"the key folder {self.folder} cannot be written: {error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    @staticmethod
    def _names(folder: Path) -> list[str]:
        try:
            return [entry.name for entry in folder.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SettingError(f"the key folder {folder} cannot be read: {error.strerror}") from error


class Signer:
    """Signs finished mails with the keys of their From domains. Safe to use from several threads."""

    def __init__(self, keys: DkimKeys) -> None:
        self._keys = keys

    @classmethod
    def from_settings(cls, settings: Settings) -> "Signer":
        """The signer with the keys in the data folder."""
        return cls(dkim_keys(settings))

    def sign(self, raw: bytes, *, signed_at: datetime | None = None) -> bytes:
        """`raw` with a signature on top by each key that signs for the domain of its From; without one, `raw` itself.

        The domain is that of the address, not one above it. A mail with several From fields or addresses is nobody's
        and stays as it is. Line ends are made CR LF, as SMTP will have them. `signed_at`: now, unless given. Raises
        SettingError naming a key file that is damaged.
        """
        mail = raw
        if not raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r"):
            mail = re.sub(rb"\r\n?|\n", b"\r\n", raw)
        fields, body = _split(mail)
        domain = _from_domain(tuple(field for name, field in fields if name == "from"))
        signed_at = signed_at or datetime.now(UTC)
        keys = self._keys.signing_keys(domain, signed_at) if domain else ()
        if not keys:
            return raw
        names, covered = _covered(fields)
        body_hash = base64.b64encode(hashlib.sha256(relaxed_body(body)).digest()).decode()
        signatures = b""
        for key in keys:
            tags = (
                f"v=1; a={key.algorithm.value}-sha256; c=relaxed/relaxed;\r\n"
                f"\td={domain}; s={key.selector};\r\n\tt={int(signed_at.timestamp())};\r\n"
                f"\th={_folded(names)};\r\n\tbh={body_hash};\r\n\tb="
            )
            unsigned = f"DKIM-Signature: {tags}".encode("ascii")
            signature = self._signature(key, covered + relaxed_field(unsigned).removesuffix(b"\r\n"))
            text = base64.b64encode(signature).decode()
            lines = "\r\n\t".join(text[place : place + 64] for place in range(0, len(text), 64))
            signatures += unsigned + lines.encode("ascii") + b"\r\n"
        return signatures + mail

    def _signature(self, key: DkimKey, signed: bytes) -> bytes:
        private: Any = self._keys.private(key)
        if key.algorithm is Algorithm.ed25519:
            return cast(bytes, private.sign(hashlib.sha256(signed).digest()))  # RFC 8463, 3: Ed25519 over the hash
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        return cast(bytes, private.sign(signed, PKCS1v15(), SHA256()))


def dkim_keys(settings: Settings) -> DkimKeys:
    """The DKIM keys in the data folder."""
    return DkimKeys(settings.keys_dir / "dkim")


def zone_lines(key: DkimKey, record: str) -> str:
    """The record for a zone file (RFC 1035, 5.1): strings of at most 255 octets, which verifiers join."""
    strings = " ".join(f'"{record[place : place + 255]}"' for place in range(0, len(record), 255))
    return f"{key.record_name}. IN TXT ( {strings} )"


def relaxed_field(field: bytes) -> bytes:
    """A header field as it is signed (RFC 6376, 3.4.2), CR LF at its end."""
    name, _, value = field.partition(b":")
    unfolded = value.replace(b"\r\n", b"")
    return name.strip(b" \t").lower() + b":" + _BLANKS.sub(b" ", unfolded).strip(b" ") + b"\r\n"


def relaxed_body(body: bytes) -> bytes:
    """A body as it is signed (RFC 6376, 3.4.4)."""
    relaxed = body.replace(b"\t", b" ")
    while b"  " in relaxed:  # several times as fast as an expression
        relaxed = relaxed.replace(b"  ", b" ")
    relaxed = (relaxed + b"\r\n").replace(b" \r\n", b"\r\n").rstrip(b"\r\n")
    return relaxed + b"\r\n" if relaxed else b""


def _split(raw: bytes) -> tuple[list[tuple[str, bytes]], bytes]:
    """The header's fields, each with its name in lower case, in their order, and the body. Takes CR LF lines.

    A line that is no field belongs to none and is not signed.
    """
    fields: list[tuple[str, bytes]] = []
    head, _, body = (b"\r\n" + raw).partition(b"\r\n\r\n")
    for field in re.split(rb"\r\n(?![ \t])", head):
        found = _FIELD.match(field)
        if found:
            fields.append((found[1].decode("ascii").lower(), field))
    return fields, body


def _covered(fields: Sequence[tuple[str, bytes]]) -> tuple[tuple[str, ...], bytes]:
    """The names for h= and the fields they stand for, as they are signed: of one name the last is first (5.4.2)."""
    names: list[str] = []
    signed: list[bytes] = []
    for wanted in _SIGNED:
        found = [relaxed_field(field) for name, field in fields if name == wanted]
        if found or wanted in _NEVER_ADDED:
            names += [wanted] * (len(found) + 1)
            signed += reversed(found)
    return tuple(names), b"".join(signed)


@lru_cache(maxsize=64)  # mails of one kind have the same fields
def _folded(names: tuple[str, ...]) -> str:
    """h= in lines of at most 66 characters; blanks may stand around its colons (RFC 6376, 3.5)."""
    lines = textwrap.wrap(" : ".join(names), 66, break_on_hyphens=False)
    return "\r\n\t ".join(lines).replace(" : ", ":")


@lru_cache(maxsize=64)  # a sender is always the same
def _from_domain(fields: tuple[bytes, ...]) -> str | None:
    """The domain of the one address in the one From field, in lower case; None where there is no such thing."""
    if len(fields) != 1:
        return None
    import email.errors  # slow, and only needed where a mail is signed
    import email.policy

    value = fields[0].partition(b":")[2].decode("utf-8", "replace")
    try:
        header: Any = email.policy.default.header_factory("From", re.sub(r"\r?\n", "", value).strip())
        (address,) = header.addresses
        if any(isinstance(defect, email.errors.InvalidHeaderDefect) for defect in header.defects):
            return None  # others may read another address in it
    except Exception:  # the library's parser raises many things on what is no address
        return None
    domain = str(address.domain).lower()
    return domain if _NAME.fullmatch(domain) else None


def _checked(name: str, what: str, example: str) -> str:
    lowered = name.lower()
    if not _NAME.fullmatch(lowered):
        raise SettingError(f"{name!r} is no {what}; give letters, digits, hyphens and dots, for example {example}")
    return lowered


def _free_selector(stem: str, used: set[str]) -> str:
    """`stem`, or `stem-2` and so on where it is taken."""
    selector, number = stem, 1
    while selector in used:
        number += 1
        selector = f"{stem}-{number}"
    return selector


def _new_pem(algorithm: Algorithm) -> bytes:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    except ImportError as error:
        raise SettingError(INSTALL) from error
    if algorithm is Algorithm.rsa:
        private: PrivateKey = rsa.generate_private_key(65537, RSA_BITS)
    else:
        private = ed25519.Ed25519PrivateKey.generate()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@lru_cache(maxsize=64)
def _loaded(key: DkimKey, written_ns: int, size: int) -> "PrivateKey":  # noqa: ARG001  # a file that changed is another one
    pem = key.path.read_bytes()
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise SettingError(INSTALL) from error
    wanted = RSAPrivateKey if key.algorithm is Algorithm.rsa else Ed25519PrivateKey
    try:
        private = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SettingError(
            f"the key file {key.path} is damaged: it must hold a private key in PEM; restore it from a backup, or "
            f"remove it with `ion dkim remove {key.domain} --selector {key.selector}`"
        ) from error
    if not isinstance(private, wanted) or (isinstance(private, RSAPrivateKey) and private.key_size < 1024):
        raise SettingError(f"the key file {key.path} holds no {key.algorithm.value} key that mail can be signed with")
    return private
