"""Test mails of other projects, out of the archives in which these publish them; none is copied into this project.

An archive is fetched once, by pip or by apt from wherever these fetch, into a cache folder outside the checkout, and is
believed by its SHA-256 alone. Nothing of it is unpacked: its members are read where they are.

    python -m tests.faults.public_mails [FOLDER]     where from and how many; into FOLDER: every mail as a file
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

MOST_BYTES = 5_000_000
# The release whose sources are meant, by whatever release this machine runs.
DEBIAN_SUITE = "bookworm"


class NotFetchedError(Exception):
    """An archive cannot be had here; the text names it and says why."""


@dataclass(frozen=True)
class Archive:
    """`source`: how it is fetched, `package` under which name, `file`: what it is called there; `mails`: patterns of
    the members that are mails, below the archive's one folder."""

    source: str
    package: str
    file: str
    sha256: str
    mails: tuple[str, ...]


ARCHIVES = (
    Archive(
        "pypi", "flufl.bounce==6.0.0", "flufl_bounce-6.0.0.tar.gz",
        "a1df16b9d1877ae4536f7d76c00d8421fcefbe694f80f5285d05c45a2547b1bc",
        ("tests/data/*.txt",),
    ),
    Archive(
        "pypi", "mail-parser==4.8.0", "mail_parser-4.8.0.tar.gz",
        "602e659b159652d378b0f9cce2d682bee692bedae72687786e2b2e52eaeb9afc",
        ("tests/mails/mail_*",),
    ),
    Archive(
        "pypi", "django-mailbox==4.10.1", "django-mailbox-4.10.1.tar.gz",
        "9060a4ddc81d16aa699e266649c12eaf4f29671b5266352e2fad3043a6832b52",
        ("django_mailbox/tests/messages/*.eml",),
    ),
    Archive(
        "pypi", "dkimpy==1.1.8", "dkimpy-1.1.8.tar.gz",
        "b5f60fb47bbf5d8d762f134bcea0c388eba6b498342a682a21f1686545094b77",
        ("dkim/tests/data/*.msg", "dkim/tests/data/*.mbox", "dkim/tests/data/*.message", "dkim/tests/data/*.message.*"),
    ),
    Archive(
        "debian", "libmail-deliverystatus-bounceparser-perl",
        "libmail-deliverystatus-bounceparser-perl_1.543+repacked.orig.tar.xz",
        "01f89040426ab6de77f9f0bcdce61a938ef6a24179efbfdb4f7a1f68c5263282",
        ("t/corpus/*",),
    ),
    Archive(
        "debian", "rspamd", "rspamd_3.4.orig.tar.xz",
        "a7dad761aa6bbc666b7977dfd741b240bf02cff8779e088f17dbfa74d5429f8a",
        ("test/functional/messages/*.eml",),
    ),
    Archive(
        "debian", "notmuch", "notmuch_0.37.orig.tar.xz",
        "0e766df28b78bf4eb8235626ab1f52f04f1e366649325a8ce8d3c908602786f6",
        ("test/corpora/*/*",),
    ),
    Archive(
        "debian", "kf5-messagelib", "kf5-messagelib_22.12.3.orig.tar.xz",
        "55d6be5205fb9c9f1c546d241164fe56e527e26e852f86af740cdc850b3d82a6",
        ("mimetreeparser/autotests/data/*.mbox", "templateparser/autotests/data/*.mbox", "*/dkim-verify/*.mbox"),
    ),
    Archive(
        "debian", "kmime", "kmime_22.12.3.orig.tar.xz",
        "9b3c1f1f664eae671244dd755db03129b0f16abbcd03245a07856a15db28c3d8",
        ("autotests/data/mails/*.mbox", "autotests/data/mails/*.msg"),
    ),
    Archive(
        "debian", "php-horde-mime", "php-horde-mime_2.11.2.orig.tar.gz",
        "51c987ac90d4b2c7098eedea7f8ee4980d4dc31815dd89bdb34a1761f3e5036b",
        ("test/Horde/Mime/fixtures/*.txt",),
    ),
    Archive(
        "debian", "public-inbox", "public-inbox_1.9.0.orig.tar.gz",
        "10d9d3d982bbae9383208f53aa2118482a799a958e9f1b24792b807fc225aaba",
        ("t/*.eml",),
    ),
    Archive(
        "debian", "request-tracker5", "request-tracker5_5.0.3+dfsg.orig.tar.gz",
        "e23aee3cb291ccad5e521aeabe0fcd2f076bcfa8b7f801af498a7505e53d8441",
        ("t/data/emails/*", "t/data/gnupg/emails/*.txt", "t/data/gnupg/emails/*.eml", "t/data/smime/mails/*.eml"),
    ),
)  # fmt: skip


