"""Who is believed without a seal: each merchant's policy, and the decision on a notification that has none.

A policy has lines of four kinds, all of them a person's word:

    dkim       domain, or From address, of those who send the original mail and sign it (RFC 6376)
    forwarder  domain, or From address, of those who forward it and sign what they send
    arc        domain whose ARC seal (RFC 8617) is believed when it says that the original's signature was good
    recipient  address that originals are sent to, beside the merchant's own: a mail signed for others does not count

A merchant without `dkim` and `forwarder` lines believes nobody without a seal, which is the default.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, get_args

import sqlalchemy as sa
from sqlmodel import col

from ion.errors import IonError
from ion.store import tables
from ion.store.engine import Database, one_row
from ion.store.first_steps import SAMPLE_NUMBER
from ion.store.merchants import lock_merchant, merchant_in
from ion.store.types import NotificationState, utc_now

RuleKind = Literal["dkim", "forwarder", "arc", "recipient"]
RULE_KINDS: tuple[RuleKind, ...] = get_args(RuleKind)
# Anybody can get an address there, and the provider signs whatever its users send.
PUBLIC_PROVIDERS = frozenset(
    """gmail.com googlemail.com outlook.com hotmail.com live.com msn.com yahoo.com ymail.com aol.com icloud.com me.com
    mac.com gmx.com gmx.de gmx.net web.de mail.com proton.me protonmail.com zoho.com yandex.com yandex.ru mail.ru qq.com
    163.com 126.com t-online.de orange.fr free.fr laposte.net libero.it naver.com fastmail.com""".split()
)
_DOMAIN = re.compile(r"(?=.{3,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9][a-z0-9-]{0,61}[a-z0-9]")
_LOCAL_PART = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}")


class TrustRuleError(IonError):
    """A line of a policy that cannot be: the message names the kind, the value and what is wanted."""

    exit_status = 2


@dataclass(frozen=True)
class TrustRule:
    """One line of a policy in force. `value`: a domain or an address, lower-case, in ASCII."""

    kind: RuleKind
    value: str
    added_at: datetime


@dataclass(frozen=True)
class TrustPolicy:
    """A merchant's policy. `version`: how often it was changed, 0 where it never was. `recipients`: the addresses that
    a signed mail may be sent to, lower-case: the merchant's own, those its notifications go to, and its `recipient`
    lines."""

    merchant: str
    version: int
    rules: tuple[TrustRule, ...]
    recipients: tuple[str, ...]

    def values(self, kind: RuleKind) -> tuple[str, ...]:
        """The values of one kind, in the order they were added."""
        return tuple(rule.value for rule in self.rules if rule.kind == kind)

    @property
    def believes_somebody(self) -> bool:
        """Whether any line could lift a mail without a seal."""
        return any(rule.kind in ("dkim", "forwarder") for rule in self.rules)


class Evidence(Protocol):
    """What was found out about where one notification came from (`ion.trust.Evidence`)."""

    @property
    def rule(self) -> tuple[str, str] | None: ...
    @property
    def why_not(self) -> str | None: ...
    def to_json(self) -> Mapping[str, Any]: ...


class Trust(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def trust_policy(self, merchant: str) -> TrustPolicy:
        """The policy in force. Raises UnknownMerchantError."""
        with self.reading() as connection:
            return _policy(connection, merchant)

    def add_trust_rule(self, merchant: str, kind: str, value: str) -> TrustPolicy:
        """Add a line, unless it is there. Raises UnknownMerchantError, TrustRuleError."""
        known, normal = _checked(kind, value)
        with self.writing() as connection:
            lock_merchant(connection, merchant)
            if not is_in_force(connection, merchant, known, normal):
                row = {"merchant": merchant, "kind": known, "value": normal, "added_at": utc_now()}
                connection.execute(sa.insert(tables.TrustRule), row)
            return _policy(connection, merchant)

    def remove_trust_rule(self, merchant: str, kind: str, value: str) -> TrustPolicy:
        """Remove a line. Raises UnknownMerchantError, TrustRuleError where it is not there."""
        known, normal = _checked(kind, value, removing=True)
        with self.writing() as connection:
            lock_merchant(connection, merchant)
            removed = connection.execute(
                sa.update(tables.TrustRule).where(*_in_force(merchant, known, normal)).values(removed_at=utc_now())
            )
            one_row(removed, TrustRuleError(f"the policy of {merchant} has no line {known} {normal}"))
            return _policy(connection, merchant)


def is_in_force(connection: sa.Connection, merchant: str, kind: str, value: str) -> bool:
    """Whether the merchant's policy has this line now."""
    query = sa.select(col(tables.TrustRule.id)).where(*_in_force(merchant, kind, value))
    return connection.execute(query).first() is not None


