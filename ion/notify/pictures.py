"""Pictures of HTML mail, made by a Chromium of this machine that reaches no network and runs no script of a mail."""

import html
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ion.errors import IonError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_TIMEOUT_SECONDS = 120
_MOST_HEIGHT = 16_000  # pixels; larger ones are cut, few programs open them
# The page around a mail: the mail has a frame of its own, because no window of Chromium is narrower than 500 pixels.
_PAGE = """<!doctype html>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:{more}">
<style>body {{ margin: 0 }} iframe {{ display: block; border: 0 }}</style>
"""
_FRAME = '<iframe sandbox="allow-same-origin" style="width:{width}px;height:{height}px" srcdoc="{mail}"></iframe>\n'
_MEASURE = """<p id="sizes"></p>
<script>
onload = () => {
  const sizes = Array.from(document.querySelectorAll("iframe"), (frame) => {
    const page = frame.contentDocument.documentElement;
    return [page.scrollWidth, Math.max(page.scrollHeight, frame.contentDocument.body.scrollHeight)].join("x");
  });
  document.getElementById("sizes").textContent = sizes.join(" ");
};
</script>
"""


@dataclass(frozen=True)
class Size:
    """What a page takes, in CSS pixels. A `width` above that of its window is scrolled to sideways."""

    width: int
    height: int


class Chromium:
    """A Chromium to look at mails with. Raises IonError where it does not do as it is asked."""

    def __init__(self, program: str) -> None:
        self._program = program

    @classmethod
    def find(cls) -> "Chromium | None":
        """The first that is on the PATH; None where there is none."""
        found = next(filter(None, map(shutil.which, PROGRAMS)), None)
        return cls(found) if found else None

    def sizes(self, mails: Sequence[tuple[str, int]]) -> list[Size]:
        """The size of each HTML mail in a window so many pixels wide."""
        # A page is never lower than its window.
        frames = "".join(_FRAME.format(width=width, height=1, mail=html.escape(mail)) for mail, width in mails)
        page = _PAGE.format(more="; script-src 'unsafe-inline'") + frames + _MEASURE
        told = self._run(page, "--dump-dom").decode("utf-8", "replace")
        sizes = re.findall(r"(\d+)x(\d+)", (re.search(r'<p id="sizes">([^<]*)', told) or ["", ""])[1])
        if len(sizes) != len(mails):
            raise IonError(f"{self._program} could not measure the mails")
        return [Size(int(wide), int(high)) for wide, high in sizes]

    def picture(self, mail: str, path: Path, *, width: int, height: int, dark: bool) -> None:
        """Write a PNG of an HTML mail as it is shown where everything is `dark`, or where it is light."""
        height = min(height, _MOST_HEIGHT)
        page = _PAGE.format(more="") + _FRAME.format(width=width, height=height, mail=html.escape(mail))
        path.unlink(missing_ok=True)
        self._run(
            page,
            f"--screenshot={path.resolve()}",
            f"--window-size={width},{height}",
            # What makes `prefers-color-scheme` dark (0) or light (1), whatever this machine's own is.
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        )
        if not path.is_file():
            raise IonError(f"{self._program} did not write {path}")

    def _run(self, page: str, *flags: str) -> bytes:
        with tempfile.TemporaryDirectory(prefix="ion-pictures-", ignore_cleanup_errors=True) as folder:
            source = Path(folder) / "page.html"
            source.write_text(page, "utf-8")
            command = [
                self._program,
                "--headless=new",
                # Its sandbox needs a user other than root.
                *(["--no-sandbox"] if os.geteuid() == 0 else []),
                f"--user-data-dir={folder}/profile",
                # No name is found, and what needs none goes to a proxy that nobody is.
                "--host-resolver-rules=MAP * ~NOTFOUND",
                "--proxy-server=127.0.0.1:9",
                "--proxy-bypass-list=<-loopback>",
                "--disable-background-networking",
                "--no-first-run",
                "--hide-scrollbars",
                "--disable-gpu",
                *flags,
                source.as_uri(),
            ]
            try:
                done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_SECONDS, check=False)  # noqa: S603
            except (OSError, subprocess.TimeoutExpired) as error:
                raise IonError(f"{self._program} does not run: {error}") from error
        if done.returncode:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it does not say why"]
            raise IonError(f"{self._program} ended with {done.returncode}: {last[0]}")
        return done.stdout
