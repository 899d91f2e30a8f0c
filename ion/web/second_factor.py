"""The second factor: codes of six digits that an app shows for half a minute (TOTP, RFC 6238)."""

import base64
import hmac
import re
import time
from hashlib import sha1

import pyotp
import segno

from ion.store import Store

STEP_SECONDS = 30
WINDOW = 1  # steps that the clock of a telephone may be wrong, either way


def secret_of(session_token: str, salt: str) -> str:
    """A new secret (base32), which nothing has to keep until a code has shown that the app has it: the page that shows
    it carries the salt. Only the browser of the session can say what it is, and nobody can choose it."""
    return base64.b32encode(hmac.digest(session_token.encode(), f"totp {salt}".encode(), sha1)).decode()


def step_of(secret: str, code: str) -> int | None:
    """The time step whose code it is; None where it is none of now."""
    digits = re.sub(r"\s", "", code[:100]).encode("utf-8", "replace")
    now, found = int(time.time()) // STEP_SECONDS, None
    totp = pyotp.TOTP(secret)
    for step in range(now - WINDOW, now + WINDOW + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), digits):
            found = step
    return found


def is_good(store: Store, name: str, code: str) -> bool:
    """Whether it is a code of the user's that was not used before; from now on it was."""
    asked = store.second_factor_of(name)
    step = None if asked is None else step_of(asked[0], code)
    return step is not None and store.use_second_factor(name, step)


def address_of(secret: str, name: str) -> str:
    """What an app is told: the `otpauth:` address."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name="ION")


def picture_of(secret: str, name: str) -> str:
    """The address as a QR code: an SVG in a `data:` address, on white, as cameras have it."""
    return segno.make(address_of(secret, name), micro=False, error="m").svg_data_uri(scale=5, border=4, light="#fff")
