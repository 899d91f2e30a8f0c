"""The worker: what is received is read in a child and stored; nothing that a message does stops the others."""

import os
import pickle
import secrets
import signal
import smtplib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import ValidationError

import ion.reader
from ion.config import Settings
from ion.errors import SettingError, StoreError
from ion.inbox import Listener
from ion.reader import CHILD_MESSAGES, Reader, ReadFailedError
from ion.reading import Problem, read_message
from ion.seal import Key
from ion.store import ClaimLostError, ReadMessage, Store
from ion.worker import Worker
from tests.orders import KEY, OTHER_KEY, full_order, rendered, small_order
from tests.readers import Evil, read_oddly
from tests.stores import an_address, judged, received, table_of
from tests.stores import sqlite_store as store
from tests.stores import store as any_store

__all__ = ["any_store", "store"]

NEVER = threading.Event()


def keys_for(merchant: str) -> Sequence[Key]:
    return [KEY] if merchant == "default" else [OTHER_KEY]


@pytest.fixture
def worker(store: Store) -> Iterator[Worker]:
    worker = Worker(store, keys_for)
    yield worker
    worker.close()


@pytest.fixture
def odd(store: Store) -> Iterator[Worker]:
    worker = Worker(store, keys_for, timeout_seconds=1.5, read=read_oddly)
    yield worker
    worker.close()


def running(worker: Worker) -> Callable[[], None]:
    """Run the worker in a thread; the function returned stops it and waits for its end."""
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()

    def end() -> None:
        stop.set()
        worker.notify()
        thread.join(60)
        assert not thread.is_alive()

    return end


def has_orders(store: Store, count: int) -> bool:
    return len(list(store.orders_for_export())) == count


def until(condition: Callable[[], Any], seconds: float = 60) -> float:
    """Seconds until it holds; fails after the time given."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.005)
    return time.monotonic() - began


def test_received_mail_becomes_orders(worker: Worker, store: Store) -> None:
    received(store, rendered(full_order()).raw)
    received(store, rendered(small_order(), "de").raw)
    received(store, b"Subject: hello\r\n\r\nno order\r\n")
    assert worker.run_once() == 3
    assert worker.run_once() == 0
    assert [one.order for one in store.orders_for_export()] == [full_order(), small_order()]
    counts = store.counts()
    assert (counts["read"], counts["ignored"]) == (2, 1)
    assert store.check()["problems"] == []


def test_only_the_keys_of_the_recipients_merchant_count(worker: Worker, store: Store) -> None:
    store.create_merchant("shop", domain="x.example")
    received(store, rendered(small_order()).raw, "shop")
    worker.run_once()
    assert list(store.orders_for_export()) == []
    assert table_of(store, "SELECT merchant, grade, state FROM notification") == [("shop", "review", "held")]


def test_mail_sent_by_smtp_is_an_order_at_once_because_the_worker_is_told_of_it(
    worker: Worker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ion.worker.POLL_SECONDS", 600)
    raws = [rendered(small_order().model_copy(update={"order_number": str(number)})).raw for number in range(5)]
    end = running(worker)
    listener = Listener(store, port=0, on_received=worker.notify)
    listener.start()
    try:
        time.sleep(1.5)  # the child has started, as it has in a service
        with smtplib.SMTP(listener.host, listener.port) as client:
            for number, raw in enumerate(raws, start=1):
                client.sendmail("a@b.example", [an_address(store)], raw)
                assert until(partial(has_orders, store, number)) < 0.8
    finally:
        listener.stop()
        end()


@pytest.mark.long
def test_mail_received_by_another_process_is_found_without_being_told(worker: Worker, store: Store) -> None:
    end = running(worker)
    try:
        time.sleep(1.5)  # it has looked once, and found nothing
        received(store, rendered(small_order()).raw)
        assert until(lambda: list(store.orders_for_export())) < 1.8
    finally:
        end()


def test_the_child_has_no_database(odd: Worker, store: Store) -> None:
    received(store, b"imports")
    odd.run_once()
    assert table_of(store, "SELECT last_error FROM message") == [("reading raised imported",)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        (b"hang", "reading took longer than 1.5 seconds"),
        (b"die", "the reading process died"),
        (b"raise", "reading raised ValueError"),
        (b"memory", "reading raised MemoryError"),
        (b"nonsense", "no answer can be read"),
        (b"unstorable " + rendered(full_order()).raw, "storing raised OverflowError"),
    ],
)
def test_a_message_that_fails_twice_is_quarantined_and_the_others_go_on(
    raw: bytes, cause: str, odd: Worker, store: Store
) -> None:
    bad = received(store, raw)
    received(store, rendered(small_order()).raw)
    with structlog.testing.capture_logs() as logs:
        assert odd.run_once() == 3
    assert len(list(store.orders_for_export())) == 1
    (row,) = table_of(store, f"SELECT state, attempts, failures, last_error FROM message WHERE id = {bad}")
    assert row == ("quarantined", 2, 1, cause)
    order_of_events = [(line["message"], line["event"]) for line in logs]
    assert sorted(order_of_events[:2]) == [(bad, "message failed, tried once more"), (bad + 1, "message read")]
    assert order_of_events[2:] == [(bad, "message quarantined")]  # the second try comes after the other message
    assert "secret" not in str(logs)
    assert store.check()["problems"] == []


def test_mail_that_came_during_the_first_run_is_read_before_the_second(
    odd: Worker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So with one reader, too, a message waits for one run of a poisonous one, not for both."""
    bad = received(store, b"die")
    retry = store.retry_message

    def retry_message(*arguments: Any, **named: Any) -> None:
        received(store, rendered(small_order()).raw)  # it came while the first run went on
        retry(*arguments, **named)

    monkeypatch.setattr(store, "retry_message", retry_message)
    with structlog.testing.capture_logs() as logs:
        assert odd.run_once() == 3
    assert [(line["message"], line["event"]) for line in logs] == [
        (bad, "message failed, tried once more"),
        (bad + 1, "message read"),
        (bad, "message quarantined"),
    ]


