"""Fetching by IMAP from real servers: what is stored, what is left behind on the server, and what never happens."""

import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from ion.config_imap import ImapAccount
from ion.errors import StoreError, UnknownMerchantError, UnreachableError
from ion.inbox import Fetched, ImapFetcher, ImapFetchers, imap, imap_session
from ion.inbox.imap_session import FolderError, ImapSession, MessageRefusedError
from ion.inbox.oauth import SignInRefusedError
from ion.store import CursorMovedError, ImapAccountState, ImapCursor, NewMessage, SkippedMessage, Store
from tests.imap_proxy import Fault, Proxy
from tests.imap_servers import HOST, PASSWORD, Server
from tests.programs import missing, program
from tests.stores import sqlite_store as store
from tests.stores import store as any_store
from tests.stores import table_of

__all__ = ["any_store", "store"]

LIMIT = 50_000


@pytest.fixture
def user() -> str:
    return uuid.uuid4().hex


def mail(number: int | str, size: int = 0) -> bytes:
    return f"Subject: {number} {uuid.uuid4()}\r\n\r\n{'x' * size}\r\n".encode()


def account(server: Server | Proxy, user: str, **settings: Any) -> ImapAccount:
    given = {"name": "shop", "host": HOST, "port": server.port, "security": "none", "user": user, "password": PASSWORD}
    return ImapAccount(**given | settings)


def fetch(store: Store, account: ImapAccount) -> Fetched:
    return ImapFetcher(store, account, max_message_bytes=LIMIT).fetch_once()


def kept(store: Store) -> list[bytes]:
    return [bytes(row[0]) for row in table_of(store, "SELECT raw FROM message_raw ORDER BY message_id")]


def state_of(store: Store) -> tuple[str, str | None]:
    status = store.imap_account_status("shop")
    assert status is not None
    return status.state.value, status.reason


# The servers of the tests


