"""The nightly job of a merchant: fetch, read what came, publish what is due in each profile, hand the files on.

    fetch     a round of each of the merchant's IMAP accounts; an account that fails is told and stops nothing
    read      until no mail of the merchant waits, some minutes at most; what comes later is in the next night
    publish   for each profile the orders that are due, in files of at most `BATCH_ORDERS`
    report    by mail where files go by mail, also that there is nothing new
    deliver   the files to where the merchant wants them, as far as it goes at once; the rest is tried again later

Each file is published in one transaction with the orders that it takes off what is due (`ion.store.batches`), so a run
that is cut off at any point and done again publishes what is left, and nothing twice.
"""

import io
import time as clock
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from pathlib import PurePath
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from ion.catalogues import Catalogues
from ion.config import Settings, local_time, zone_name
from ion.delivery.mail import unentered_in
from ion.errors import IonError, ProfileError, SettingError, UnknownProfileError
from ion.export import (
    CatalogueItem,
    ExportSummary,
    Profile,
    custom_profile,
    export_orders,
    file_name,
    profile_named,
)
from ion.notify.report import report_mail
from ion.schedule import DailyJob, Run, cause_of
from ion.store import (
    Batch,
    ExportOrder,
    ExportProfile,
    Merchant,
    OrdersChangedError,
    OutgoingKind,
    Store,
    WrittenFile,
)

log = structlog.get_logger("ion.nightly")

JOB = "nightly"
SELF_CHECK = "self-check"
SELF_CHECK_TIME = time(5, 0)
BATCH_ORDERS = 2_000
# How often a file is written again because its orders changed meanwhile; then the run fails, and is tried again later.
WRITINGS = 5
READ_SECONDS = 300.0
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Steps:
    """What a night does beside publishing, each for one merchant. `fetch` gives a sentence for each account that
    failed; `read` has waiting mail read, where nobody else does; `deliver` hands on what can be delivered."""

    fetch: Callable[[str], Sequence[str]] = field(default=lambda _: ())
    read: Callable[[], None] = field(default=lambda: None)
    deliver: Callable[[], None] = field(default=lambda: None)


@dataclass(frozen=True)
class Published:
    """What became of one profile: the files, how many orders stay out by reason, and the orders (their ids) that could
    not be written, each with the reason. `error`: why nothing can be written in it now; its orders stay due."""

    profile: str
    batches: tuple[Batch, ...]
    left_out: Mapping[str, int]
    unwritten: Mapping[int, str]
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in the run's detail."""
        told: dict[str, Any] = {"profile": self.profile, "orders": sum(one.order_count for one in self.batches)}
        told["files"] = [
            {"batch": one.id, "name": one.file_name, "orders": one.order_count, "rows": one.row_count}
            for one in self.batches
        ]
        told["left_out"] = dict(self.left_out)
        for name in ("notes", "unknown_skus"):
            if said := [one for batch in self.batches for one in batch.summary[name]]:
                told[name] = sorted(set(said))
        if self.unwritten:
            told["unwritten"] = {str(order_id): reason for order_id, reason in self.unwritten.items()}
        if self.error is not None:
            told["error"] = self.error
        return told


@dataclass(frozen=True)
class Due:
    """What would be published in a profile now: so many orders; how many stay out, by reason."""

    profile: str
    orders: int
    left_out: Mapping[str, int]


def nightly_jobs(store: Store, settings: Settings, steps: Steps) -> list[DailyJob]:
    """The nightly job of each merchant, at its own time in its own zone. Raises StoreError."""
    jobs = []
    for name, time_zone, export_time, created_at in store.merchant_times():
        try:
            at, zone = _time(name, export_time, settings), _zone(name, time_zone, settings)
        except SettingError:
            # The night is run all the same, to fail with the reason: it is told then, and holds up no other merchant.
            at, zone = time.fromisoformat(settings.export_time), settings.zone
        jobs.append(DailyJob(JOB, name, at, zone, created_at, lambda run: night(store, settings, steps, run)))
    return jobs


def self_check_job(store: Store, settings: Settings) -> DailyJob:
    """The daily look whether the books agree. What does not is in the log and in the run, which then has failed."""

    def check(_: Run) -> dict[str, Any]:
        problems = store.check()["problems"]
        if problems:
            raise IonError(f"`ion check` finds {len(problems)} disagreements; the first: {problems[0]}")
        return {}

    return DailyJob(SELF_CHECK, "", SELF_CHECK_TIME, settings.zone, store.merchant("default").created_at, check)