@pytest.mark.long
def test_a_message_that_burns_processor_time_is_ended_by_that_deadline_too(store: Store) -> None:
    """Where the wall clock would leave it longer."""
    reader = Reader(30, read_oddly)
    reader._cpu_seconds = 1
    with pytest.raises(ReadFailedError, match="more than 1 seconds of processor time"):
        reader.read(b"burn", [], NEVER)
    assert reader.read(b"Subject: x\r\n\r\n", [], NEVER) == ()
    reader.close()


@pytest.mark.long
def test_the_processor_time_of_the_messages_before_does_not_count() -> None:
    reader = Reader(30, read_oddly)
    reader._cpu_seconds = 1
    for _ in range(6):
        assert reader.read(b"busy", [], NEVER) == ()  # 0.4 seconds each
    reader.close()


def test_a_child_that_answers_with_code_runs_none_of_it(tmp_path: Path) -> None:
    trace = tmp_path / "evil"
    reader = Reader(30, read_oddly)
    with pytest.raises(ReadFailedError, match="no answer can be read"):
        reader.read(b"evil %s" % os.fsencode(trace), [], NEVER)
    reader.close()
    assert not trace.exists()
    pickle.loads(pickle.dumps(Evil(str(trace))))
    assert trace.exists(), "the trap itself works"


@pytest.mark.long
def test_a_child_that_answers_octet_by_octet_is_given_up_at_its_time() -> None:
    reader = Reader(1, read_oddly)
    with pytest.raises(ReadFailedError, match="longer than 1 seconds"):
        reader.read(b"drip", [], NEVER)
    reader.close()


