"""The first pages: which merchant, and how it stands there: what is to be entered, what needs a person, and whether
mail, jobs and files come as they should."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Request
from starlette.responses import Response

from ion.contract import language
from ion.jobs import JobStatus, how_jobs_fare, scheduled_jobs
from ion.store import Alert, Batch
from ion.web.order_sheet import country_text, money_text
from ion.web.orders import TO_ENTER, count_words, flags_of
from ion.web.pages import Pages
from ion.web.visits import Visit

LAST_MERCHANT = "ion_merchant"
_KEPT_SECONDS = 365 * 24 * 3600
_OLDEST = "newer-0"  # the page of the list that begins with the first order of all
_LISTED = 10
_FILES = 6
# Told by figures of their own on the same page.
_TOLD_ELSEWHERE = {"unread", "held", "unsealed", "contradiction", "unentered", "job-late", "job-failed"}


def home_routes(pages: Pages) -> APIRouter:
    router = APIRouter()
    store = pages.store

    @router.get("/")
    def start(request: Request, visit: Annotated[Visit, pages.may_read]) -> Response:
        names = pages.merchants_of(visit)
        last = request.cookies.get(LAST_MERCHANT)
        chosen = names[0] if len(names) == 1 else last if last in names else None
        if chosen is not None:
            return pages.redirect(f"/m/{chosen}")
        admins = tuple(user.name for user in store.users() if user.is_admin and user.disabled_at is None)
        return pages.show(request, visit, "merchants.html", names=names, admins=admins)

    @router.get("/m/{merchant}")
    def home(request: Request, visit: Annotated[Visit, pages.may_read], merchant: str) -> Response:
        now = datetime.now(UTC)
        words = language(visit.locale)
        files = store.batches(merchant, limit=_FILES)
        recent = _recent(files, now.astimezone(visit.zone))
        page = pages.show(
            request,
            visit,
            "home.html",
            has_orders=store.has_orders(merchant),
            pending=store.order_page(merchant, TO_ENTER, _OLDEST, _LISTED).orders[::-1],
            pending_count=count_words(*store.count_orders(merchant, TO_ENTER), visit.locale),
            changed=store.changed_since_entered(merchant),
            flags_of=flags_of,
            waiting=[(count, words.alerts[kind]) for kind, count in store.waiting_counts(merchant).items()],
            files=recent or files[:1],
            are_recent=bool(recent),
            jobs=_jobs(pages, merchant, now),
            last_mail=store.last_mail(merchant),
            alerts=[(_alert_words(alert, visit.locale), alert) for alert in _untold(store.alerts(merchant=merchant))],
            money=lambda amount, currency: money_text(amount, currency, visit.locale),
            country=lambda code: country_text(code, visit.locale),
        )
        page.set_cookie(
            LAST_MERCHANT,
            merchant,
            max_age=_KEPT_SECONDS,
            httponly=True,
            samesite="lax",
            secure=pages.visits.is_secure(request),
        )
        return page

    return router


def _recent(files: Sequence[Batch], now: datetime) -> tuple[Batch, ...]:
    """Those of today and of the night before."""
    since = now.date() - timedelta(days=1)
    return tuple(one for one in files if one.business_date >= since)


def _jobs(pages: Pages, merchant: str, now: datetime) -> tuple[tuple[str, JobStatus], ...]:
    """The jobs of the merchant and of all, each with the word for how it fares."""
    jobs = [job for job in scheduled_jobs(pages.store, pages.settings) if job.merchant in (merchant, "")]
    return tuple((_fares(status), status) for status in how_jobs_fare(pages.store, jobs, now))


def _fares(status: JobStatus) -> str:
    if status.failed is not None:
        return "failed"
    if status.state == "running":
        return "running"
    return "late" if status.late_seconds else "on_time"


def _untold(alerts: Sequence[Alert]) -> list[Alert]:
    return [alert for alert in alerts if alert.kind not in _TOLD_ELSEWHERE]


def _alert_words(alert: Alert, locale: str) -> str:
    words = language(locale).alerts
    return words.get(alert.kind.replace("-", "_"), words["other"])
