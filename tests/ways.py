"""Ways of forwarding for tests that need a few different ones: by name, each from octets to octets."""

from collections.abc import Callable
from functools import partial

from ion.demo.forwarding import through

WAYS: dict[str, Callable[[bytes], bytes]] = {
    name: partial(through, names=chain)
    for name, chain in {
        "direct": (),
        "as attachment": ("attached-thunderbird",),
        "inline, webmail": ("gmail",),
        "inline, text only": ("quoted",),
        "inline, Word": ("outlook",),
        "forwarded twice": ("quoted", "quoted"),
    }.items()
}
