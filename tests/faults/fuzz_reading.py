"""Fuzzing of the MIME reader: `ion.reading.unwrap` and what it finds, without a key.

python -m tests.faults.fuzz_reading --seconds 600
"""

from ion.reading.limits import TooBig
from ion.reading.mime import Unparsable
from ion.reading.unwrap import bodies
from tests.faults.fuzzing import fuzz
from tests.faults.inputs import read_in_time


def target(raw: bytes) -> None:
    """Reading ends in time and raises nothing; finding the bodies raises nothing but what it says."""
    try:
        for body in bodies(raw):
            body.text.encode("utf-8", "surrogatepass")
    except (TooBig, Unparsable, RecursionError):
        pass  # `read_message` makes a problem of these
    assert all(judged.grade != "sealed" for judged in read_in_time(raw, keys=()))


if __name__ == "__main__":
    fuzz("reading", target)
