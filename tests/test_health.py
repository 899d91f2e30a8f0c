"""Whether the program lives and can work, what can be measured of it, and what its log tells of requests."""

import contextlib
import json
import re
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
import time_machine
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError
from starlette.testclient import TestClient

from ion.config import Settings, load_settings
from ion.store import ImapAccountState, JobState, Store
from ion.web import health, metrics
from ion.web.app import make_app
from tests.stores import claimed, queue_order, received
from tests.web import site

_ROW = re.compile(r"^\| `(ion_[a-z_]+)` \| ([a-z_`, ]*)\|", re.MULTILINE)
TOKEN = "a-token-of-some-length"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", smtp_min_free_bytes=1)


def client(store: Store, settings: Settings, host: str = "127.0.0.1") -> TestClient:
    return TestClient(make_app(store, settings), client=(host, 50_000), raise_server_exceptions=False)


def measured(text: str) -> dict[str, float]:
    """Each sample by its name with its labels."""
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


# Alive and ready


def test_the_program_lives_and_is_ready_on_either_database(store: Store, settings: Settings) -> None:
    asked = client(store, settings)
    for path, status in (("/healthz", "alive"), ("/readyz", "ready")):
        answer = asked.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": status})
        assert answer.headers["cache-control"] == "no-store"
        assert asked.head(path).status_code == 200


def test_a_program_whose_database_is_gone_lives_and_is_not_ready(sqlite_store: Store, settings: Settings) -> None:
    asked = client(sqlite_store, settings)
    sqlite_store.close()
    (settings.data_dir / "ion.db").write_bytes(b"no database" * 1000)
    assert asked.get("/healthz").status_code == 200
    answer = asked.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["failing"] == ["database"]
    assert str(settings.data_dir) not in answer.text


