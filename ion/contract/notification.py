"""The notification: the printed header around an order, sealed together with it."""

from datetime import UTC, datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from ion.order import SomeText, Text

CONTRACT_VERSION = 1
KIND_APPROVED = "order.approved"


class Notification(BaseModel):
    """What a notification says about itself.

    `contract`: version of the contract it was printed by; `kind`: `order.approved`; `merchant`: the sender's name for
    the merchant; `revision`: from 1, raised when the same order is told again with other content; `sequence`: running
    number for this merchant, None where the mail was only rendered and never queued; `issued_at`: aware, UTC, whole
    seconds; `key_id`: the key the seal was made with, None in a mail without a seal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    order_number: SomeText
    kind: SomeText = KIND_APPROVED
    merchant: Text = None
    revision: int | None = Field(default=None, ge=1, le=1_000_000)
    sequence: int | None = Field(default=None, ge=1, le=10**12)
    issued_at: AwareDatetime | None = None
    contract: int = Field(default=CONTRACT_VERSION, ge=1)
    key_id: Text = None

    @field_validator("issued_at")
    @classmethod
    def _whole_seconds_utc(cls, value: datetime | None) -> datetime | None:
        if value is None:
            return None
        try:
            return value.astimezone(UTC).replace(microsecond=0)
        except OverflowError as error:
            raise ValueError("a time outside the years 1 to 9999") from error

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; what is not stated is left out."""
        return self.model_dump(mode="json", exclude_none=True)
