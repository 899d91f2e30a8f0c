"""Running a target for a time: guided by coverage with atheris where it is installed, else by seeded mutation alone.

A target takes octets and raises where something does not hold. The input that made it raise is written to
`tests/faults/corpus/<name>-<digest>`, where a usual test runs it from then on.
"""

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from pathlib import Path

from tests.faults.inputs import CORPUS, kept_inputs, mutations, samples

Target = Callable[[bytes], None]
LONGEST_INPUT_BYTES = 65_536


def fuzz(name: str, target: Target) -> None:
    """The command line of a target: `--seconds`, `--seed`, `--plain` for no atheris. Ends the program."""
    parser = argparse.ArgumentParser(description=f"fuzz {name}")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="seeded mutation, without atheris")
    given = parser.parse_args()
    if given.plain or find_spec("atheris") is None:
        print(f"{run(name, target, seconds=given.seconds, seed=given.seed)} inputs, seeded mutation, none failed")
    else:
        _guided(name, given.seconds, given.seed)


def run(name: str, target: Target, *, seconds: float | None = None, inputs: int | None = None, seed: int = 1) -> int:
    """Give `target` damaged samples for `seconds`, or so many `inputs`; how many it had. What it raises leaves here,
    and the input is kept."""
    until = None if seconds is None else time.monotonic() + seconds
    for number, raw in zip(count(), mutations(seed), strict=False):
        if number == inputs or (until is not None and time.monotonic() > until):
            return number
        _keep_if_it_fails(name, target, raw)
    raise AssertionError("mutations have no end")


def _keep_if_it_fails(name: str, target: Target, raw: bytes) -> None:
    try:
        target(raw)
    except Exception:
        path = CORPUS / f"{name}-{hashlib.sha256(raw).hexdigest()[:12]}"
        path.write_bytes(raw)
        print(f"kept as {path}", file=sys.stderr)
        raise


def _guided(name: str, seconds: int, seed: int) -> None:
    import atheris

    # Only what is imported within the block reports its coverage, so the program is imported a second time.
    for module in [module for module in sys.modules if module.partition(".")[0] in ("ion", "tests")]:
        del sys.modules[module]
    with atheris.instrument_imports(include=["ion"]):
        target: Target = import_module(f"tests.faults.fuzz_{name}").target

    def one(raw: bytes) -> None:
        _keep_if_it_fails(name, target, raw)

    with tempfile.TemporaryDirectory(prefix="ion-fuzz-") as folder:
        for number, raw in enumerate(_seeds(name)):
            (Path(folder) / str(number)).write_bytes(raw)
        options = [f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT_BYTES}", f"-seed={seed}", "-timeout=10"]
        atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", folder], one)
        atheris.Fuzz()


def _seeds(name: str) -> Sequence[bytes]:
    return [*samples(), *(path.read_bytes() for path in kept_inputs(name))]
