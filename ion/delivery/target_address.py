"""The address of a delivery target, checked before it is kept."""

from pathlib import Path

from ion.config import Settings
from ion.delivery.sftp_address import server_of, sftp_address
from ion.errors import SettingError
from ion.notify.render import mail_address


def checked_address(kind: str, address: str, settings: Settings) -> str:
    """The address as it is kept. `kind`: folder, mail or sftp; `address`: of a folder "" for the installation's own.
    Raises SettingError for one that cannot be delivered to."""
    if kind == "mail":
        return mail_address(address).addr_spec
    if kind == "sftp":
        checked = sftp_address(address)
        server_of(settings, checked)
        return str(checked)
    return _checked_folder(address, settings)


def _checked_folder(address: str, settings: Settings) -> str:
    if not address:
        return ""
    path = Path(address)
    try:
        is_folder = path.is_absolute() and path.is_dir()
    except (OSError, ValueError):  # too long, or no path at all
        is_folder = False
    if not is_folder:
        raise SettingError(f"{address} is no folder; give the absolute path of one that is there")
    resolved, own = path.resolve(), settings.exports.resolve()
    if resolved == own or own in resolved.parents:
        raise SettingError(f"{address} is in the installation's own export folder; leave the address out to use that")
    return str(resolved)
