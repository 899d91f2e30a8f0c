"""What reading forwarded mails is worth and costs: `python -m tests.bench.forwarding [comparison|cost|carriers]`.

Prints tables that are also Markdown. `comparison` installs the public tools into a temporary folder, or into the one
that `--tools` names, where they stay; with `--offline` it asks only those that are there.
"""

import argparse
import tempfile
from pathlib import Path

from tests.bench import carriers, comparison, cost, tools


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.forwarding", description=__doc__)
    parser.add_argument("table", nargs="*", metavar="TABLE", help="comparison, cost or carriers; all without one")
    parser.add_argument("--tools", type=Path, help="folder of the public tools, filled where it is empty")
    parser.add_argument("--offline", action="store_true", help="install nothing")
    parser.add_argument("--most", type=int, help="at most so many mails a table or row, to try it")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.table) - {"comparison", "cost", "carriers"}
    if unknown:
        parser.error(f"no such table: {', '.join(sorted(unknown))}")
    for name in chosen.table or ("comparison", "cost", "carriers"):
        if name == "comparison":
            _compare(chosen.tools, install=not chosen.offline, most=chosen.most)
        else:
            {"cost": cost.run, "carriers": carriers.run}[name](_line, most=chosen.most)


def _compare(folder: Path | None, *, install: bool, most: int | None) -> None:
    with tempfile.TemporaryDirectory(prefix="ion-bench-") as scratch:
        place = (folder or Path(scratch)).resolve()
        if install:
            tools.install(place)
        comparison.run(_line, folder=place if install or folder else None, most=most)


def _line(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
