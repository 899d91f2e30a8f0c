"""The installation's key ring: a new secret on the first start, never one in the place of a secret that was lost.

A new secret beside an old database would look well and break everything: what was sent would no longer verify, and
what is sent from then on would verify nowhere.
"""

from typing import TYPE_CHECKING

from ion.config import Settings
from ion.seal import KeyRing

if TYPE_CHECKING:
    from ion.store import Store


def key_ring(settings: Settings, store: "Store | None" = None) -> KeyRing:
    """The keys in the data folder. `store`: the one that is open; without it, it is opened where there is no secret and
    only then, because opening costs more than what most commands do."""
    return KeyRing(settings.keys_dir, is_first_use=lambda: _is_first_use(settings, store))


def _is_first_use(settings: Settings, store: "Store | None") -> bool:
    """True if nothing was sealed or sent by this installation yet, as far as its database knows."""
    if store is not None:
        return not store.has_sealed_or_sent()
    if settings.database_url is None and not settings.sqlite_path.exists():
        return True
    from ion.store import open_store

    opened = open_store(settings.store_url, mail_domain=settings.mail_domain)
    try:
        return not opened.has_sealed_or_sent()
    finally:
        opened.close()
