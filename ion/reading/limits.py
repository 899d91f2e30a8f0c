"""What a mail may have at most, whatever it is made of and however deep it stands."""

from dataclasses import dataclass

MAX_PARTS = 500
MAX_DEPTH = 50
MAX_HEADERS = 500
MAX_DECODED_BYTES = 25_000_000


class TooBig(ValueError):
    """The message has more parts, levels, headers or octets than a mail with an order can have."""


@dataclass
class Budget:
    """What is left of the parts and octets that one mail may have, with everything attached to it."""

    parts: int = MAX_PARTS
    octets: int = MAX_DECODED_BYTES

    def spend(self, octets: int, *, parts: int = 1) -> None:
        self.parts -= parts
        self.octets -= octets
        if self.parts < 0 or self.octets < 0:
            raise TooBig(f"more than {MAX_PARTS} parts or {MAX_DECODED_BYTES} octets")


def check_depth(depth: int) -> None:
    """Raises TooBig for a part that stands too deep."""
    if depth > MAX_DEPTH:
        raise TooBig(f"more than {MAX_DEPTH} levels")
