"""The first day of a merchant: the address, the steps, a code that a provider sends, a sample through the real door."""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ion.inbox import Listener
from ion.keys import key_ring
from ion.store import FirstSteps, NewMessage, Store
from ion.store.trust import doubt
from ion.web.start import STEPS
from ion.web.texts import LOCALES, Texts
from ion.web.visits import csrf_of
from ion.worker import Worker
from tests.batches import publish
from tests.imap_servers import free_port
from tests.orders import small_order
from tests.stores import claimed, judged
from tests.web import Site, site, text_of

GMAIL = (
    b"From: Gmail Team <forwarding-noreply@google.com>\r\nTo: %s\r\n"
    b"Subject: (#123456789) Gmail Forwarding Confirmation - Receive Mail from ana@gmail.example\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
    b"ana@gmail.example has requested to automatically forward mail to your email address\r\n%s.\r\n"
    b"Confirmation code: 123456789\r\n\r\n"
    b"https://mail-settings.google.com/mail/vf-%%5Babc%%5D-xyz\r\n"
)


@contextmanager
def listening(store: Store) -> Iterator[int]:
    """The real listener on a free port; which one."""
    listener = Listener(store, port=0)
    listener.start()
    try:
        yield listener.port
    finally:
        listener.stop()


def read_all(its: Site) -> None:
    with closing(Worker(its.store, key_ring(its.settings, its.store).keys_for)) as worker:
        worker.run_once()


def test_every_step_of_every_way_of_forwarding_has_its_text() -> None:
    for locale in LOCALES:
        texts = Texts(locale)
        for program, ways in STEPS.items():
            for way, count in ways.items():
                assert all(f"start.{program}_{way}_{number}" in texts for number in range(1, count + 1))
                assert f"start.{program}_{way}_{count + 1}" not in texts
        for step in ("mail", "confirmation", "order", "told", "file", "entered", "second_factor"):
            assert f"start.step.{step}" in texts


def test_the_page_shows_the_merchants_own_address_to_copy_and_nothing_done_yet(
    sqlite_store: Store, tmp_path: Path
) -> None:
    ana = site(tmp_path, sqlite_store).signed_in(default="staff")
    html = ana.get("/m/default/start").text
    (address,) = sqlite_store.merchant("default").addresses
    assert f'id="address">{address}<' in html and 'data-copy="#address"' in html
    assert "✓" not in html and "A first mail of yours has come" in html
    assert "A provider asked" not in html


def test_a_reader_and_somebody_of_another_merchant_do_not_see_it(sqlite_store: Store, tmp_path: Path) -> None:
    its = site(tmp_path, sqlite_store)
    sqlite_store.create_merchant("other", domain="mail.example")
    assert its.signed_in("eve", default="reader").get("/m/default/start").status_code == 403
    assert its.signed_in("bob", other="admin").get("/m/default/start").status_code == 404


def test_a_sample_goes_through_the_real_door_and_its_order_is_a_test(sqlite_store: Store, tmp_path: Path) -> None:
    with listening(sqlite_store) as port:
        its = site(tmp_path, sqlite_store, smtp_port=port)
        ana = its.signed_in(default="staff")
        sent = ana.post("/m/default/start/sample")
    assert sent.status_code == 303
    (number,) = parse_qs(urlsplit(sent.headers["location"]).query)["sample"]
    assert f"Sample {number} was taken" in ana.page("/m/default/start", sample=number)
    read_all(its)
    page = ana.page("/m/default/start", sample=number)
    assert f"Sample {number} was read" in page
    assert page.count("✓") == 1 and "✓ Mail gets through" in page  # a first mail and order come from outside
    assert [one.order.test for one in sqlite_store.orders_for_export(merchant="default", since=None)] == [True]
    assert sqlite_store.pending("default") == ()
    assert [event.what for event in sqlite_store.audit_events("default")] == ["sample sent"]


def test_a_sample_says_nothing_of_how_the_merchants_mail_is_sealed(sqlite_store: Store, tmp_path: Path) -> None:
    with listening(sqlite_store) as port:
        its = site(tmp_path, sqlite_store, smtp_port=port)
        its.signed_in(default="staff").post("/m/default/start/sample")
    read_all(its)
    with sqlite_store.reading() as connection:
        assert doubt(connection, "default", None) == ("held", "no seal")