@pytest.mark.parametrize(
    "answer",
    [
        b'{"judged":[1,1,1,1]}',
        b'{"judged":[{"grade":"none","notification":null,"content":null,"problems":[1,1,1]}]}',
        b'{"judged":[{"grade":"none","notification":null,"problems":[],"content":'
        b'{"json":"","sha256":"","lines":[1,1,1],"summary":["",""' + b",null" * 12 + b"]}}]}",
        b'{"raised":"Error\\u0000"}',
    ],
)
def test_an_answer_that_is_none_is_refused_at_its_first_fault_of_a_kind(answer: bytes) -> None:
    with pytest.raises(ValidationError) as caught:
        ion.reader._understood(answer)
    places = [error["loc"] for error in caught.value.errors()]
    assert not [place for place in places if 1 in place[-1:]], places


def test_a_problem_that_quotes_what_no_text_can_hold_comes_through_with_all_else() -> None:
    (found,) = read_message(rendered(small_order()).raw, [KEY])
    half = Problem("note", "delivery", "somebody wrote \ud83d")
    (told,) = ion.reader._understood(
        ion.reader._as_json(ion.reader._Answer((replace(found, problems=(half,)),)))
    ).judged
    assert told.problems[0].message == "somebody wrote ?"
    assert replace(told, problems=()) == replace(found, problems=())


def test_an_order_that_is_not_what_its_digest_says_or_no_database_takes_is_no_answer() -> None:
    (found,) = read_message(rendered(small_order()).raw, [KEY])
    assert found.content
    whole = ion.reader._as_json(ion.reader._Answer((found,)))
    assert ion.reader._understood(whole).judged == (found,)
    nameless = found.content.summary._replace(customer_name="Ana\0")
    for other in (replace(found.content, sha256="0" * 64), replace(found.content, summary=nameless)):
        with pytest.raises(ValueError, match="an order that is none"):
            ion.reader._understood(ion.reader._as_json(ion.reader._Answer((replace(found, content=other),))))


def test_an_order_that_the_database_refuses_is_quarantined_and_the_others_go_on(any_store: Store) -> None:
    # PostgreSQL's index takes no key of this length; SQLite's does.
    long = small_order().model_copy(update={"order_number": secrets.token_hex(2500)})
    received(any_store, rendered(long).raw)
    received(any_store, rendered(full_order()).raw)
    worker = Worker(any_store, keys_for)
    worker.run_once()
    worker.close()
    states = [state for (state,) in table_of(any_store, "SELECT state FROM message ORDER BY id")]
    assert states in (["read", "read"], ["quarantined", "read"])
    assert (states[0] == "quarantined") == (any_store.folder is None)


