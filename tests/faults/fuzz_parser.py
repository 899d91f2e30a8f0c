"""Fuzzing of the parser: mails made of sealed samples are never accepted as an order that no sample tells of.

python -m tests.faults.fuzz_parser --seconds 600
"""

from tests.faults.fuzzing import fuzz
from tests.faults.inputs import check_never_another_order


def target(raw: bytes) -> None:
    """See `check_never_another_order`."""
    check_never_another_order(raw)


if __name__ == "__main__":
    fuzz("parser", target)
