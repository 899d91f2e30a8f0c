"""Files opened by LibreOffice without a screen, in a locale, recalculated and saved again to be looked at."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import openpyxl

from tests.programs import program

_SETTINGS = (
    '<?xml version="1.0" encoding="UTF-8"?><oor:items xmlns:oor="http://openoffice.org/2001/registry">'
    '<item oor:path="/org.openoffice.Setup/L10N"><prop oor:name="ooSetupSystemLocale" oor:op="fuse">'
    "<value>{locale}</value></prop></item>"
    '<item oor:path="/org.openoffice.Office.Calc/Formula/Load"><prop oor:name="OOXMLRecalcMode" oor:op="fuse">'
    "<value>0</value></prop></item></oor:items>"
)


def opened(
    files: Sequence[Path], folder: Path, locale: str, *, delimiter: str | None = None
) -> dict[str, openpyxl.Workbook]:
    """Stem of each file → the book that the program makes of it. `locale`: of the program, as `de`; `delimiter`: what
    the cells of a CSV are separated by, None for a file that is a spreadsheet. `folder` is empty or was used before."""
    soffice = program("soffice")
    settings = folder / f"profile-{locale}" / "user"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "registrymodifications.xcu").write_text(_SETTINGS.format(locale=locale))
    out = folder / f"opened-{locale}"
    # 34: quote, 76: UTF-8, from the first row on; what is not said is what the program does by itself.
    reading = [f"--infilter=CSV:{ord(delimiter)},34,76,1"] if delimiter else []
    alone = ["--headless", f"-env:UserInstallation={settings.parent.as_uri()}"]
    done = subprocess.run(
        [soffice, *alone, *reading, "--convert-to", "xlsx", "--outdir", out, *files],
        check=False,
        capture_output=True,
        timeout=300,
    )
    books = {}
    for file in files:
        made = out / f"{file.stem}.xlsx"
        assert made.exists(), done.stderr
        books[file.stem] = openpyxl.load_workbook(made)
    return books