def zone_of(merchant: Merchant, settings: Settings) -> ZoneInfo:
    """The zone of a merchant's business dates. Raises SettingError."""
    return _zone(merchant.name, merchant.time_zone, settings)


def _zone(merchant: str, value: str | None, settings: Settings) -> ZoneInfo:
    try:
        return ZoneInfo(zone_name(value)) if value else settings.zone
    except ValueError as error:
        raise SettingError(
            f"time_zone of merchant {merchant} is {value!r}; {error}, with `ion merchant set`"
        ) from error


def _time(merchant: str, value: str | None, settings: Settings) -> time:
    try:
        return time.fromisoformat(local_time(value or settings.export_time))
    except ValueError as error:
        raise SettingError(
            f"export_time of merchant {merchant} is {value!r}; {error}, with `ion merchant set`"
        ) from error


def night(store: Store, settings: Settings, steps: Steps, run: Run) -> dict[str, Any]:
    """One night of a merchant; what it did, as JSON values. Raises StoreError, ClaimLostError, and SettingError where
    the merchant's time or zone is none."""
    merchant = store.merchant(run.merchant)
    _time(merchant.name, merchant.export_time, settings)
    zone_of(merchant, settings)
    detail: dict[str, Any] = {}
    if failed := list(steps.fetch(run.merchant)):
        detail["fetch_failed"] = failed
    steps.read()
    if unread := _wait_for_reader(store, run):
        detail["unread"] = unread
    found = []
    for profile in store.export_profiles(merchant.name):
        run.renew()
        found.append(publish_due(store, settings, merchant, profile, run.business_date, run.until, run.renew))
    detail["profiles"] = [one.to_json() for one in found]
    if reported := _report_nothing_new(store, settings, merchant, run.business_date, found):
        detail["reported"] = reported
    steps.deliver()
    return detail


def _report_nothing_new(
    store: Store, settings: Settings, merchant: Merchant, business_date: date, found: Sequence[Published]
) -> int:
    """Queue a mail for each address that files go to and that gets none tonight; how many. A night that is cut off
    after this and done again tells it twice, which is better than not at all."""
    number = 0
    for target in store.delivery_targets(merchant.name):
        theirs = [one for one in found if target.profile in (None, one.profile) and one.error is None]
        if target.kind != "mail" or not theirs or any(one.batches for one in theirs):
            continue
        mail = report_mail(
            merchant,
            target.address,
            settings,
            business_date,
            left_out=theirs[0].left_out,
            unentered=unentered_in(store, settings, merchant.name),
            mark="nothing-new",
        )
        store.queue_mail(merchant.name, OutgoingKind.REPORT, target.address, mail)
        number += 1
    return number


def due_now(store: Store, merchant: str) -> tuple[Due, ...]:
    """What would be published now, profile by profile. Raises StoreError."""
    now = datetime.now(UTC)
    return tuple(
        Due(profile.name, store.count_due(profile.id, before=now), _left_out(store, profile))
        for profile in store.export_profiles(merchant)
    )


def publish_now(store: Store, settings: Settings, merchant: Merchant) -> tuple[Published, ...]:
    """Publish what is due now in each profile of a merchant, with the merchant's date of today. It waits for deliveries
    then. Raises StoreError, SettingError."""
    now = datetime.now(UTC)
    today = now.astimezone(zone_of(merchant, settings)).date()
    profiles = store.export_profiles(merchant.name)
    return tuple(publish_due(store, settings, merchant, profile, today, now) for profile in profiles)


def _left_out(store: Store, profile: ExportProfile) -> dict[str, int]:
    last = store.batches(profile.merchant, profile=profile.name, limit=1)
    return store.left_out(profile.merchant, profile.id, last[0].published_at if last else None)


