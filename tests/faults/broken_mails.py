"""Broken mails through the file door of the real program: crash, hang and unhandled must be none.

The mails: test mails of other projects (`public_mails`, fetched); those of the standard library, where this Python has
them; those in `corpus/mail-ruby` (MIT, the licence beside them); every file below the folders named; and damaged
samples, so that there are at least `--mails` in all.

    python -m tests.faults.broken_mails [FOLDER...] --mails 5000 --seed 3 [--without-fetched]
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ion.store import open_store
from tests.faults.inputs import CORPUS, MOST_SECONDS, SAMPLES, genuine_orders, mutations
from tests.faults.public_mails import archived_mails
from tests.programs import Ion

MUST_BE_ZERO = (
    "crashed", "hung", "unhandled", "failures", "not_read_to_an_end", "orders_of_no_sample", "orders_of_public_mails",
    "check_problems",
)  # fmt: skip


def library_mails() -> Path | None:
    """The folder of the standard library's own test mails; None where this Python comes without its tests."""
    try:
        found = find_spec("test.test_email")
    except ModuleNotFoundError:
        return None
    return Path(found.origin).with_name("data") if found and found.origin else None


def public_mails(folders: Sequence[Path] = (), *, fetch: bool = False) -> Iterator[tuple[str, bytes]]:
    """(where from, octets) of each; with `fetch` those of other projects too. Raises NotFetchedError."""
    library = library_mails()
    for origin, folder in (
        *((("standard-library", library),) if library else ()),
        ("mail-ruby", CORPUS / "mail-ruby"),
        *((folder.name, folder) for folder in folders),
    ):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != "LICENSE":
                yield origin, path.read_bytes()
    if fetch:
        for package, _, raw in archived_mails():
            yield package, raw


def read_all(
    folder: Path, folders: Sequence[Path] = (), *, mails: int = 600, seed: int = 3, fetch: bool = True
) -> dict[str, Any]:
    """The figures. `mails`: how many in all at least; damaged samples make up for what is missing; `fetch`: with the
    mails of other projects.

    The worker sets a message aside where reading it takes too long, kills the reading process or raises.
    """
    given = list(public_mails(folders, fetch=fetch))
    public = len(given)
    damaged = mutations(seed)
    given += [("damaged-samples", next(damaged)) for _ in range(mails - len(given))]
    paths = []
    for number, (origin, raw) in enumerate(given):
        paths.append(folder / f"{number:05}-{origin}.eml")
        paths[-1].write_bytes(raw)
    ion = Ion(folder / "data", ION_READ_TIMEOUT_SECONDS=f"{MOST_SECONDS:g}", ION_LOG_LEVEL="info")
    ion.run("merchant", "key", "import", "default", SAMPLES / "merchant.ionkey")
    lines, events = [], []
    for at in range(0, len(paths), 100):  # within the time that `Ion` gives one command
        lines += ion.lines("ingest", *paths[at : at + 100])
        events += [json.loads(line) for line in ion.messages.splitlines() if line.startswith("{")]
    # Once is enough to count, though the second run may come to an end.
    failures = [event["cause"] for event in events if event["event"] == "message failed, tried once more"]
    states = Counter(line.get("state", "refused") for line in lines)
    grades = Counter(found["grade"] for line in lines for found in line.get("notifications", ()))
    proved_by = {Path(line["file"]).stem[6:] for line in lines for found in line.get("notifications", ())
                 if found["grade"] == "sealed"}  # fmt: skip
    store = open_store(f"sqlite:///{ion.data_dir / 'ion.db'}")
    try:
        orders = {json.dumps(known.order.to_json(), sort_keys=True) for known in store.orders_for_export()}
    finally:
        store.close()
    return {
        "mails": dict(Counter(origin for origin, _ in given)),
        "public_mails": public,
        "longest_seconds": max(event.get("milliseconds", 0) for event in events) / 1000,
        "states": dict(states),
        "grades": dict(grades),
        "crashed": sum("died" in cause or "no answer" in cause for cause in failures),
        "hung": sum("took" in cause for cause in failures),
        "unhandled": sum("raised" in cause for cause in failures),
        "failures": failures,
        "not_read_to_an_end": len(given) - states["read"] - states["ignored"] - states["quarantined"],
        "orders_of_no_sample": len(orders - genuine_orders()),
        "orders_of_public_mails": len(proved_by - {"damaged-samples"}),
        "check_problems": ion.lines("check")[0]["problems"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="broken mails")
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--mails", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--without-fetched", action="store_true", help="without mails that must be fetched first")
    given = parser.parse_args()
    fetch = not given.without_fetched
    with tempfile.TemporaryDirectory(prefix="ion-broken-mails-") as folder:
        figures = read_all(Path(folder), given.folders, mails=given.mails, seed=given.seed, fetch=fetch)
    print(json.dumps(figures, indent=2))
    sys.exit(any(figures[name] for name in MUST_BE_ZERO))


if __name__ == "__main__":
    main()
