"""Backup and restore: a whole installation as one file, and back.

What cannot be had again from anywhere is the database and the keys. The files of the nights are in the database; the
settings are yours.

archive    the file: a tar with a manifest, written plainly and read with suspicion
taking     a backup of an installation that may be running
restoring  an installation from a backup, in place of none or of one that is set aside
staging    folders in which either is made, so that nothing half done is ever seen
"""

from ion.backup.archive import BackupError, Manifest, verify_archive
from ion.backup.restoring import Restored, restore
from ion.backup.taking import Taken, back_up

__all__ = ["BackupError", "Manifest", "Restored", "Taken", "back_up", "restore", "verify_archive"]
