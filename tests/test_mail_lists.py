"""Lists of mail, on both databases."""

from itertools import count
from typing import Any

from ion.store import NewMessage, Store
from ion.store.mail_lists import REASONS, why_waits
from ion.store.privacy import ERASED
from tests.orders import small_order
from tests.stores import Problem, an_address, judged

ORDER = small_order()
SUM, KEY = Problem("sum", "totals.total_customer", "x"), Problem("key", "proof.key_id", "x")
_NUMBERS = count(1)


def came(store: Store, *found: Any, merchant: str = "default") -> int:
    """The id of a message, and what was judged of it; without anything, one that cannot be read."""
    raw = f"Subject: {next(_NUMBERS)}\r\n\r\n".encode()
    added = store.add_message(NewMessage(merchant, "smtp", raw, "a@b.example", an_address(store, merchant)))
    (message,) = store.claim_messages(1, 60)
    if found:
        store.store_judgement(message.id, message.claim_token, found)
    else:
        store.quarantine_message(message.id, message.claim_token, "broken")
    return added.id


def one_of_each_reason(store: Store) -> dict[str, int]:
    """Messages by why they wait."""
    found = {
        "doubt": came(store, judged(ORDER, "review", problems=(SUM,))),
        "other_key": came(store, judged(ORDER, "review", problems=(KEY,))),
        "no_seal": came(store, judged(ORDER, "consistent")),
        "unread": came(store),
    }
    came(store, judged(ORDER))
    found["lost_seal"] = came(store, judged(ORDER, "consistent"))
    found["other_content"] = came(store, judged(ORDER.model_copy(update={"lines": ORDER.lines * 2})))
    found["erased"] = came(store, judged(ORDER, "consistent"))
    with store.writing() as connection:
        connection.exec_driver_sql(
            f"UPDATE notification SET state = 'held', reason = '{ERASED}' WHERE message_id = {found['erased']}"
        )
    return found


def test_the_database_knows_why_mail_waits_as_the_page_does(store: Store) -> None:
    expected = one_of_each_reason(store)
    assert expected.keys() == set(REASONS)
    assert store.count_waiting_by_reason("default") == dict.fromkeys(REASONS, 1)
    assert store.count_waiting_mail("default") == len(REASONS)
    for why, message_id in expected.items():
        assert [mail.id for mail in store.mail_page("default", "waiting", why=why)] == [message_id], why
        for one in store.shown_message(message_id).notifications:
            assert why_waits(one.state, one.grade, one.reason) == why


def test_mail_with_two_notifications_is_counted_once_for_each_reason(store: Store) -> None:
    doubtful = judged(ORDER, "review", problems=(SUM,))
    other = ORDER.model_copy(update={"order_number": "K-1"})
    came(store, doubtful, judged(other, "review", problems=(SUM,)), judged(other, "consistent"))
    assert store.count_waiting_by_reason("default") == {"no_seal": 1, "doubt": 1}
    assert store.count_waiting_mail("default") == 1


def test_the_mail_that_waits_before_and_after_one_is_the_nearest_of_the_merchant(store: Store) -> None:
    store.create_merchant("other", domain="mail.example")
    first, theirs, done, last = came(store), came(store, merchant="other"), came(store, judged(ORDER)), came(store)
    assert store.waiting_beside("default", done) == (first, last)
    assert store.waiting_beside("default", first) == (None, last)
    assert store.waiting_beside("other", theirs) == (None, None)


def test_a_number_finds_the_mail_of_that_id_and_those_of_that_order_of_this_merchant(store: Store) -> None:
    store.create_merchant("other", domain="mail.example")
    first = came(store)
    named = came(store, judged(ORDER.model_copy(update={"order_number": str(first)})))
    theirs = came(store, merchant="other")
    assert [mail.id for mail in store.mail_page("default", "all", number=str(first))] == [named, first]
    assert store.mail_page("default", "all", number=str(theirs)) == ()
    for number in ("9" * 10, "9" * 19, "9" * 200, "\u0663", "\u00b2", "0", ""):
        assert store.mail_page("default", "all", number=number) == (), number
