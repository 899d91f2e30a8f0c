"""The mail that tells staff what a person has to know: every alert of the moment in one mail, newest causes and ends.

What an alert is stands in the reader's language; numbers, names and times are put in as they are. It is no
notification and holds no label with a colon, so that nothing in it is ever read as an order.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from ion.contract import Language
from ion.notify import mime
from ion.notify.render import Envelope, mail_address, mail_header
from ion.notify.templates import ALERT_HTML_NAME, ALERT_TEXT_NAME, Templates

MOST_SHOWN = 50
"""So many alerts are written out; of the others the number is told."""


@dataclass(frozen=True)
class ToldAlert:
    """An alert as it is told. `kind`: one of the phrases of the catalogue; `text`: numbers and names; `over_at`: None
    where it lasts."""

    merchant: str
    kind: str
    text: str
    since: datetime
    over_at: datetime | None


@dataclass(frozen=True)
class AlertMail:
    """A finished mail. `raw`: its octets, CRLF lines; `message_id` with angle brackets."""

    raw: bytes
    message_id: str


def title_of(kind: str, language: Language) -> str:
    """What an alert of this kind says, whoever raised it."""
    return language.alerts.get(kind.replace("-", "_"), language.alerts["other"])


def compose_alerts(
    alerts: Sequence[ToldAlert],
    envelope: Envelope,
    language: Language,
    templates: Templates,
    zone: tzinfo,
    issued_at: datetime,
) -> AlertMail:
    """The mail of these alerts, those that last first. `issued_at`: aware. Raises SettingError for an address that is
    none, RenderError."""
    ordered = sorted(alerts, key=lambda alert: alert.over_at is not None)
    words = language.alerts
    shown = [
        {
            "merchant": alert.merchant,
            "title": title_of(alert.kind, language),
            "text": _one_line(alert.text),
            "is_over": alert.over_at is not None,
            "since": words["over"].format(time=_time(alert.over_at, zone))
            if alert.over_at
            else words["since"].format(time=_time(alert.since, zone)),
        }
        for alert in ordered[:MOST_SHOWN]
    ]
    context = {
        "language": language,
        "words": words,
        "alerts": shown,
        "more": len(ordered) - len(shown),
        "help": words["help"].format(command="ion alerts"),
    }
    more = f" (+{len(ordered) - 1})" if len(ordered) > 1 else ""
    sender = mail_address(envelope.sender)
    token = secrets.token_hex(16)
    message_id = f"<ion.{token}@{sender.domain or 'localhost'}>"
    parts = [
        mime.text_part("plain", templates.text(context, ALERT_TEXT_NAME)),
        mime.text_part("html", templates.html(context, ALERT_HTML_NAME)),
    ]
    subject = f"{words['subject']} · {shown[0]['title']}{more}"
    header = mail_header(subject, envelope, message_id, issued_at, language)
    return AlertMail(header + mime.multipart("alternative", parts, f"=_ion.{token}"), message_id)


def _time(instant: datetime, zone: tzinfo) -> str:
    return f"{instant.astimezone(zone):%Y-%m-%d %H:%M} {zone}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