def test_a_database_that_does_not_answer_in_time_is_told_in_time(
    sqlite_store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(health, "_KEPT_SECONDS", 0)
    asked = client(sqlite_store, settings)
    with contextlib.closing(sqlite3.connect(settings.data_dir / "ion.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            answer = asked.get("/readyz")
            assert (answer.status_code, answer.json()["failing"]) == (503, ["database"])
        other.execute("ROLLBACK")
    until = time.monotonic() + 20
    while asked.get("/readyz").status_code != 200:
        assert time.monotonic() < until


def test_another_schema_and_a_full_disk_are_told(sqlite_store: Store, settings: Settings) -> None:
    full = settings.model_copy(update={"smtp_min_free_bytes": 2**62})
    with sqlite_store.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    answer = client(sqlite_store, full).get("/readyz")
    assert (answer.status_code, answer.json()["failing"]) == (503, ["disk", "schema"])


def test_mail_that_nobody_reads_for_minutes_is_told_and_mail_that_is_being_read_is_not(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_KEPT_SECONDS", 0)
    asked = client(store, settings)
    received(store)
    assert asked.get("/readyz").status_code == 200
    with time_machine.travel(datetime.now(UTC) + health.STUCK + timedelta(minutes=1)):
        assert asked.get("/readyz").json()["failing"] == ["worker"]
        received(store, b"another")
        assert len(store.claim_messages(1, 60)) == 1
        assert asked.get("/readyz").status_code == 200
    with time_machine.travel(datetime.now(UTC) + 3 * health.STUCK):
        assert asked.get("/readyz").json()["failing"] == ["worker"]


# Metrics


def test_every_state_is_counted_as_the_check_of_the_books_counts_it(store: Store, settings: Settings) -> None:
    settings.data_dir.mkdir(exist_ok=True)
    claimed(store)
    received(store, b"unread")
    queue_order(store, "GE1")
    store.raise_alert("default", "disk", "disk", "x")
    store.imap_round_failed("orders", ImapAccountState.REFUSED, "no", 60)
    run = store.claim_job_run("retention", datetime.now(UTC).date(), claimed_by="x", lease_seconds=60)
    assert run is not None
    store.finish_job_run(run, JobState.DONE, {})
    account = SimpleNamespace(name="orders", merchant="default")
    seen = settings.model_copy(update={"imap": (account, SimpleNamespace(name="never fetched", merchant="default"))})
    answer = client(store, seen).get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    found = measured(answer.text)
    books = store.check()
    for state, number in books["messages"]["states"].items():
        assert found[f'ion_messages{{state="{state}"}}'] == number
    assert found['ion_messages{state="claimed"}'] == 1
    assert found['ion_outgoing{state="queued"}'] == 1
    assert found["ion_oldest_unread_seconds"] >= 0
    assert found["ion_alerts_open"] == 1
    assert found['ion_imap_accounts{state="refused"}'] == 1
    assert found['ion_imap_accounts{state="ok"}'] == 0
    assert found['ion_job_last_success_timestamp_seconds{job="retention"}'] > 1_700_000_000
    assert found['ion_job_late_seconds{job="nightly"}'] == 0
    assert found["ion_database_up"] == 1
    assert found["ion_disk_free_bytes"] > 0
    assert any(name.startswith("ion_build_info{") for name in found)


def test_the_readme_names_every_metric_with_its_labels(sqlite_store: Store, settings: Settings) -> None:
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text("utf-8")
    named = {name: set(labels.replace("`", "").replace(",", " ").split()) for name, labels in _ROW.findall(readme)}
    asked = client(sqlite_store, settings)
    asked.get("/healthz")
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(asked.get("/metrics").text):
        for sample in family.samples:
            if not sample.name.startswith("process_") and not sample.name.endswith("_created"):
                name = re.sub("_(bucket|count|sum)$", "", sample.name)
                found.setdefault(name, set()).update(set(sample.labels) - {"le"})
    found.setdefault("ion_job_last_success_timestamp_seconds", {"job"})  # none was done yet
    assert found == named


def test_what_a_person_decides_and_what_is_to_be_entered_are_counted(sqlite_store: Store, settings: Settings) -> None:
    with sqlite_store.writing() as connection:
        _insert_many(connection, orders=30, notifications=30)
    found = measured(client(sqlite_store, settings).get("/metrics").text)
    assert found['ion_orders{state="new"}'] == 10
    assert found['ion_orders{state="entered"}'] == 10
    assert found["ion_orders_pending"] == 20
    assert found['ion_notifications_waiting{state="held"}'] == 15
    assert found['ion_notifications_waiting{state="review"}'] == 15


def test_requests_are_counted_by_route_and_never_by_what_somebody_wrote(
    sqlite_store: Store, settings: Settings
) -> None:
    asked = client(sqlite_store, settings)
    for path in ("/v1/files/17", "/v1/files/18?x=ana@example.com", "/no/such/page", "/static/ion.css"):
        asked.get(path)
    asked.request("BREW", "/healthz")
    text = asked.get("/metrics").text
    found = measured(text)
    assert found['ion_http_requests_total{method="GET",route="/v1/files/{file_id}",status="4xx"}'] == 2
    assert found['ion_http_requests_total{method="GET",route="none",status="4xx"}'] == 1
    assert found['ion_http_requests_total{method="GET",route="/static/{name}",status="2xx"}'] == 1
    assert found['ion_http_request_duration_seconds_count{route="/v1/files/{file_id}"}'] == 2
    assert found['ion_http_requests_total{method="other",route="/healthz",status="4xx"}'] == 1
    for word in ("17", "ana", "such", "BREW"):
        assert not any(word in name for name in found), word


def test_nothing_personal_and_no_merchant_stands_in_the_metrics(sqlite_store: Store, settings: Settings) -> None:
    sqlite_store.create_merchant("mkrshopq", domain="mail.example")
    queue_order(sqlite_store, "mkrorderq", merchant="mkrshopq", addresses=("mkrmailq@x.example",))
    sqlite_store.raise_alert("mkrshopq", "disk", "mkrsubjectq", "mkrtextq")
    text = client(sqlite_store, settings).get("/metrics").text
    assert "mkr" not in text and "@" not in text


def test_two_applications_have_metrics_of_their_own(sqlite_store: Store, settings: Settings) -> None:
    one, other = client(sqlite_store, settings), client(sqlite_store, settings)
    one.get("/healthz")
    name = 'ion_http_requests_total{method="GET",route="/healthz",status="2xx"}'
    assert measured(one.get("/metrics").text)[name] == 1
    assert name not in measured(other.get("/metrics").text)


def test_counting_is_not_done_for_every_question(
    sqlite_store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = client(sqlite_store, settings)
    name = 'ion_messages{state="received"}'
    assert measured(asked.get("/metrics").text)[name] == 0
    received(sqlite_store)
    assert measured(asked.get("/metrics").text)[name] == 0
    monkeypatch.setattr(metrics, "LEAST_KEPT_SECONDS", 0)
    monkeypatch.setattr(metrics, "KEPT_TIMES", 0)
    asked = client(sqlite_store, settings)
    assert measured(asked.get("/metrics").text)[name] == 1
    received(sqlite_store, b"another")
    assert measured(asked.get("/metrics").text)[name] == 2


def test_metrics_say_that_the_database_is_gone(sqlite_store: Store, settings: Settings) -> None:
    asked = client(sqlite_store, settings)
    sqlite_store.close()
    (settings.data_dir / "ion.db").write_bytes(b"no database" * 1000)
    answer = asked.get("/metrics")
    assert answer.status_code == 200
    found = measured(answer.text)
    assert found["ion_database_up"] == 0
    assert not any(name.startswith("ion_messages") for name in found)


@pytest.mark.parametrize(
    ("host", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("192.0.2.7", {}, 403),
        ("testclient", {}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 403),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, 403),
        ("192.0.2.7", {"Authorization": f"Bearer {TOKEN}"}, 403),
    ],
)
def test_without_a_token_only_this_machine_is_answered(
    host: str, headers: dict[str, str], status: int, sqlite_store: Store, settings: Settings
) -> None:
    answer = client(sqlite_store, settings, host).get("/metrics", headers=headers)
    assert answer.status_code == status
    assert ("ion_messages" in answer.text) == (status == 200)


@pytest.mark.parametrize("host", ["192.0.2.7", "127.0.0.1"])
def test_with_a_token_only_who_sends_it_is_answered_from_wherever(
    host: str, sqlite_store: Store, tmp_path: Path
) -> None:
    asked = client(sqlite_store, Settings(data_dir=tmp_path / "data", metrics_token=TOKEN), host)
    for sent, status in (
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Basic {TOKEN}", 401),
        ("Bearer \xe9", 401),
        (TOKEN, 401),
        ("", 401),
    ):
        answer = asked.get("/metrics", headers={b"Authorization": sent.encode("latin-1")})
        assert (sent, answer.status_code) == (sent, status)
        assert ("ion_messages" in answer.text) == (status == 200)
        assert TOKEN not in answer.text


def test_the_token_may_come_from_a_file_and_is_no_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    monkeypatch.setenv("ION_METRICS_TOKEN_FILE", str(tmp_path / "token"))
    token = load_settings().metrics_token
    assert token is not None and token.get_secret_value() == TOKEN
    with pytest.raises(ValidationError):
        Settings(metrics_token="short")


def test_no_count_reads_the_orders_or_the_notifications_themselves(sqlite_store: Store) -> None:
    asked: list[tuple[str, Any]] = []

    @sa.event.listens_for(sqlite_store._engine, "before_cursor_execute")
    def _asked(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    sqlite_store.all_counts()
    assert len(asked) > 5
    with sqlite_store.reading() as connection:
        for statement, parameters in list(asked):
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters):
                step = row[3]
                assert "INDEX" in step or not step.startswith(("SCAN orders", "SCAN notification", "SCAN message")), (
                    step
                )


def _insert_many(connection: Any, *, orders: int, notifications: int) -> None:
    """Orders in each state in turn, and notifications that wait, with contents as long as usual ones."""
    at = "2026-11-01 00:00:00.000000"
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
    content = "hex(zeroblob(300))"
    connection.exec_driver_sql(
        "INSERT INTO message (id, merchant, door, sha256, size_bytes, rcpt_to, received_at, state, state_at, attempts,"
        f" failures) VALUES (1, 'default', 'file', 'x', 1, '', '{at}', 'read', '{at}', 1, 0)"
    )
    connection.exec_driver_sql(
        numbers.format(orders)
        + "INSERT INTO orders (merchant, platform, order_number, revision, state, content_json, content_sha256, test,"
        " replacement, documents_awaited, personal_data_suppressed, personal_data_encrypted, amended, created_at,"
        " updated_at, applied_at) SELECT 'default', 'zonos', i, 1,"
        f" CASE i % 3 WHEN 0 THEN 'new' WHEN 1 THEN 'exported' ELSE 'entered' END, {content}, 'x', 0, 0, 0, 0, 0, 0,"
        f" '{at}', '{at}', '{at}' FROM n"
    )
    connection.exec_driver_sql(
        numbers.format(notifications)
        + "INSERT INTO notification (message_id, position, merchant, grade, state, problems_json, judged_at) SELECT 1,"
        f" i, 'default', 'review', CASE i % 2 WHEN 0 THEN 'held' ELSE 'review' END, '[]', '{at}' FROM n"
    )


# The log of requests


def test_the_log_tells_route_status_time_and_user_and_nothing_else(sqlite_store: Store, tmp_path: Path) -> None:
    page = site(tmp_path, sqlite_store)
    ana = page.signed_in("mkranaq", default="staff")
    with structlog.testing.capture_logs() as logged:
        ana.client.get("/v1/files/4711?x=mkrqueryq", headers={"X-Forwarded-For": "192.0.2.99"})
        ana.get("/healthz")
        ana.get("/mkrpathq")
    lines = [line for line in logged if line["event"] == "request"]
    assert [(line["method"], line["route"], line["status"], line["log_level"]) for line in lines] == [
        ("GET", "/v1/files/{file_id}", 401, "info"),
        ("GET", "/healthz", 200, "debug"),
        ("GET", None, 404, "info"),
    ]
    for line in lines:
        assert set(line) == {"event", "log_level", "method", "route", "status", "milliseconds", "user"}
    told = json.dumps(logged)
    assert "mkr" not in told and "192.0.2.99" not in told and "4711" not in told
