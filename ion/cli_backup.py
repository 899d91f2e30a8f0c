"""`ion backup` and `ion restore`: an installation as one file, and back."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ion.console import end, print_json, settings_of

if TYPE_CHECKING:
    from ion.backup import Manifest


def backup(
    context: typer.Context,
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET",
            show_default=False,
            help="File to write, compressed where it ends in .gz; in a folder, one with the time in its name.",
        ),
    ],
    replace: Annotated[bool, typer.Option("--replace", help="A file of that name may be there; replace it.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Write nothing: read the backup TARGET whole and say whether it is good.")
    ] = False,
) -> None:
    """Write the database and the keys to one file, while the program runs: whole, or not at all. Settings are not in
    it. It holds the secret and customers' data: keep it as such."""
    from ion.backup import back_up, verify_archive

    settings = settings_of(context)
    with _Progress() as progress:
        if verify:
            manifest = verify_archive(target, progress=progress)
            print_json({"file": str(target), **_told(manifest)})
            return
        taken = back_up(settings, target, replace=replace, progress=progress)
    print_json({"file": str(taken.path), "size_bytes": taken.size_bytes, **_told(taken.manifest)})
    if taken.manifest.database != "sqlite":
        typer.echo("the database is on PostgreSQL and not in it: run `pg_dump` before this command", err=True)
    if taken.left_out:
        typer.echo(f"not of this program, so left out of it: {', '.join(taken.left_out)}", err=True)


def restore(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="SOURCE", show_default=False, help="A file of `ion backup`.")],
    set_aside: Annotated[
        bool, typer.Option("--set-aside", help="Keep the data folder that is there under another name.")
    ] = False,
) -> None:
    """Put a backup in place of the data folder, and check that everything adds up. What is there is never overwritten;
    stop the program first."""
    from ion.backup import restore as put_in_place

    with _Progress() as progress:
        restored = put_in_place(settings_of(context), source, set_aside=set_aside, progress=progress)
    problems = restored.check["problems"] if restored.check else []
    print_json(
        {
            "data_dir": str(restored.data_dir),
            "set_aside": str(restored.set_aside) if restored.set_aside else None,
            **_told(restored.manifest),
            "problems": problems,
        }
    )
    if restored.check is None:
        typer.echo("the keys are restored; restore the database with `pg_restore`, then run `ion check`", err=True)
    end(bool(problems))


def _told(manifest: "Manifest") -> dict[str, Any]:
    return {
        "taken_at": manifest.taken_at,
        "program": manifest.program,
        "database": manifest.database,
        "schema": manifest.schema,
        "messages": manifest.messages,
        "orders": manifest.orders,
        "files": len(manifest.members),
    }


class _Progress:
    """What is done and how far it is, in one line on stderr, where a person watches and it takes its time."""

    def __init__(self) -> None:
        self._watched = sys.stderr.isatty()
        self._due_at = time.monotonic() + 1
        self._shown = False

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def __call__(self, what: str, done: int, of: int) -> None:
        if not self._watched or time.monotonic() < self._due_at:
            return
        self._due_at = time.monotonic() + 0.2
        self._shown = True
        sys.stderr.write(f"\r\x1b[K{what}" + (f" {done * 100 // of} %" if of else ""))
        sys.stderr.flush()