def doubt(connection: sa.Connection, merchant: str, evidence: Evidence | None) -> tuple[NotificationState, str] | None:
    """Why a notification without a seal, which adds up, waits for a person; None where it is believed.

    The caller holds the merchant's lock. Where this merchant's mail has ever been sealed, a mail without a seal may be
    one that lost it on purpose, and no line of the policy is enough.
    """
    sealed = sa.select(col(tables.Notification.id)).where(
        col(tables.Notification.merchant) == merchant,
        col(tables.Notification.grade) == "sealed",
        # A sample tells nothing of how this merchant's platform sends.
        ~col(tables.Notification.order_number).startswith(SAMPLE_NUMBER, autoescape=True),
    )
    if connection.execute(sealed.limit(1)).first() is not None:
        return NotificationState.REVIEW, "no seal, but this merchant's mail has been sealed before"
    if evidence is None:
        return NotificationState.HELD, "no seal"
    if evidence.rule is None:
        return NotificationState.HELD, f"no seal; {evidence.why_not}" if evidence.why_not else "no seal"
    # The policy may have been changed since the mail was examined.
    if not is_in_force(connection, merchant, *evidence.rule):
        return NotificationState.HELD, f"no seal; {' '.join(evidence.rule)} is no longer in the policy"
    return None


def _policy(connection: sa.Connection, merchant: str) -> TrustPolicy:
    known = merchant_in(connection, merchant)
    table = tables.TrustRule
    rows: Any = connection.execute(
        sa.select(col(table.kind), col(table.value), col(table.added_at), col(table.removed_at))
        .where(col(table.merchant) == merchant)
        .order_by(col(table.id))
    ).all()
    rules = tuple(TrustRule(row.kind, row.value, row.added_at) for row in rows if row.removed_at is None)
    own = [address.lower() for address in (*known.addresses, *known.mail_to)]
    recipients = dict.fromkeys([*own, *(rule.value for rule in rules if rule.kind == "recipient")])
    changes = len(rows) + sum(1 for row in rows if row.removed_at is not None)
    return TrustPolicy(merchant, changes, rules, tuple(recipients))


def _in_force(merchant: str, kind: str, value: str) -> tuple[sa.ColumnElement[bool], ...]:
    table = tables.TrustRule
    return (
        col(table.merchant) == merchant,
        col(table.kind) == kind,
        col(table.value) == value,
        col(table.removed_at).is_(None),
    )


def _checked(kind: str, value: str, *, removing: bool = False) -> tuple[RuleKind, str]:
    """The kind and the value as they are kept. Raises TrustRuleError."""
    if kind not in RULE_KINDS:
        raise TrustRuleError(f"a policy has no lines of kind {kind!r}; there are {', '.join(RULE_KINDS)}")
    local, at, domain = value.strip().lower().rpartition("@")
    try:
        domain = domain.encode("idna").decode("ascii")
    except UnicodeError:
        domain = ""
    if not _DOMAIN.fullmatch(domain) or (at and not _LOCAL_PART.fullmatch(local)):
        raise TrustRuleError(f"{kind} {value!r}: give a domain like shop.example or an address like a@shop.example")
    if kind == "recipient" and not at:
        raise TrustRuleError(f"recipient {value!r}: give the whole address that originals are sent to")
    if kind == "arc" and at:
        raise TrustRuleError(f"arc {value!r}: give the domain that seals (d= of its ARC-Seal), not an address")
    if kind in ("dkim", "forwarder") and not at and domain in PUBLIC_PROVIDERS and not removing:
        raise TrustRuleError(f"{kind} {value!r}: anybody can send mail from there; give one person's whole address")
    return kind, f"{local}{at}{domain}"
