"""The seal: a short keyed digest over a notification's canonical text, and the keys it is made with.

Seal: HMAC-SHA-256 (RFC 2104) over `canonical_bytes`, cut to 100 bits and printed as five groups of four characters of
Crockford's base 32, which has no look-alikes (no I, L, O, U) and is read in either case. 100 bits withstand guessing:
a forger has to mail each try.

Imprint: an HMAC over one body of a mail and the seal printed in it. The sender, who has read that body back, vouches by
it that the body shows what the seal is over; one that arrives as it was sent needs no second reading.

Keys: one secret of 32 octets per installation, created atomically on first use in the data folder and readable by
its owner only. A merchant's keys are derived from it (HKDF-SHA-256, RFC 5869), one per generation; a key travels to
another installation, the secret never does. Retired and imported keys verify, only the current one seals.
"""

import base64
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ion.contract import Entry, canonical_bytes
from ion.errors import SettingError
from ion.files import sync_folder, write_whole

SEAL_BITS = 100
MAX_GENERATIONS = 1000
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
# Crockford's own rule for what people mistype.
_LOOK_ALIKES = str.maketrans("ILO", "110")
GLUED_SEAL_PATTERN = re.compile(r"[0-9A-Za-z]{4}(?:\s*-\s*[0-9A-Za-z]{4}){4}")
"""A printed seal, whatever letters follow it."""
SEAL_PATTERN = re.compile(rf"\b{GLUED_SEAL_PATTERN.pattern}\b")


@dataclass(frozen=True)
class Key:
    """One merchant key: 32 octets and the public id that a notification names it by."""

    key_id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.key_id})"


def make_seal(values: Sequence[Entry], key: Key) -> str:
    """The seal over the entries (header and order), `7K2M-9QXR-...`: 20 characters in five groups."""
    letters = sealed_letters(canonical_bytes(values), key)
    return "-".join(letters[place : place + 4] for place in range(0, len(letters), 4))


def sealed_letters(canonical: bytes, key: Key) -> str:
    """The seal over canonical octets as `normal_seal` gives it: 20 characters without hyphens."""
    return _base32(hmac.digest(key.secret, b"ION seal\n" + canonical, "sha256"), SEAL_BITS)


def verify_seal(values: Sequence[Entry], seal: str, keys: Sequence[Key]) -> Key | None:
    """The key that proves the seal over these entries, or None. Compares in constant time.

    Only keys of the id the header names are tried: the id is under the seal, so it cannot be exchanged.
    """
    named = next((entry.value for entry in values if entry.code == "proof.key_id"), None)
    given = normal_seal(seal).encode(errors="replace")
    named_keys = [key for key in keys if key.key_id == named]
    canonical = canonical_bytes(values) if named_keys else b""
    for key in named_keys:
        if hmac.compare_digest(sealed_letters(canonical, key).encode(), given):
            return key
    return None


def make_imprint(body: str, tag: str, seal: str, key: Key) -> str:
    """What vouches for `body`, a decoded text or HTML body that was read back exactly in the language `tag`: 20
    characters.

    Line ends and what stands before or behind the body do not count, for every transport makes its own.
    """
    lines = body.strip().replace("\r\n", "\n").replace("\r", "\n")
    signed = f"ION body\n{tag}\n{normal_seal(seal)}\n{lines}".encode("utf-8", "replace")
    return _base32(hmac.digest(key.secret, signed, "sha256"), SEAL_BITS)


def verify_imprint(imprint: str, body: str, tag: str, seal: str, keys: Sequence[Key]) -> bool:
    """True if one of `keys` made `imprint` of this body. Compares in constant time."""
    given = imprint.encode(errors="replace")
    return any(hmac.compare_digest(make_imprint(body, tag, seal, key).encode(), given) for key in keys)


def normal_seal(seal: str) -> str:
    """A printed seal without its hyphens and blanks, in capitals, look-alikes resolved."""
    return re.sub(r"[\s-]+", "", seal).upper().translate(_LOOK_ALIKES)


