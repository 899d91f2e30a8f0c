"""What can be measured, in Prometheus' text format: GET /metrics.

Without the setting `metrics_token` it is answered to this machine only, and not through a proxy; with it, to whoever
sends the token. All numbers are of the installation as a whole: no merchant, no order, no address.
"""

import hmac
import os
import platform
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from ipaddress import ip_address

import structlog
from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ion import __version__
from ion.config import Settings
from ion.errors import IonError
from ion.jobs import how_jobs_fare, scheduled_jobs
from ion.store import Counts, ImapAccountState, Store
from ion.web.requests import Answered

log = structlog.get_logger("ion.web")

LEAST_KEPT_SECONDS = 10.0
KEPT_TIMES = 20  # so many times as long as counting took: it never takes more than a twentieth of the time
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


class Metrics:
    """The metrics of one application, in a registry of their own. `observe` counts a request that was answered."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "ion_http_requests",
            "Requests answered, by route and class of status (cut: the connection ended before)",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "ion_http_request_duration_seconds",
            "Until a response was whole, by route",
            ("route",),
            registry=self.registry,
            buckets=_BUCKETS,
        )
        ProcessCollector(registry=self.registry)
        self.registry.register(_Installation(store, settings))

    def observe(self, answered: Answered) -> None:
        route = answered.route or "none"
        status = f"{answered.status // 100}xx" if answered.status else "cut"
        self._requests.labels(answered.method, route, status).inc()
        self._seconds.labels(route).observe(answered.seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)


def metrics_routes(metrics: Metrics, settings: Settings) -> APIRouter:
    router = APIRouter()
    token = settings.metrics_token.get_secret_value() if settings.metrics_token else None

    @router.api_route("/metrics", methods=["GET", "HEAD"])
    def metrics_of_all(request: Request) -> Response:
        if token is None:
            _refuse_others(request)
        else:
            _refuse_without(token, request)
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})

    return router


def _refuse_others(request: Request) -> None:
    """Raises HTTPException 403 where it is not this machine that asks, or a proxy on it does so for somebody."""
    try:
        is_here = request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        is_here = False
    if not is_here or any(name in request.headers for name in _FORWARDED):
        raise HTTPException(HTTPStatus.FORBIDDEN, "ask from this machine, or set metrics_token and send it as a token")


def _refuse_without(token: str, request: Request) -> None:
    """Raises HTTPException 401."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode()):
        raise HTTPException(
            HTTPStatus.UNAUTHORIZED,
            "send metrics_token as `Authorization: Bearer TOKEN`",
            {"WWW-Authenticate": 'Bearer realm="ion metrics"'},
        )


class _Installation(Collector):
    """What the database, the jobs and the disk say. Counted anew when the last count is old enough."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._lock = threading.Lock()
        self._counted: tuple[Metric, ...] = ()
        self._good_until = 0.0

    def describe(self) -> Iterable[Metric]:
        return ()  # else the registry would count to find out

    def collect(self) -> Iterator[Metric]:
        yield _gauge("ion_build_info", "1, with the version of the program", ("version", "python"),
                     {(__version__, platform.python_version()): 1})  # fmt: skip
        yield from self._disk()
        with self._lock:
            began = time.monotonic()
            if began >= self._good_until:
                self._counted = tuple(self._count())
                now = time.monotonic()
                self._good_until = now + max(LEAST_KEPT_SECONDS, KEPT_TIMES * (now - began))
            counted = self._counted
        yield from counted

    def _count(self) -> Iterator[Metric]:
        now = datetime.now(UTC)
        try:
            counts = self._store.all_counts()
            late: dict[str, int] = {}
            for status in how_jobs_fare(self._store, scheduled_jobs(self._store, self._settings), now):
                late[status.job] = max(late.get(status.job, 0), status.late_seconds)
        except IonError as error:
            log.warning("metrics cannot be counted", cause=str(error))
            yield _gauge("ion_database_up", "Whether the database could be asked", (), {(): 0})
            return
        yield _gauge("ion_database_up", "Whether the database could be asked", (), {(): 1})
        yield from self._numbers(counts, now)
        yield _by(
            "ion_job_last_success_timestamp_seconds",
            "When a job was last done for any merchant",
            "job",
            {job: at.timestamp() for job, at in counts.jobs_done_at.items()},
        )
        yield _by("ion_job_late_seconds", "For how long a job is late, for the merchant whose is latest", "job", late)

    def _numbers(self, counts: Counts, now: datetime) -> Iterator[Metric]:
        yield _by("ion_messages", "Messages received, by state", "state", counts.messages)
        age = (now - counts.oldest_unread_at).total_seconds() if counts.oldest_unread_at else 0
        yield _gauge(
            "ion_oldest_unread_seconds", "How long a message has been unread; 0: none is", (), {(): max(0, age)}
        )
        yield _by("ion_orders", "Orders by state, tests and erased ones too", "state", counts.orders)
        pending = counts.orders["new"] + counts.orders["exported"]
        yield _gauge("ion_orders_pending", "Orders that nobody has entered in the shop yet", (), {(): pending})
        yield _by("ion_notifications_waiting", "Notifications that a person has to decide", "state", counts.waiting)
        yield _by("ion_outgoing", "Mails to be sent and sent, by state", "state", counts.outgoing)
        yield _by("ion_deliveries", "Published files on their way, by state", "state", counts.deliveries)
        yield _gauge("ion_alerts_open", "Alerts whose cause lasts", (), {(): counts.alerts_open})
        accounts = {state.value: 0 for state in ImapAccountState}
        for account in self._settings.imap:
            if account.name in counts.imap_accounts:
                accounts[counts.imap_accounts[account.name].value] += 1
        yield _by("ion_imap_accounts", "IMAP accounts of the settings that were fetched, by state", "state", accounts)

    def _disk(self) -> Iterator[Metric]:
        folder = self._store.folder or self._settings.data_dir
        try:
            disk = os.statvfs(folder)
        except OSError:
            return
        free = disk.f_bavail * disk.f_frsize
        yield _gauge("ion_disk_free_bytes", "Free on the disk of the database, or of data_dir", (), {(): free})


def _by(name: str, about: str, label: str, numbers: Mapping[str, float]) -> Metric:
    """A gauge with one label."""
    return _gauge(name, about, (label,), {(of,): number for of, number in numbers.items()})


def _gauge(name: str, about: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]) -> Metric:
    metric = GaugeMetricFamily(name, about, labels=labels)
    for of, value in values.items():
        metric.add_metric(of, value)
    return metric