def publish_due(
    store: Store,
    settings: Settings,
    merchant: Merchant,
    profile: ExportProfile,
    business_date: date,
    until: datetime,
    renew: Callable[[], None] = lambda: None,
) -> Published:
    """Publish what is due for a profile since before `until` (aware), file by file. A profile that cannot be made out
    is told and holds up no other. Raises StoreError."""
    left_out = _left_out(store, profile)
    try:
        chosen = profile_of(profile)
    except (UnknownProfileError, ProfileError) as error:
        log.error("a profile cannot be exported", merchant=merchant.name, profile=profile.name, cause=str(error))  # noqa: TRY400  # no traceback: values
        return Published(profile.name, (), left_out, {}, str(error))
    items = Catalogues(store).of(merchant.name)
    limit = min(BATCH_ORDERS, chosen.most_orders or BATCH_ORDERS)
    batches: list[Batch] = []
    unwritten: dict[int, str] = {}
    writings = 0
    while due := store.due_orders(profile.id, before=until, limit=limit, without=tuple(unwritten)):
        renew()
        written = _written(settings, merchant, chosen, business_date, due, items, left_out, unwritten)
        if written is None:
            continue
        try:
            batches.append(store.publish(profile.id, business_date, written))
            writings = 0
        except OrdersChangedError:
            writings += 1
            if writings == WRITINGS:
                raise
    return Published(profile.name, tuple(batches), left_out, unwritten)


def _written(
    settings: Settings,
    merchant: Merchant,
    chosen: Profile,
    business_date: date,
    due: Sequence[ExportOrder],
    items: Mapping[str, CatalogueItem],
    left_out: Mapping[str, int],
    unwritten: dict[int, str],
) -> WrittenFile | None:
    """The file of these orders. Where it cannot be written, those that cannot be written alone are noted in
    `unwritten`, and None is returned: the others are to be written without them."""
    zone = zone_of(merchant, settings)
    try:
        raw, summary = _file_of(due, chosen, items, zone)
    except OSError:  # the disk's fault, and no order's
        raise
    except Exception:  # also a bug of ours that one order brings out: the others go nevertheless
        before = len(unwritten)
        for one in due:
            try:
                _file_of([one], chosen, items, zone)
            except OSError:
                raise
            except Exception as error:
                unwritten[one.id] = cause_of(error)
        if len(unwritten) == before:
            raise
        found = {"merchant": merchant.name, "profile": chosen.name, "orders": list(unwritten)}
        log.error("orders cannot be exported", **found)  # noqa: TRY400  # no traceback: values
        return None
    name = PurePath(file_name(chosen, business_date, zone))
    said: dict[str, Any] = {"left_out": dict(left_out), "notes": summary.notes, "unknown_skus": summary.unknown_skus}
    return WrittenFile(
        profile=str(chosen),
        # Who fetches files sees by the number that none is missing.
        file_name=f"{name.stem}-{{number:04}}{name.suffix}",
        raw=raw,
        orders=[(one.id, one.revision, one.applied_at) for one in due],
        row_count=summary.rows,
        summary=said,
    )


def profile_of(profile: ExportProfile) -> Profile:
    """How a merchant's profile is written. Raises UnknownProfileError, ProfileError."""
    if profile.definition is None:
        return profile_named(profile.name)
    return replace(custom_profile(profile.name, profile.definition), version=profile.version)


def _file_of(
    orders: Sequence[ExportOrder], profile: Profile, items: Mapping[str, CatalogueItem], zone: ZoneInfo
) -> tuple[bytes, ExportSummary]:
    made, now = io.BytesIO(), datetime.now(UTC)
    summary = export_orders(orders, profile, made, exported_at=now, zone=zone, catalogue=lambda _: items)
    return made.getvalue(), summary


def _wait_for_reader(store: Store, run: Run) -> int:
    """Wait until the merchant's mail is read that is there now; how many are not after `READ_SECONDS`."""
    newest, until = store.newest_message_id(), clock.monotonic() + READ_SECONDS
    while (unread := store.unread_messages(run.merchant, newest)) and clock.monotonic() < until:
        clock.sleep(LOOK_SECONDS)
    return unread


def fetch_accounts(store: Store, settings: Settings, merchant: str) -> list[str]:
    """A round of each of the merchant's IMAP accounts, beside those that `ion serve` makes by itself; a sentence for
    each account that failed."""
    from ion.inbox import ImapFetcher

    failed = []
    for account in settings.imap:
        if account.merchant == merchant:
            try:
                ImapFetcher(store, account, max_message_bytes=settings.smtp_max_message_bytes).fetch_once()
            except IonError as error:
                failed.append(f"{account.name}: {error}")
    return failed
