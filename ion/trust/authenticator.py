"""From a message and what was read in it to the evidence for each of its notifications that has no seal."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, Self

import structlog

from ion.errors import IonError, SettingError
from ion.trust.examiner import ExaminationFailedError, Examiner

if TYPE_CHECKING:
    from ion.config import Settings
    from ion.store import Store, TrustPolicy
    from ion.trust.checks import Check

log = structlog.get_logger("ion.trust")

MOST_BYTES = 10_000_000
# With growing delays the tries take some four minutes; then the message is decided as it is.
MOST_TRIES = 8
# All of it, the examiner's deadline and one reading more, stays within the lease that a worker takes.
_READ_ALONE_SECONDS = 10.0
_MOST_REASONS = 4


class NotDecidedYetError(IonError):
    """Somebody who has to be asked gives no answer at the moment; the message is to be tried again."""


class Message(Protocol):
    """A message, as it was claimed or kept (`ion.store`). `attempts`: how often it was tried, this time included."""

    @property
    def id(self) -> int: ...
    @property
    def merchant(self) -> str: ...
    @property
    def raw(self) -> bytes: ...
    @property
    def received_at(self) -> datetime: ...
    @property
    def attempts(self) -> int: ...


class Judged(Protocol):
    """One graded notification (`ion.reading.Judged`)."""

    @property
    def grade(self) -> str: ...
    @property
    def notification(self) -> Any: ...
    @property
    def content(self) -> Any: ...


@dataclass(frozen=True)
class Evidence:
    """What was found out about where one notification came from.

    `rule`: the line of the policy, kind and value, that a good signature over this very notification meets; None where
    there is none, and then `why_not` says why. `checks`: every signature that was looked at.
    """

    policy_version: int
    rule: tuple[str, str] | None = None
    why_not: str | None = None
    checks: tuple[Mapping[str, Any], ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """`{"policy", "rule": "dkim platform.example" or None, "why_not", "checks": [...]}`; no octets of the mail."""
        rule = " ".join(self.rule) if self.rule else None
        return {"policy": self.policy_version, "rule": rule, "why_not": self.why_not, "checks": list(self.checks)}


class Authenticator:
    """Gathers evidence, for messages of any merchant. Safe to share between threads, which then take turns.

    `authserv_id`: the name by which our own mail server signs its Authentication-Results, None where none counts. It
    must be set only where every mail comes through that server and it removes such fields from what it receives
    (RFC 8601, 5). `dns_server`, `dns_timeout_seconds`: see `Examiner`.
    """

    def __init__(
        self,
        store: "Store",
        *,
        authserv_id: str | None = None,
        dns_server: str | None = None,
        dns_timeout_seconds: float = 2.0,
    ) -> None:
        self._store = store
        self._authserv_id = authserv_id.lower() if authserv_id else None
        self._examiner = Examiner(dns_server, dns_timeout_seconds)
        self._turn = threading.Lock()

    @classmethod
    def from_settings(cls, store: "Store", settings: "Settings") -> Self:
        """As the settings say."""
        return cls(
            store,
            authserv_id=settings.authserv_id,
            dns_server=settings.dns_server,
            dns_timeout_seconds=settings.dns_timeout_seconds,
        )

    def gather(
        self, message: Message, judged: Sequence[Judged], read: Callable[[bytes], Sequence[Judged]]
    ) -> tuple[Evidence | None, ...]:
        """The evidence for each of `judged`; nothing at all where none of them could use any.

        `read`: reads octets as the message was read, and gives nothing where that comes to no end. Raises
        NotDecidedYetError while the DNS gives no answer, for some minutes; SettingError where the libraries for
        signatures are missing; StoreError.
        """
        if not any(one.grade == "consistent" for one in judged):
            return ()
        policy = self._store.trust_policy(message.merchant)
        if not policy.believes_somebody:
            nothing = Evidence(policy.version, why_not="this merchant's policy believes nobody without a seal")
            return tuple(nothing if one.grade == "consistent" else None for one in judged)
        if len(message.raw) > MOST_BYTES:
            checks: tuple[Check, ...] | str = f"the mail is larger than {MOST_BYTES} octets"
        else:
            checks = self._examined(message, policy)
        if not isinstance(checks, str) and message.attempts < MOST_TRIES and _needs_another_try(checks):
            raise NotDecidedYetError("the key of a signature could not be looked up")
        readings = _read_alone(checks, read) if not isinstance(checks, str) else {}
        return tuple(
            _evidence(one, policy.version, checks, readings) if one.grade == "consistent" else None for one in judged
        )

    def close(self) -> None:
        """End the child process; it is started again when needed."""
        with self._turn:
            self._examiner.close()

    def _examined(self, message: Message, policy: "TrustPolicy") -> "tuple[Check, ...] | str":
        """The checks, or why there are none."""
        try:
            from ion.trust.checks import Rules
        except ImportError as error:
            raise SettingError("a merchant's trust rules need more: pip install 'ion-orders[dkim]'") from error
        rules = Rules(
            dkim=policy.values("dkim"),
            forwarder=policy.values("forwarder"),
            arc=policy.values("arc"),
            recipients=policy.recipients,
            authserv_id=self._authserv_id,
            received_at=message.received_at.timestamp(),
        )
        with self._turn:
            try:
                return self._examiner.examine(message.raw, rules)
            except ExaminationFailedError as error:
                log.warning("signatures not examined", message=message.id, cause=str(error))
                if message.attempts < 2:  # the machine may have been busy; once more, behind the others
                    raise NotDecidedYetError(str(error)) from error
                return str(error)


def _needs_another_try(checks: "Sequence[Check]") -> bool:
    return any(one.result == "undecided" for one in checks) and not any(one.result == "pass" for one in checks)


def _read_alone(
    checks: "Sequence[Check]", read: Callable[[bytes], Sequence[Judged]]
) -> dict[bytes, tuple[Judged, ...]]:
    """What stands in the octets that good signatures cover, read by themselves."""
    readings: dict[bytes, tuple[Judged, ...]] = {}
    until = time.monotonic() + _READ_ALONE_SECONDS
    for one in checks:
        if one.covered is not None and one.covered not in readings and time.monotonic() < until:
            readings[one.covered] = tuple(read(one.covered))
    return readings


def _evidence(
    judged: Judged, version: int, checks: "tuple[Check, ...] | str", readings: Mapping[bytes, Sequence[Judged]]
) -> Evidence:
    if isinstance(checks, str):
        return Evidence(version, why_not=checks)
    told: list[dict[str, Any]] = []
    rule: tuple[str, str] | None = None
    for one in checks:
        result, reason = one.result, one.reason
        if one.covered is not None and not any(_is_same(judged, other) for other in readings.get(one.covered, ())):
            result, reason = "fail", "it does not cover this notification as a whole"
        elif one.covered is not None:
            rule = rule or one.rule
        told.append(
            {
                "place": one.place,
                "method": one.method,
                "rule": " ".join(one.rule) if one.rule else None,
                "domain": one.domain,
                "selector": one.selector,
                "result": result,
                "reason": reason,
            }
        )
    why_not = None if rule else _why_not(told)
    return Evidence(version, rule, why_not, tuple(told))


def _is_same(judged: Judged, other: Judged) -> bool:
    return (
        other.grade == "consistent"
        and other.content is not None
        and judged.content == other.content
        and judged.notification == other.notification
    )


def _why_not(told: Sequence[Mapping[str, Any]]) -> str:
    """Why nothing was believed: what is wrong with each signature that a line of the policy asks for, else with any."""
    nearest = [one for one in told if one["rule"]] or list(told[:1])
    words = {"arc": "ARC seal", "authentication-results": "results"}
    reasons: dict[str, None] = {}
    for one in nearest:
        who = f"{words.get(one['method'], 'signature')} of {one['domain']}: " if one["domain"] else ""
        reasons[f"{who}{one['reason']}"] = None
    return "; ".join(list(reasons)[:_MOST_REASONS]) if reasons else "nothing in it is signed"