@pytest.mark.long
def test_a_halted_child_is_given_up() -> None:
    """One that gets no signal of its own: the parent's clock ends it."""
    reader = Reader(1, read_oddly)
    reader.start(NEVER)
    assert reader._process is not None and reader._process.pid is not None
    os.kill(reader._process.pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(ReadFailedError, match="took longer"):
        reader.read(b"x" * 4_000_000, [], NEVER)  # more than a pipe holds
    assert time.monotonic() - began < 6
    assert reader.read(b"Subject: x\r\n\r\n", [], NEVER) == ()
    reader.close()


def test_the_child_has_none_of_the_settings(odd: Worker, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ION_RELAY_PASSWORD", "secret")
    received(store, b"environment")
    odd.run_once()
    assert table_of(store, "SELECT last_error FROM message") == [("reading raised environment",)]


def test_the_second_run_of_a_message_is_alone_in_a_new_child(odd: Worker, store: Store, tmp_path: Path) -> None:
    named = b" " + os.fsencode(tmp_path / "pids")
    for raw in (b"pid" + named, b"pid" + named + b" 2", b"pid-die" + named, b"pid" + named + b" 3"):
        received(store, raw)
    odd.run_once()
    pids = (tmp_path / "pids").read_text().split()
    assert [pids.index(pid) for pid in pids] == [0, 0, 0, 3, 4]  # three in one child, one after it died, then alone
    assert store.counts()["quarantined"] == 1


@pytest.mark.long
def test_what_waits_behind_messages_that_hang_is_read_within_ten_seconds(store: Store) -> None:
    """With as many readers as there are at least: behind a first run, and while a second run and another first one are
    under way."""
    timeout = Settings(data_dir=Path("/nowhere")).read_timeout_seconds
    worker = Worker(store, keys_for, timeout_seconds=timeout, readers=2, read=read_oddly)
    end = running(worker)
    try:
        time.sleep(1)
        for number, raw in enumerate((b"hang", b"burn")):
            received(store, raw)
            worker.notify()
            time.sleep(0.2)
            received(store, rendered(small_order().model_copy(update={"order_number": str(number)})).raw)
            worker.notify()
            assert until(partial(has_orders, store, number + 1), 30) < 10
            assert store.counts()["quarantined"] <= number
        until(lambda: store.counts()["quarantined"] == 2, 60)
    finally:
        end()
    assert store.check()["problems"] == []


def test_one_message_that_cannot_be_stored_fails_alone(store: Store) -> None:
    """In one group with others, on its own savepoint."""
    ids = [received(store, f"Subject: {number}\r\n\r\n".encode()) for number in range(3)]
    claims = store.claim_messages(3, 60)
    orders = [small_order().model_copy(update={"order_number": str(number)}) for number in range(3)]
    judgements = [judged(order) for order in orders]
    tokens = [one.claim_token for one in claims]
    group = [
        ReadMessage(ids[0], "default", tokens[0], [judgements[0]]),
        ReadMessage(ids[1], "default", tokens[1], [judgements[1], judged(orders[1], "no such grade")]),
        ReadMessage(ids[2], "default", "another token", [judgements[2]]),
    ]
    stored, refused, lost = store.store_judgements(group)
    assert not isinstance(stored, Exception) and [one.state for one in stored] == ["applied"]
    assert isinstance(refused, StoreError) and not isinstance(refused, ClaimLostError)
    assert isinstance(lost, ClaimLostError)
    assert [one.order for one in store.orders_for_export()] == [orders[0]]
    assert (store.counts()["read"], store.counts()["claimed"]) == (1, 2)
    assert store.check()["problems"] == []


def test_a_lease_that_ran_out_is_claimed_again_and_the_first_claim_is_worth_nothing(store: Store) -> None:
    received(store, rendered(small_order()).raw)
    (first,) = store.claim_messages(1, 0.01)
    time.sleep(0.05)
    worker = Worker(store, keys_for)
    assert worker.run_once() == 1
    worker.close()
    with pytest.raises(ClaimLostError):
        store.store_judgement(first.id, first.claim_token, [judged(small_order())])
    assert len(list(store.orders_for_export())) == 1


def test_two_workers_on_one_store_read_each_message_once(store: Store) -> None:
    for number in range(40):
        received(store, rendered(small_order().model_copy(update={"order_number": str(number)})).raw)
    workers = [Worker(store, keys_for, readers=2) for _ in range(2)]
    ends = [running(worker) for worker in workers]
    try:
        until(partial(has_orders, store, 40), 60)
    finally:
        for end in ends:
            end()
    assert table_of(store, "SELECT DISTINCT attempts, state FROM message") == [(1, "read")]
    assert table_of(store, "SELECT DISTINCT state FROM notification") == [("applied",)]


def test_a_message_that_fails_once_is_read(odd: Worker, store: Store, tmp_path: Path) -> None:
    received(store, b"die-once " + os.fsencode(tmp_path / "died"))
    assert odd.run_once() == 2
    assert store.counts()["ignored"] == 1


@pytest.mark.long
@pytest.mark.parametrize("failing", ["keys", "store"])
def test_trouble_around_the_reading_puts_the_message_back(
    failing: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = True

    def keys(merchant: str) -> Sequence[Key]:
        if broken and failing == "keys":
            raise SettingError("the key file cannot be read")
        return [KEY]

    judge = store.store_judgements

    def store_judgements(*arguments: Any) -> Any:
        if broken and failing == "store":
            raise StoreError("disk full")
        return judge(*arguments)

    monkeypatch.setattr(store, "store_judgements", store_judgements)
    worker = Worker(store, keys)
    received(store, rendered(small_order()).raw)
    assert worker.run_once() == 1
    assert store.counts()["retry"] == 1
    assert worker.run_once() == 0
    broken = False
    until(lambda: worker.run_once() == 1)
    assert len(list(store.orders_for_export())) == 1
    assert table_of(store, "SELECT attempts, failures, last_error FROM message") == [(2, 0, None)]
    worker.close()


@pytest.mark.long
def test_a_worker_that_cannot_claim_goes_on_when_it_can(
    worker: Worker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise StoreError("database is locked")

    received(store, rendered(small_order()).raw)
    with monkeypatch.context() as patched:
        patched.setattr(store, "claim_messages", fail)
        end = running(worker)
        time.sleep(1.5)
    try:
        until(lambda: list(store.orders_for_export()))
    finally:
        end()


def test_a_group_that_could_not_be_ended_does_not_end_the_worker(
    worker: Worker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends, failed = worker._end, threading.Event()

    def fail_once(*group: Any) -> None:
        if failed.is_set():
            return ends(*group)
        failed.set()
        raise ZeroDivisionError

    monkeypatch.setattr(worker, "_end", fail_once)
    end = running(worker)
    try:
        received(store, rendered(small_order()).raw)
        worker.notify()
        assert failed.wait(60)
        received(store, rendered(full_order()).raw)
        worker.notify()
        until(lambda: has_orders(store, 1))
    finally:
        end()


def test_stopping_finishes_a_message_under_way(odd: Worker, store: Store) -> None:
    received(store, b"slow")
    end = running(odd)
    until(lambda: store.counts()["claimed"])
    end()
    assert store.counts()["ignored"] == 1


@pytest.mark.long
def test_stopping_gives_a_message_back_that_takes_too_long(store: Store) -> None:
    worker = Worker(store, keys_for, timeout_seconds=60, read=read_oddly)
    received(store, b"hang")
    end = running(worker)
    until(lambda: store.counts()["claimed"])
    time.sleep(1)
    began = time.monotonic()
    end()
    assert time.monotonic() - began < 10
    assert store.counts()["received"] == 1
    assert table_of(store, "SELECT attempts, failures FROM message") == [(0, 0)]


@pytest.mark.long
def test_several_readers_share_the_work_and_one_that_hangs_holds_up_nobody(store: Store) -> None:
    worker = Worker(store, keys_for, timeout_seconds=4, readers=2, read=read_oddly)
    received(store, b"hang")
    for number in range(6):
        received(store, rendered(small_order().model_copy(update={"order_number": str(number)})).raw)
    end = running(worker)
    try:
        until(lambda: len(list(store.orders_for_export())) == 6)
        assert store.counts()["quarantined"] == 0
        until(lambda: store.counts()["quarantined"] == 1)
    finally:
        end()


def test_a_child_is_replaced_after_many_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CHILD_MESSAGES > 100
    monkeypatch.setattr("ion.reader.CHILD_MESSAGES", 2)
    reader = Reader(30, read_message)
    pids = []
    for _ in range(5):
        reader.start(NEVER)
        assert reader._process is not None
        pids.append(reader._process.pid)
        assert reader.read(b"Subject: x\r\n\r\n", [], NEVER) == ()
    reader.close()
    assert [pids.index(pid) for pid in pids] == [0, 0, 2, 2, 4]


@pytest.mark.long
def test_a_child_ends_with_its_parent() -> None:
    program = (
        "import os, signal, threading; from ion.reader import Reader; from ion.reading import Problem, read_message\n"
        "reader = Reader(30, read_message); reader.start(threading.Event())\n"
        "print(reader._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=60)
    pid = int(done.stdout)

    def gone() -> bool:
        status = Path(f"/proc/{pid}/status")
        return not status.exists() or "State:\tZ" in status.read_text()

    until(gone, 10)