@pytest.mark.long
@pytest.mark.parametrize("server", ["running_dovecot()", "pymap_server(Path(sys.argv[1]))"])
def test_a_server_ends_with_the_program_that_started_it(server: str, tmp_path: Path) -> None:
    program("dovecot" if shutil.which("dovecot") else "/usr/sbin/dovecot")
    if sys.platform != "linux":
        missing("Linux, which tells a process that its parent died")
    starts_it = (
        "import sys; from pathlib import Path; from tests.imap_servers import running_dovecot, pymap_server\n"
        f"with {server} as server: print(server.port, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", starts_it, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        port = int(starter.stdout.readline())
        socket.create_connection((HOST, port), timeout=60).close()
        starter.kill()

    def has_ended() -> bool:
        try:
            socket.create_connection((HOST, port), timeout=60).close()
        except OSError:
            return True
        return False

    until(has_ended)


# What is stored


@pytest.mark.parametrize("kind", ["dovecot", pytest.param("pymap", marks=pytest.mark.long)])
def test_each_message_is_stored_once_as_it_is_for_the_accounts_merchant(
    kind: str, store: Store, user: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(kind)
    folder = f"orders-{user}"
    user = user if kind == "dovecot" else "pymap"
    store.create_merchant("shop", domain="x.example")
    server.create(user, folder)
    mails = [mail(number) for number in range(3)] + [b"Subject: 8-bit\r\n\r\n\xff\x00\xc3\xbc {17}\r\n) FETCH\r\n"]
    mails[3] = mails[3].replace(b"\x00", b"")  # a literal cannot hold NUL (RFC 3501, 4.3)
    server.deliver(user, mails, folder)
    shop = account(server, user, folders=[folder], merchant="shop", window=2)
    assert fetch(store, shop) == Fetched(new=4)
    assert fetch(store, shop) == Fetched()
    assert kept(store) == mails
    assert set(table_of(store, "SELECT merchant, door, mail_from, rcpt_to FROM message")) == {
        ("shop", "imap", None, "shop")
    }
    assert state_of(store) == ("ok", None)
    server.deliver(user, [late := mail("late")], folder)
    assert fetch(store, shop) == Fetched(new=1)
    assert kept(store) == [*mails, late]


def test_a_message_that_stands_in_two_folders_is_stored_once(store: Store, user: str, dovecot: Server) -> None:
    dovecot.create(user, "All")
    dovecot.deliver(user, [one := mail(1)])
    dovecot.deliver(user, [one, two := mail(2)], "All")
    assert fetch(store, account(dovecot, user, folders=["INBOX", "All"])) == Fetched(new=2, known=1)
    assert sorted(kept(store)) == sorted([one, two])


def test_a_folder_is_named_as_people_write_it(store: Store, user: str, dovecot: Server) -> None:
    from imap_tools.utils import encode_folder

    client = dovecot.client(user)
    client.create(encode_folder('Aufträge "neu" & Übersee'))  # type: ignore[arg-type]
    client.append(encode_folder('Aufträge "neu" & Übersee'), None, None, mail(1))  # type: ignore[arg-type]
    client.logout()
    assert fetch(store, account(dovecot, user, folders=['Aufträge "neu" & Übersee'])) == Fetched(new=1)


# What is left on the server


def test_with_leave_nothing_on_the_server_changes(store: Store, user: str, dovecot: Server) -> None:
    dovecot.deliver(user, [mail(1), mail(2)])
    fetch(store, account(dovecot, user))
    # Not even \Recent, which a SELECT would take away.
    assert [("Seen" in flags, "Recent" in flags) for flags in dovecot.flags(user)] == [(False, True)] * 2


def test_with_flag_what_is_stored_is_marked_as_read(store: Store, user: str, dovecot: Server) -> None:
    dovecot.deliver(user, [mail(1), mail(2, LIMIT), mail(3)])
    assert fetch(store, account(dovecot, user, after="flag")) == Fetched(new=2, skipped=1)
    assert [r"\Seen" in flags for flags in dovecot.flags(user)] == [True, False, True]


@pytest.mark.parametrize("kind", ["dovecot", pytest.param("pymap", marks=pytest.mark.long)])
def test_with_move_what_is_stored_is_moved(kind: str, store: Store, user: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(kind)
    folder, done = f"orders-{user}", f"done-{user}"
    user = user if kind == "dovecot" else "pymap"
    server.create(user, folder, done)
    server.deliver(user, [mail(1), mail(2, LIMIT), mail(3)], folder)
    shop = account(server, user, folders=[folder], after=f"move:{done}")
    assert fetch(store, shop) == Fetched(new=2, skipped=1)
    assert (len(server.flags(user, folder)), len(server.flags(user, done))) == (1, 2)
    assert fetch(store, shop) == Fetched()


@pytest.mark.parametrize("missing", [{"MOVE"}, {"MOVE", "UIDPLUS"}])
def test_a_server_without_move_keeps_what_others_marked_as_deleted(
    missing: set[str], store: Store, user: str, dovecot: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    dovecot.create(user, "Done")
    dovecot.deliver(user, [mail("theirs", LIMIT), mail(1), mail(2)])
    client = dovecot.client(user)
    client.select()
    client.store("1", "+FLAGS", r"(\Deleted)")
    client.logout()
    sign_in = ImapSession._sign_in

    def without(session: ImapSession, token: str | None) -> None:
        sign_in(session, token)
        session._client.capabilities = tuple(set(session._client.capabilities) - missing)

    monkeypatch.setattr(ImapSession, "_sign_in", without)
    shop = account(dovecot, user, after="move:Done")
    assert fetch(store, shop) == Fetched(new=2, skipped=1)
    assert fetch(store, shop) == Fetched()
    assert len(dovecot.flags(user, "Done")) == 2
    assert len(dovecot.flags(user)) == (3 if "UIDPLUS" in missing else 1)


def test_where_messages_cannot_be_moved_they_are_stored_and_the_state_tells_it(
    store: Store, user: str, dovecot: Server
) -> None:
    dovecot.deliver(user, [mail(1), mail(2)])
    shop = account(dovecot, user, after="move:Done", window=1)
    with pytest.raises(FolderError, match=r"unmoved.*MOVE.*TRYCREATE"):
        fetch(store, shop)
    assert len(kept(store)) == 2
    assert state_of(store)[0] == "failing"
    dovecot.create(user, "Done")
    assert fetch(store, shop) == Fetched()
    assert (dovecot.flags(user), len(dovecot.flags(user, "Done"))) == ([], 2)
    assert state_of(store) == ("ok", None)


# What must not be passed over, and what must be


def test_a_message_that_cannot_be_stored_stops_the_cursor_before_it_and_stays_unread(
    store: Store, user: str, dovecot: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails = [mail(number) for number in range(4)]
    dovecot.deliver(user, mails)
    shop = account(dovecot, user, after="flag")
    pass_message = store.pass_imap_message

    def full(cursor: ImapCursor, uid: int, **also: Any) -> Any:
        if uid == 3:
            raise StoreError("the database refused: OperationalError: database or disk is full")
        return pass_message(cursor, uid, **also)

    with monkeypatch.context() as patched:
        patched.setattr(store, "pass_imap_message", full)
        with pytest.raises(StoreError):
            fetch(store, shop)
    assert kept(store) == mails[:2]
    assert not any(r"\Seen" in flags for flags in dovecot.flags(user)[2:])
    assert fetch(store, shop) == Fetched(new=2)
    assert kept(store) == mails
    assert all(r"\Seen" in flags for flags in dovecot.flags(user))


def test_a_message_over_the_limit_is_told_and_blocks_nothing(store: Store, user: str, dovecot: Server) -> None:
    dovecot.deliver(user, [mail(1), mail("big", LIMIT), last := mail(2)])
    assert fetch(store, account(dovecot, user)) == Fetched(new=2, skipped=1)
    assert kept(store)[-1] == last
    (skipped,) = store.skipped_imap_messages("shop", "INBOX")
    assert (skipped.uid, skipped.reason) == (2, imap.TOO_LARGE)
    assert skipped.size_bytes is not None and skipped.size_bytes > LIMIT


def test_a_message_larger_than_the_server_says_is_not_read_into_memory_and_blocks_nothing(
    store: Store, user: str, dovecot: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    dovecot.deliver(user, [mail(1), mail("big", LIMIT), mail(2)])
    listed = ImapSession.listed
    monkeypatch.setattr(
        ImapSession,
        "listed",
        lambda session, uids: {
            uid: imap_session.Listed(uid, 10, one.mark) for uid, one in listed(session, uids).items()
        },
    )
    shop = account(dovecot, user)
    with pytest.raises(imap_session.MessageTooLargeError):
        fetch(store, shop)
    assert fetch(store, shop) == Fetched(new=1)
    assert [one.uid for one in store.skipped_imap_messages("shop", "INBOX")] == [2]


def test_a_message_the_server_does_not_give_blocks_only_itself(
    store: Store, user: str, dovecot: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap, "ASK_AGAIN_SECONDS", (0.01, 0.01))
    mails = [mail(number) for number in range(3)]
    dovecot.deliver(user, mails)
    octets, asked = ImapSession.octets, []

    def refused(session: ImapSession, told: imap_session.Listed) -> bytes | None:
        asked.append(told.uid)
        if told.uid != 2:
            return octets(session, told)
        raise MessageRefusedError("the server does not give a message [SERVERBUG]")

    monkeypatch.setattr(ImapSession, "octets", refused)
    assert fetch(store, account(dovecot, user)) == Fetched(new=2, skipped=1)
    assert asked == [1, 2, 2, 2, 3]
    assert kept(store) == [mails[0], mails[2]]
    assert store.skipped_imap_messages("shop", "INBOX")[0].reason == imap.NOT_GIVEN


@pytest.mark.parametrize("after", ["leave", "flag", "move:done"])
def test_what_was_passed_over_is_stored_once_it_is_given_and_forgotten_once_it_is_gone(
    after: str, store: Store, user: str, dovecot: Server
) -> None:
    dovecot.create(user, "done")
    dovecot.deliver(user, [mail(1), large := mail("large", LIMIT), mail("gone", LIMIT), mail(2)])
    shop = account(dovecot, user, after=after)
    assert fetch(store, shop) == Fetched(new=2, skipped=2)
    assert ImapFetcher(store, shop, max_message_bytes=LIMIT).fetch_skipped() == Fetched(skipped=2)
    client = dovecot.client(user)
    client.select("INBOX")
    client.uid("STORE", "3", "+FLAGS", r"(\Deleted)")
    client.expunge()
    client.logout()
    assert ImapFetcher(store, shop, max_message_bytes=2 * LIMIT).fetch_skipped() == Fetched(new=1, gone=1)
    assert kept(store)[2:] == [large]
    assert store.skipped_imap_messages("shop", "INBOX") == ()
    left, done = dovecot.flags(user), dovecot.flags(user, "done")
    assert (len(left), len(done)) == ((0, 3) if after == "move:done" else (3, 0))
    assert [r"\Seen" in flags for flags in left] == [after == "flag"] * len(left)
    assert fetch(store, shop) == Fetched()


@pytest.mark.parametrize("says", ["no", "nothing"])
def test_where_nothing_behind_a_message_is_given_either_the_cursor_stays(
    says: str, store: Store, user: str, dovecot: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap, "ASK_AGAIN_SECONDS", (0.01,))
    mails = [mail(number) for number in range(3)]
    dovecot.deliver(user, mails)
    octets = ImapSession.octets

    def refused(session: ImapSession, told: imap_session.Listed) -> bytes | None:
        if told.uid == 1:
            return octets(session, told)
        if says == "no":
            raise MessageRefusedError("no")
        return None

    shop = account(dovecot, user, after="flag")
    with monkeypatch.context() as patched:
        patched.setattr(ImapSession, "octets", refused)
        with pytest.raises(MessageRefusedError):
            fetch(store, shop)
    assert [r"\Seen" in flags for flags in dovecot.flags(user)] == [True, False, False]
    assert fetch(store, shop) == Fetched(new=2)
    assert kept(store) == mails


def test_a_message_that_has_moved_since_it_was_listed_is_no_error(
    store: Store, user: str, dovecot: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    dovecot.deliver(user, [mail(1), mail(2), mail(3)])
    listed = ImapSession.listed

    def then_deleted(session: ImapSession, uids: Any) -> Any:
        found = listed(session, uids)
        if found:
            client = dovecot.client(user)
            client.select()
            client.uid("STORE", "2", "+FLAGS", r"(\Deleted)")
            client.expunge()
            client.logout()
        return found

    monkeypatch.setattr(ImapSession, "listed", then_deleted)
    assert fetch(store, account(dovecot, user)) == Fetched(new=2)
    assert store.imap_cursors("shop")[0].last_uid == 3


def test_answers_that_nobody_asked_for_in_between_confuse_nothing() -> None:
    data = [
        b"7 (FLAGS (\\Seen) UID 70)",
        (b"1 (UID 5 BODY[] {7}", b"a {9}\r\n"),
        b" FLAGS (\\Recent))",
        b"8 (FLAGS () UID 80)",
        (b"2 (BODY[] {3}", b"abc"),
        b" UID 6)",
        None,
    ]
    assert [(text, literal) for text, literal in imap_session._fetched(data) if b"BODY" in text] == [
        (b"1 (UID 5 BODY[] {7} FLAGS (\\Recent))", b"a {9}\r\n"),
        (b"2 (BODY[] {3} UID 6)", b"abc"),
    ]


# Numbers that the server gives anew


def test_a_folder_made_anew_is_fetched_from_its_beginning_and_nothing_is_doubled(
    store: Store, user: str, dovecot: Server
) -> None:
    mails = [mail(number) for number in range(3)]
    dovecot.create(user, "Orders")
    dovecot.deliver(user, mails, "Orders")
    shop = account(dovecot, user, folders=["Orders"])
    fetch(store, shop)
    before = store.imap_cursors("shop")[0].uidvalidity
    client = dovecot.client(user)
    client.delete("Orders")
    client.logout()
    dovecot.create(user, "Orders")
    dovecot.deliver(user, [new := mail("new"), *mails], "Orders")
    assert fetch(store, shop) == Fetched(new=1, known=3)
    assert store.imap_cursors("shop")[0].uidvalidity != before
    assert sorted(kept(store)) == sorted([*mails, new])


@pytest.mark.parametrize(
    ("after", "added"),
    [
        *(("leave", 5), ("flag", 1), ("move:Done", 3)),
        *(
            pytest.param(after, added, marks=pytest.mark.long)
            for after, added in [
                ("leave", 1),
                ("leave", 3),
                ("flag", 3),
                ("flag", 5),
                ("move:Done", 1),
                ("move:Done", 5),
            ]
        ),
    ],
)
def test_a_mailbox_restored_from_a_copy_loses_nothing_that_comes_after(
    after: str, added: int, store: Store, user: str, dovecot: Server
) -> None:
    """The numbers of what came after the copy are given once more, under the same UIDVALIDITY."""
    import shutil

    assert dovecot.root is not None
    box, copy = dovecot.root / user, dovecot.root / f"{user}.copy"
    dovecot.create(user, "Done")
    early, late = [mail("early") for _ in range(2)], [mail("late") for _ in range(3)]
    dovecot.deliver(user, early)
    shop = account(dovecot, user, after=after)
    fetch(store, shop)
    shutil.copytree(box, copy)
    dovecot.deliver(user, late)
    assert fetch(store, shop) == Fetched(new=3)
    shutil.rmtree(box)
    shutil.copytree(copy, box)
    _own(box)
    # Another INTERNALDATE, as it has in life; it counts seconds.
    dovecot.deliver(user, anew := [mail("anew") for _ in range(added)], date='"01-Nov-2026 10:00:00 +0100"')
    done = fetch(store, shop)
    assert done.new == added
    assert sorted(kept(store)) == sorted([*early, *late, *anew])
    assert fetch(store, shop) == Fetched()


def _own(box: Path) -> None:
    """Give the restored mailbox to whom it belonged."""
    import os

    if os.getuid() == 0:
        import shutil

        for path in (box, *box.rglob("*")):
            shutil.chown(path, "nobody", "nogroup")


def test_an_account_that_names_another_mailbox_or_merchant_begins_anew(
    store: Store, user: str, dovecot: Server
) -> None:
    store.create_merchant("other", domain="x.example")
    dovecot.deliver(user, [mail(1), mail(2)])
    assert fetch(store, account(dovecot, user)) == Fetched(new=2)
    assert fetch(store, account(dovecot, user, merchant="other")) == Fetched(new=2)
    assert table_of(store, "SELECT merchant, count(*) FROM message GROUP BY merchant ORDER BY merchant") == [
        ("default", 2),
        ("other", 2),
    ]


# Signing in


def test_a_wrong_password_is_a_state_of_the_account(store: Store, user: str, dovecot: Server) -> None:
    with pytest.raises(SignInRefusedError, match="AUTHENTICATIONFAILED"):
        fetch(store, account(dovecot, user, password="another one"))
    state, reason = state_of(store)
    assert state == "refused" and reason is not None and user not in reason


def test_an_unknown_merchant_is_a_state_of_the_account(store: Store, user: str, dovecot: Server) -> None:
    with pytest.raises(UnknownMerchantError):
        fetch(store, account(dovecot, user, merchant="nobody"))
    assert state_of(store)[0] == "refused"


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_certificate_that_is_not_trusted_ends_it_before_the_password_is_sent(
    security: str, store: Store, user: str, dovecot: Server
) -> None:
    port = dovecot.tls_port if security == "tls" else dovecot.port
    dovecot.deliver(user, [mail(1)])
    with pytest.raises(UnreachableError, match="certificate"):
        fetch(store, account(dovecot, user, security=security, port=port))
    trusted = account(dovecot, user, security=security, port=port, tls_ca_file=dovecot.certificate)
    assert fetch(store, trusted) == Fetched(new=1)


def test_a_server_without_starttls_gets_no_password(store: Store, pymap: Server) -> None:
    with Proxy(pymap.port) as proxy:
        with pytest.raises(UnreachableError):
            fetch(store, account(proxy, "pymap", security="starttls"))
        assert not any(b"AUTH" in line or b"LOGIN" in line for line in proxy.lines)


# While the program serves


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap, "BROKEN_OFF", (0.05, 0.2))
    monkeypatch.setattr(imap, "THROTTLED", (0.05, 0.2))
    monkeypatch.setattr(imap, "LEAST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(imap_session, "STOP_CHECK_SECONDS", 0.05)


def until(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_new_mail_is_fetched_at_the_servers_hint_long_before_the_next_round(
    store: Store, user: str, dovecot: Server, quick: None
) -> None:
    received = threading.Event()
    shop = account(dovecot, user, round_seconds=600)
    fetchers = ImapFetchers(store, [shop], max_message_bytes=LIMIT, on_received=received.set)
    fetchers.start()
    try:
        until(lambda: store.imap_account_status("shop"))
        for number in range(3):
            received.clear()
            dovecot.deliver(user, [mail(number)])
            assert received.wait(60)
    finally:
        fetchers.stop()
    assert len(kept(store)) == 3


def test_mail_that_comes_between_the_last_look_and_the_wait_is_fetched_at_once(
    store: Store, user: str, dovecot: Server, quick: None
) -> None:
    """It is told in one packet with the beginning of the wait."""
    late = mail("late")
    with Proxy(dovecot.port) as proxy:

        def deliver() -> None:
            dovecot.deliver(user, [late])
            proxy.together = b" EXISTS\r\n"

        proxy.before[b" IDLE"] = deliver
        fetchers = ImapFetchers(store, [account(proxy, user, round_seconds=1500)], max_message_bytes=LIMIT)
        fetchers.start()
        try:
            until(lambda: kept(store) == [late])
        finally:
            fetchers.stop()


def test_mail_that_comes_to_the_first_folder_while_another_is_fetched_is_fetched_at_once(
    store: Store, user: str, dovecot: Server, quick: None
) -> None:
    late = mail("late")
    dovecot.create(user, "second")
    with Proxy(dovecot.port) as proxy:
        proxy.before[b"second"] = lambda: dovecot.deliver(user, [late])
        shop = account(proxy, user, folders=["INBOX", "second"], round_seconds=1500)
        fetchers = ImapFetchers(store, [shop], max_message_bytes=LIMIT)
        fetchers.start()
        try:
            until(lambda: kept(store) == [late])
            until(lambda: any(b" IDLE" in line for line in proxy.lines))  # and then it waits
        finally:
            fetchers.stop()


def test_a_server_that_hangs_up_on_waiting_is_asked_again_only_when_it_is_due(
    store: Store, user: str, dovecot: Server, quick: None
) -> None:
    """A connection a server ends while nothing happens is no reason to sign in again and again."""
    with Proxy(dovecot.port) as proxy:
        shop = account(proxy, user, round_seconds=600)
        fetchers = ImapFetchers(store, [shop], max_message_bytes=LIMIT)
        fetchers.start()
        try:
            until(lambda: any(b"IDLE" in line for line in proxy.lines))
            for sock in list(proxy._open):
                from tests.imap_proxy import _end

                _end(sock)
            time.sleep(0.4)
            assert proxy.connections == 1
        finally:
            fetchers.stop()


def test_stopping_does_not_wait_for_a_server_that_says_nothing(
    store: Store, user: str, dovecot: Server, quick: None
) -> None:
    with Proxy(dovecot.port) as proxy:
        proxy.set(Fault("black-hole", 4))
        fetchers = ImapFetchers(store, [account(proxy, user)], max_message_bytes=LIMIT)
        fetchers.start()
        assert proxy.fired.wait(60)
        fetchers.stop()
        assert not any(thread.is_alive() for thread in fetchers._threads)


def test_an_account_in_trouble_holds_up_no_other(store: Store, user: str, dovecot: Server, quick: None) -> None:
    dovecot.deliver(user, [mail(1)])
    with Proxy(dovecot.port) as proxy:
        proxy.set(Fault("black-hole", 0))
        hung = account(proxy, user, name="hung")
        fetchers = ImapFetchers(store, [hung, account(dovecot, user)], max_message_bytes=LIMIT)
        fetchers.start()
        try:
            until(lambda: len(kept(store)) == 1)
        finally:
            fetchers.stop()


def test_pauses_grow_with_jitter_to_at_most_a_quarter_of_an_hour(store: Store, user: str) -> None:
    fetcher = ImapFetcher(store, account(Server(1), user), max_message_bytes=LIMIT)
    for kind in (imap.BROKEN_OFF, imap.THROTTLED, imap.REFUSED):
        first, longest = kind
        pauses = [fetcher._growing(kind) for _ in range(40)]
        assert first / 2 <= pauses[0] <= first
        assert all(longest / 2 <= pause <= longest <= 900 for pause in pauses[12:])
        assert len(set(pauses[12:])) > 20


@pytest.mark.parametrize(
    ("error", "first_pause", "state"),
    [
        (UnreachableError("x"), imap.BROKEN_OFF[0], ImapAccountState.FAILING),
        (StoreError("x"), imap.BROKEN_OFF[0], ImapAccountState.FAILING),
        (RuntimeError("x"), imap.BROKEN_OFF[0], ImapAccountState.FAILING),
        (imap_session.ThrottledError("x"), imap.THROTTLED[0], ImapAccountState.FAILING),
        (SignInRefusedError("x"), imap.REFUSED[0], ImapAccountState.REFUSED),
        (FolderError("x"), 120, ImapAccountState.FAILING),  # the other folders are looked into at the usual times
    ],
)
def test_each_kind_of_trouble_has_its_state_and_pause(
    error: Exception, first_pause: float, state: ImapAccountState, store: Store, user: str
) -> None:
    fetcher = ImapFetcher(store, account(Server(1), user, round_seconds=120), max_message_bytes=LIMIT)
    assert first_pause / 2 <= fetcher._failed(error) <= first_pause
    status = store.imap_account_status("shop")
    assert status is not None and (status.state, status.failures) == (state, 1)


def test_after_a_restart_a_server_is_left_alone_for_as_long_as_it_was_to_be(store: Store, user: str) -> None:
    store.imap_round_failed("shop", ImapAccountState.FAILING, "the server asks for a pause", 300)
    fetcher = ImapFetcher(store, account(Server(1), user), max_message_bytes=LIMIT)
    assert 290 < fetcher._pause_left() <= 300


# The store's side, on both kinds of database


def test_of_two_programs_that_fetch_one_folder_the_slower_stores_nothing(any_store: Store) -> None:
    first = any_store.imap_cursor("shop", "INBOX", "source", 7)
    second = any_store.imap_cursor("shop", "INBOX", "source", 7)
    message = NewMessage("default", "imap", b"one", None, "default")
    moved, added = any_store.pass_imap_message(first, 5, message=message, mark="then")
    assert added is not None and added.created
    with pytest.raises(CursorMovedError):
        any_store.pass_imap_message(second, 6, message=NewMessage("default", "imap", b"two", None, "default"))
    with pytest.raises(CursorMovedError):
        any_store.restart_imap_cursor(second)
    assert any_store.imap_cursor("shop", "INBOX", "source", 7) == moved
    assert any_store.check()["messages"]["received"] == 1


def test_a_cursor_begins_anew_with_new_numbers_and_forgets_what_was_skipped(any_store: Store) -> None:
    cursor = any_store.imap_cursor("shop", "INBOX", "source", 7)
    moved, added = any_store.pass_imap_message(cursor, 2**32 - 1, skipped=[SkippedMessage(9, None, "too large")])
    assert added is None
    assert any_store.finish_imap_messages(moved).done_uid == 2**32 - 1
    assert len(any_store.skipped_imap_messages("shop", "INBOX")) == 1
    assert any_store.imap_cursor("shop", "INBOX", "source", 8) == ImapCursor("shop", "INBOX", "source", 8)
    assert any_store.skipped_imap_messages("shop", "INBOX") == ()


def test_the_state_of_an_account_tells_since_when_and_how_often(any_store: Store) -> None:
    assert any_store.imap_account_status("shop") is None
    first = any_store.imap_round_failed("shop", ImapAccountState.FAILING, "no answer", 60)
    again = any_store.imap_round_failed("shop", ImapAccountState.FAILING, "no answer", 60)
    assert (again.failures, again.state_at, again.last_round_at) == (2, first.state_at, None)
    any_store.imap_round_succeeded("shop")
    status = any_store.imap_account_status("shop")
    assert status is not None
    assert (status.state, status.reason, status.failures, status.next_attempt_at) == ("ok", None, 0, None)
    assert status.last_round_at is not None