def test_a_sample_that_cannot_be_sent_says_why(sqlite_store: Store, tmp_path: Path) -> None:
    port = free_port()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"smtp_port": 0}, "smtp_port is 0"),
        ({"smtp_port": port, "smtp_auth_required": True}, "smtp_auth_required"),
        ({"smtp_port": port, "smtp_host": "0.0.0.0"}, f"listener at 127.0.0.1:{port} does not take mail now"),
    ]
    for number, (settings, words) in enumerate(cases):
        ana = site(tmp_path, sqlite_store, **settings).signed_in(f"ana{number}", default="staff")
        answer = ana.post("/m/default/start/sample")
        assert answer.status_code == 409
        assert "The sample could not be sent" in text_of(answer.text) and words in text_of(answer.text)


def test_samples_are_sent_only_so_often(sqlite_store: Store, tmp_path: Path) -> None:
    its = site(tmp_path, sqlite_store, smtp_port=0)
    ana, ben = its.signed_in("ana", default="staff"), its.signed_in("ben", default="staff")
    assert [ana.post("/m/default/start/sample").status_code for _ in range(10)] == [409] * 10
    answer = ana.client.post(
        "/m/default/start/sample", data={"csrf": csrf_of(ana.token)}, headers={"accept-language": "de"}
    )
    assert answer.status_code == 429 and 0 < int(answer.headers["retry-after"]) <= 600
    assert "Das war zu oft in kurzer Zeit" in answer.text
    assert ben.post("/m/default/start/sample").status_code == 409


def test_the_list_ticks_itself_and_a_code_of_gmail_appears_with_its_link_as_text(
    sqlite_store: Store, tmp_path: Path
) -> None:
    its = site(tmp_path, sqlite_store)
    ana = its.signed_in(default="staff")
    (address,) = sqlite_store.merchant("default").addresses
    raw = GMAIL % (address.encode(), address.encode())
    sqlite_store.add_message(NewMessage("default", "smtp", raw, "forwarding-noreply@google.com", address))
    read_all(its)
    html = ana.get("/m/default/start").text
    assert re.search(r'id="code-\d+">123456789<', html)
    assert "Link to mail-settings.google.com" in text_of(html)
    assert 'href="https://mail-settings' not in html
    page = text_of(html)
    assert page.count("✓") == 3  # mail gets through, mail came, and the provider's question
    sqlite_store.subscribe("default", "ana@shop.example")
    assert ana.page("/m/default/start").count("✓") == 4


def test_a_sample_is_not_sent_by_a_reader_or_by_another_site(sqlite_store: Store, tmp_path: Path) -> None:
    its = site(tmp_path, sqlite_store)
    assert its.signed_in("eve", default="reader").post("/m/default/start/sample").status_code == 403
    ana = its.signed_in(default="staff")
    assert ana.client.post("/m/default/start/sample", data={"csrf": "x"}).status_code == 403


def test_what_an_address_of_the_page_says_is_shown_only_where_it_is_a_number_of_ours(
    sqlite_store: Store, tmp_path: Path
) -> None:
    ana = site(tmp_path, sqlite_store).signed_in(default="staff")
    assert "call 555" not in ana.page("/m/default/start", sample="ION-SAMPLE-call 555")


def test_first_steps_are_seen_as_they_are_taken_on_each_database(store: Store) -> None:
    def arrived(number: str, *, test: bool) -> None:
        order, message = small_order().model_copy(update={"order_number": number, "test": test}), claimed(store)
        store.store_judgement(message.id, message.claim_token, [judged(order)])

    nothing = FirstSteps(False, False, False, False, False, None)
    assert store.first_steps("default") == nothing
    arrived("ION-SAMPLE-00000001", test=True)
    arrived("ION-SAMPLE-00000002", test=True)
    sampled = store.first_steps("default")
    assert sampled.sample is not None and sampled.sample[1] == "ION-SAMPLE-00000002"
    assert replace(sampled, sample=None) == nothing
    with store.reading() as connection:
        assert doubt(connection, "default", None) == ("held", "no seal")
    arrived("IONXSAMPLEX1", test=False)
    store.mark_entered("default", "IONXSAMPLEX1", "7", by="ana", source="page")
    store.subscribe("default", "ana@shop.example")
    publish(store, b"file", "a.csv")
    assert store.first_steps("default") == FirstSteps(True, True, True, True, True, sampled.sample)
    with store.reading() as connection:
        assert doubt(connection, "default", None) == (
            "review",
            "no seal, but this merchant's mail has been sealed before",
        )