def cache_folder() -> Path:
    """Where fetched archives are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ion-public-mails"


def archived_mails() -> Iterator[tuple[str, str, bytes]]:
    """(package, name in its archive, octets) of each mail, no octets twice. Raises NotFetchedError before the first
    one where any archive cannot be had."""
    found = [(archive, fetched(archive, cache_folder())) for archive in ARCHIVES]
    seen = set()
    for archive, path in found:
        for name, raw in _members(path, archive.mails):
            digest = hashlib.sha256(raw).digest()
            if digest not in seen:
                seen.add(digest)
                yield archive.package.partition("==")[0], name, raw


def fetched(archive: Archive, folder: Path) -> Path:
    """The archive's file, fetched unless it is there already. Raises NotFetchedError."""
    kept = folder / archive.file
    if not (kept.is_file() and _digest(kept) == archive.sha256):
        fetch: Callable[[Archive, Path], None] = _by_pip if archive.source == "pypi" else _by_apt
        with tempfile.TemporaryDirectory(prefix="ion-fetch-") as scratch:
            fetch(archive, Path(scratch))
            came = Path(scratch) / archive.file
            if not came.is_file():
                raise NotFetchedError(f"{archive.package}: there is no {archive.file} any more")
            if (digest := _digest(came)) != archive.sha256:
                raise NotFetchedError(f"{archive.package}: {archive.file} has the SHA-256 {digest}")
            folder.mkdir(parents=True, exist_ok=True)
            whole = folder / f"{archive.file}.{os.getpid()}"
            shutil.copyfile(came, whole)
            whole.replace(kept)
    return kept


def _by_pip(archive: Archive, folder: Path) -> None:
    """pip checks the digest before it asks the archive's own build for its metadata, which it does."""
    name = archive.package.partition("==")[0]
    (folder / "wanted.txt").write_text(f"{archive.package} --hash=sha256:{archive.sha256}\n", "ascii")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", f"--no-binary={name}", "--require-hashes"]
    _run(archive.package, [*command, "-r", "wanted.txt"], folder)


def _by_apt(archive: Archive, folder: Path) -> None:
    _run(archive.package, [*_apt(), "source", "--download-only", "--tar-only", archive.package], folder)


@cache
def _apt() -> tuple[str, ...]:
    """apt with the sources behind the packages that this machine installs from, in lists of its own."""
    lists = cache_folder() / "apt"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    targets = ["indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages", "Origin: Debian"]
    described = _run("Debian", ["apt-get", *targets], lists)
    # Updates and security are places of their own, with another name for the release.
    places = sorted({line.split()[0] for line in described.splitlines() if "-" not in line.split()[1]})
    if not places:
        raise NotFetchedError("Debian: apt knows no Debian archive here")
    sources = cache_folder() / "sources.list"  # in the folder of the lists apt removes what it does not know
    sources.write_text("".join(f"deb-src {place} {DEBIAN_SUITE} main\n" for place in places), "ascii")
    own = (f"Dir::Etc::SourceList={sources}", "Dir::Etc::SourceParts=/dev/null", f"Dir::State::Lists={lists}")
    apt = ("apt-get", "-q", *(part for option in own for part in ("-o", option)))
    _run("Debian", [*apt, "update"], lists)
    return apt


def _run(what: str, command: Sequence[str], folder: Path) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotFetchedError(f"{what}: {error}") from error
    if done.returncode:
        raise NotFetchedError(f"{what}: {command[0]}: {done.stderr.strip()[-500:]}")
    return done.stdout


def _members(path: Path, patterns: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        for member in archive:
            name = member.name.partition("/")[2]
            if member.isfile() and member.size <= MOST_BYTES and any(fnmatch(name, pattern) for pattern in patterns):
                file = archive.extractfile(member)
                assert file is not None
                yield name, file.read()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description="test mails of other projects")
    parser.add_argument("folder", nargs="?", type=Path)
    given = parser.parse_args()
    numbers: Counter[str] = Counter()
    for package, _, raw in archived_mails():
        numbers[package] += 1
        if given.folder:
            given.folder.mkdir(parents=True, exist_ok=True)
            (given.folder / f"{package}-{numbers[package]:03}.eml").write_bytes(raw)
    print(json.dumps({"mails": dict(numbers), "in_all": sum(numbers.values())}, indent=2))


if __name__ == "__main__":
    main()