def key_of(secret: bytes) -> Key:
    """The key with these 32 octets; its id is a digest of them and tells nothing else."""
    return Key(_base32(hashlib.sha256(b"ION key id\n" + secret).digest(), 40), secret)


def _base32(octets: bytes, bits: int) -> str:
    number = int.from_bytes(octets, "big") >> (len(octets) * 8 - bits)
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(bits - 5, -1, -5))


def _derive(secret: bytes, merchant: str, generation: int) -> bytes:
    """HKDF-SHA-256 of one block (RFC 5869); the info field separates merchants and generations."""
    extracted = hmac.digest(b"ION merchant keys", secret, "sha256")
    info = f"{merchant}\n{generation}".encode()
    return hmac.digest(extracted, info + b"\x01", "sha256")


class KeyRing:
    """The keys of one installation, in `folder` (`<data>/keys`): `secret` and `merchants.json`, owner-only.

    Every method reads the files anew, so a key imported or rotated by another process counts at once. Writers take a
    lock and replace the file whole. Methods raise SettingError where a file is damaged or cannot be read, and where the
    secret is missing though `is_first_use` says that there was one.
    """

    def __init__(self, folder: Path, *, is_first_use: Callable[[], bool] = lambda: True) -> None:
        self.folder = folder
        self._is_first_use = is_first_use

    def make_secret(self) -> None:
        """Make a new secret where the old one is lost for good. Mails sealed with keys of the old one are no longer
        proved. Raises SettingError where there is a secret."""
        path = self.folder / "secret"
        if path.exists():
            raise SettingError(f"{path} is there; move it away first, if it is to be replaced")
        try:
            self._create_secret(path)
        except OSError as error:
            raise SettingError(f"the key file {path} cannot be written: {error.strerror}") from error

    def ensure_secret(self) -> None:
        """Have a secret: on first use a new one. Raises SettingError where one was lost or is damaged."""
        self._secret()

    def subject_digest(self, text: str) -> str:
        """A keyed digest (hexadecimal) that tells whether two texts are one, and to nobody without the secret which."""
        key = hmac.digest(self._secret(), b"ION erasure record", "sha256")
        return hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256").hex()

    def sealing_key(self, merchant: str) -> Key:
        """The current key of `merchant`, the only one that seals."""
        return key_of(_derive(self._secret(), merchant, self._generation(self._merchants(), merchant)))

    def keys_for(self, merchant: str) -> tuple[Key, ...]:
        """All keys that verify for `merchant`: current, retired, imported."""
        merchants = self._merchants()
        current = self._generation(merchants, merchant)
        own = [key_of(_derive(self._secret(), merchant, generation)) for generation in range(current, 0, -1)]
        imported = [key_of(self._octets(text)) for text in merchants.get(merchant, {}).get("imported", [])]
        return (*own, *imported)

    def export_key(self, merchant: str) -> str:
        """The current key as one line of text for another installation. Whoever holds it can seal for this merchant."""
        key = self.sealing_key(merchant)
        return f"ion-key-1:{merchant}:{key.key_id}:{base64.urlsafe_b64encode(key.secret).decode().rstrip('=')}"

    def import_key(self, merchant: str, text: str) -> Key:
        """Take an exported key in for `merchant` (whatever the other installation calls it). Twice is once.

        Raises SettingError where the text is no exported key or is damaged.
        """
        parts = text.strip().rsplit(":", 2)  # a merchant's name may hold colons
        if len(parts) != 3 or not parts[0].startswith("ion-key-1:"):
            raise SettingError("this is no exported key; it is one line that begins with ion-key-1:")
        _, key_id, octets = parts
        key = key_of(self._octets(octets))
        if key.key_id != key_id:
            raise SettingError(f"the key is damaged: its id says {key_id!r}; copy the whole line again")
        with self._locked() as merchants:
            imported = merchants.setdefault(merchant, {}).setdefault("imported", [])
            if key not in self.keys_for(merchant):
                imported.append(octets)
        return key

    def rotate_key(self, merchant: str) -> Key:
        """Begin a new current key for `merchant`; the ones before it still verify."""
        self.ensure_secret()
        with self._locked() as merchants:
            entry = merchants.setdefault(merchant, {})
            entry["generation"] = self._generation(merchants, merchant) + 1
            if entry["generation"] > MAX_GENERATIONS:
                raise SettingError(f"merchant {merchant!r} has had {MAX_GENERATIONS} keys; no further one is made")
        return self.sealing_key(merchant)

    def _secret(self) -> bytes:
        path = self.folder / "secret"
        try:
            if not path.exists():
                self._check_first_use(path)
                self._create_secret(path)
            text = path.read_bytes().strip()
        except OSError as error:
            raise SettingError(f"the key file {path} cannot be read: {error.strerror}") from error
        if not re.fullmatch(rb"[0-9A-Fa-f]{64}", text):
            raise SettingError(
                f"the key file {path} is damaged: it must hold 64 hexadecimal digits and nothing else, and holds "
                f"{len(text)} octets; restore it from a backup"
            )
        return bytes.fromhex(text.decode("ascii"))

    def _check_first_use(self, path: Path) -> None:
        if not (self.folder / "merchants.json").exists() and self._is_first_use():
            return
        raise SettingError(
            f"the key file {path} is missing, but mail was sealed or sent with it: restore the folder {self.folder} "
            "from a backup. If it is lost for good, `ion merchant key new-secret` makes a new one; mail sealed with "
            "the old one is then no longer proved, and keys that were imported have to be imported again"
        )

    def _create_secret(self, path: Path) -> None:
        """Write a new secret whole under another name, then link it: of two processes the first wins."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.folder / f".secret-{secrets.token_hex(8)}"
        write_whole(draft, lambda file: file.write(secrets.token_hex(32).encode() + b"\n"))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was first; its secret is the installation's
        finally:
            draft.unlink()
        sync_folder(self.folder)

    def _merchants(self) -> dict[str, Any]:
        path = self.folder / "merchants.json"
        try:
            merchants = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise SettingError(f"the key file {path} cannot be read: {error}") from error
        if not isinstance(merchants, dict) or not all(map(_is_whole, merchants.values())):
            raise SettingError(f"the key file {path} is damaged: it holds each merchant's generation and imported keys")
        return merchants

    @contextmanager
    def _locked(self) -> Iterator[dict[str, Any]]:
        """The merchants' entries under a lock; what the block changed is written whole when it ends well."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SettingError(f"the key folder {self.folder} cannot be written: {error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            merchants = self._merchants()
            yield merchants
            text = json.dumps(merchants, indent=1, sort_keys=True) + "\n"
            write_whole(self.folder / "merchants.json", lambda file: file.write(text.encode("ascii")))
        finally:
            os.close(lock)

    @staticmethod
    def _generation(merchants: dict[str, Any], merchant: str) -> int:
        return cast(int, merchants.get(merchant, {}).get("generation", 1))

    @staticmethod
    def _octets(text: str) -> bytes:
        try:
            octets = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except ValueError as error:
            raise SettingError("the key is damaged; copy the whole line again") from error
        if len(octets) != 32:
            raise SettingError("the key is damaged: it must hold 32 octets; copy the whole line again")
        return octets


def _is_whole(entry: Any) -> bool:
    """True for a merchant's entry in `merchants.json` as this module writes it."""
    if not isinstance(entry, dict):
        return False
    generation, imported = entry.get("generation", 1), entry.get("imported", [])
    return (
        type(generation) is int
        and 1 <= generation <= MAX_GENERATIONS
        and isinstance(imported, list)
        and all(isinstance(text, str) for text in imported)
    )
