"""A merchant's settings on the staff page: each section, who may change it, and what is said to what cannot be."""

import re
import socket
from pathlib import Path
from typing import Any

import pytest

from ion.config_imap import ImapAccount
from ion.errors import StoreError, UnreachableError
from ion.export.catalogue import catalogue_faults, read_catalogue
from ion.inbox.imap_check import check_account
from ion.keys import key_ring
from ion.store import KINDS, RULE_KINDS, SCOPES, NewMessage, Store
from ion.store.types import DeliveryState, ImapAccountState, SubscriptionState
from ion.web.settings import SECTIONS, section_path
from ion.web.settings_outgoing import TARGET_KINDS
from ion.web.texts import LOCALES, Texts
from tests.imap_servers import HOST, PASSWORD, Server, free_port
from tests.programs import IonHere
from tests.web import Browser, site, text_of

HOSTILE = "<script>alert(1)</script>\"'{{ t }}"
CSV = b"sku,name,weight\nA1,Red shirt,0.2\nA2,Blue shirt,0.25\n"


@pytest.fixture
def admin(sqlite_store: Store, tmp_path: Path) -> Browser:
    """The browser of who may change the settings of `default`, and nothing else."""
    sqlite_store.create_merchant("other", domain="mail.example")
    return site(tmp_path, sqlite_store).signed_in(default="admin")


def at(section: str, merchant: str = "default") -> str:
    return section_path(merchant, section)


def refused(answer: Any, words: str, status: int = 422) -> str:
    """The page that a refusal shows again."""
    assert answer.status_code == status, answer.text[:300]
    assert words in text_of(answer.text)
    return str(answer.text)


def test_every_word_of_the_settings_that_is_computed_is_there() -> None:
    computed = [f"settings.section.{name}" for name in SECTIONS]
    computed += [f"settings.trust_kind.{kind}" for kind in RULE_KINDS]
    computed += [f"settings.told_kind.{kind}" for kind in KINDS]
    computed += [f"settings.told_state.{state.value}" for state in SubscriptionState]
    computed += [f"settings.told_event.{what}" for what in ("opted in", "opted out", "changed", "paused")]
    computed += [f"settings.told_mode.{mode}" for mode in ("single", "daily")]
    computed += [f"settings.target_kind.{kind}" for kind in TARGET_KINDS]
    computed += [f"settings.delivery_state.{state.value}" for state in DeliveryState]
    computed += [f"settings.scope.{scope}" for scope in SCOPES]
    computed += [f"settings.imap_state.{state}" for state in ("new", *(one.value for one in ImapAccountState))]
    names = ("locale", "time_zone", "export_time", "reply_to", "sender", "relay")
    computed += [f"settings.{table}.{name}" for table in ("general", "general_wrong") for name in names]
    for locale in LOCALES:
        assert not [name for name in computed if name not in Texts(locale)]


def test_the_sections_are_for_administrators_of_their_merchant_in_each_language(admin: Browser) -> None:
    for locale in LOCALES:
        admin.client.headers["accept-language"] = locale
        for section in SECTIONS:
            page = admin.get(at(section))
            assert page.status_code == 200 and f'<html lang="{locale}">' in page.text
            assert page.text.count("<h1>") == 1 and 'aria-current="page"' in page.text
    assert {admin.get(at(section, "other")).status_code for section in SECTIONS} == {404}


def test_staff_and_readers_may_not_look_at_settings_or_change_them(sqlite_store: Store, tmp_path: Path) -> None:
    its = site(tmp_path, sqlite_store)
    for role in ("staff", "reader"):
        one = its.signed_in(role, default=role)
        assert {one.get(at(section)).status_code for section in SECTIONS} == {403}
        assert one.post(at("addresses")).status_code == 403
    assert len(sqlite_store.merchant("default").addresses) == 1


# General


def test_general_settings_are_saved_and_emptied(admin: Browser, sqlite_store: Store) -> None:
    saved = admin.post(
        at("general"), locale="de", time_zone="Europe/Berlin", export_time="03:15", reply_to="ana@shop.example"
    )
    assert saved.headers["location"] == "/m/default/settings?said=saved"
    known = sqlite_store.merchant("default")
    assert (known.locale, known.time_zone, known.export_time) == ("de", "Europe/Berlin", "03:15")
    assert known.reply_to == "ana@shop.example"
    assert 'value="Europe/Berlin"' in admin.get(at("general")).text
    admin.post(at("general"))
    assert sqlite_store.merchant("default").time_zone is None
    assert [one.what for one in sqlite_store.audit_events("default")] == ["merchant settings changed"] * 2


def test_a_general_setting_that_cannot_be_is_named_and_nothing_is_lost(admin: Browser, sqlite_store: Store) -> None:
    html = refused(
        admin.post(at("general"), time_zone="Europe/Atlantis", export_time="25:00", reply_to="nobody"),
        "“Europe/Atlantis” is no time zone",
    )
    assert 'value="25:00"' in html and 'value="nobody"' in html and html.count('aria-invalid="true"') == 3
    assert sqlite_store.merchant("default").time_zone is None
    refused(admin.post(at("general"), locale="xx"), "none of the languages")


def test_sender_and_relay_are_changed_by_an_administrator_of_the_installation_only(
    sqlite_store: Store, tmp_path: Path
) -> None:
    its = site(tmp_path, sqlite_store)
    its.signed_in(default="admin").post(at("general"), sender="Bank <ceo@bank.example>")
    assert sqlite_store.merchant("default").sender is None
    root = its.signed_in("root", admin=True)
    root.post(at("general"), sender="Shop <orders@shop.example>")
    assert sqlite_store.merchant("default").sender == "Shop <orders@shop.example>"
    refused(root.post(at("general"), relay="none-such"), "no mail server “none-such”")
    its.signed_in("bob", default="admin").post(at("general"), locale="de")
    assert sqlite_store.merchant("default").sender == "Shop <orders@shop.example>"


# Addresses and keys


def test_an_address_is_added_and_an_old_one_retired_when_somebody_is_sure(admin: Browser, sqlite_store: Store) -> None:
    (old,) = sqlite_store.merchant("default").addresses
    sqlite_store.add_message(NewMessage("default", "smtp", b"Subject: a\r\n\r\n", "a@b.example", old))
    refused(admin.post(at("addresses") + "/retire", address=old, sure="yes"), "make a new address first")
    assert admin.post(at("addresses")).status_code == 303
    refused(admin.post(at("addresses") + "/retire", address=old), "tick the box")
    assert admin.post(at("addresses") + "/retire", address=old, sure="yes").status_code == 303
    (new,) = sqlite_store.merchant("default").addresses
    assert new != old
    listed = {one.address: one for one in sqlite_store.addresses_of("default")}
    assert listed[old].retired_at is not None and listed[old].last_mail_at is not None
    assert listed[new].retired_at is None and listed[new].last_mail_at is None
    assert "Retired addresses" in admin.page(at("addresses"))
    subjects = [one.subject for one in sqlite_store.audit_events("default")]
    assert old not in subjects and new not in subjects  # they are secrets


def test_an_address_of_another_merchant_is_not_retired(admin: Browser, sqlite_store: Store) -> None:
    (others,) = sqlite_store.merchant("other").addresses
    refused(admin.post(at("addresses") + "/retire", address=others, sure="yes"), "does not have this address")
    assert sqlite_store.merchant("other").addresses == (others,)


def test_addresses_tell_when_mail_last_came_on_each_database(store: Store) -> None:
    (old,) = store.merchant("default").addresses
    new = store.rotate_address("default", domain="mail.example")
    for number in range(3):
        store.add_message(NewMessage("default", "smtp", b"Subject: %d\r\n\r\n" % number, "a@b.example", old))
    found = {one.address: one for one in store.addresses_of("default")}
    assert found[new].last_mail_at is None and found[old].last_mail_at is not None
    with pytest.raises(StoreError, match="does not have this address"):
        store.retire_address_of("default", "x@mail.example")
    store.retire_address_of("default", old.upper())
    with pytest.raises(StoreError, match="make a new address"):
        store.retire_address_of("default", new)
    assert store.first_steps("default").mail_came is False  # not read yet
    assert store.kept_raw("default").messages == 3


def test_a_key_is_renewed_and_never_shown(admin: Browser, sqlite_store: Store, tmp_path: Path) -> None:
    keys = key_ring(site(tmp_path, sqlite_store).settings, sqlite_store)
    before = keys.sealing_key("default")
    refused(admin.post(at("addresses") + "/new-key"), "tick the box")
    assert admin.post(at("addresses") + "/new-key", sure="yes").status_code == 303
    after = keys.sealing_key("default")
    assert after != before and before in keys.keys_for("default")
    page = admin.get(at("addresses")).text
    assert before.key_id in page and after.key_id in page and "ion merchant key export default" in page
    assert keys.export_key("default").rsplit(":", 1)[1] not in page


# Trust


def test_lines_of_a_policy_are_added_explained_and_removed(admin: Browser, sqlite_store: Store) -> None:
    assert "Nobody is believed without a seal" in admin.page(at("trust"))
    html = refused(admin.post(at("trust"), kind="dkim", value="gmail.com"), "anybody can send mail from there")
    assert 'value="gmail.com"' in html
    assert admin.post(at("trust"), kind="forwarder", value="Ana@Shop.example").status_code == 303
    page = admin.page(at("trust"))
    assert "ana@shop.example" in page and "pinned forwarder" in page
    line = {"kind": "forwarder", "value": "ana@shop.example"}
    refused(admin.post(at("trust") + "/remove", **line), "tick the box")
    assert sqlite_store.trust_policy("default").rules
    assert admin.post(at("trust") + "/remove", **line, sure="yes").status_code == 303
    refused(admin.post(at("trust") + "/remove", **line, sure="yes"), "has no line")
    refused(admin.post(at("trust"), kind="everybody", value="shop.example"), "no lines of kind")


# Who is told


def test_an_address_is_told_changed_and_told_no_more(admin: Browser, sqlite_store: Store) -> None:
    assert "Nobody is told by mail yet" in admin.page(at("told"))
    told = admin.post(at("told"), address="Ana <ana@shop.example>", kinds=["order", "alert"], mode="daily", locale="de")
    assert told.status_code == 303
    (one,) = sqlite_store.subscriptions("default")
    assert (one.address, one.kinds, one.mode, one.locale) == ("ana@shop.example", ("order", "alert"), "daily", "de")
    assert one.events[0].note == "staff page: ana"
    html = admin.get(at("told"), address="ana@shop.example").text
    assert re.search(r'value="daily" checked', html) and re.search(r'value="alert" checked', html)
    assert not re.search(r'value="change" checked', html)
    refused(admin.post(at("told") + "/end", address="ana@shop.example"), "tick the box")
    assert admin.post(at("told") + "/end", address="ana@shop.example", sure="yes").status_code == 303
    assert sqlite_store.subscriptions("default")[0].state == "ended"
    refused(admin.post(at("told") + "/end", address="ana@shop.example", sure="yes"), "sends nothing to")


def test_a_subscription_that_cannot_be_keeps_what_was_typed(admin: Browser, sqlite_store: Store) -> None:
    html = refused(admin.post(at("told"), address=HOSTILE, kinds=["order"]), "is no mail address")
    assert "<script>alert" not in html and "&lt;script&gt;alert" in html
    refused(admin.post(at("told"), address="ana@shop.example"), "Choose at least one")
    refused(admin.post(at("told"), address="ana@shop.example", kinds=["order"], mode="hourly"), "Choose one of")
    refused(admin.post(at("told"), address="ana@shop.example", kinds=["everything"]), "give one or more of")
    assert sqlite_store.subscriptions("default") == ()


# Where files go


def test_a_merchants_administrator_has_files_sent_by_mail_and_writes_to_no_disk(
    admin: Browser, sqlite_store: Store, tmp_path: Path
) -> None:
    assert admin.post(at("deliveries"), kind="mail", address="ana@shop.example", profile="standard").status_code == 303
    page = admin.page(at("deliveries"))
    assert "ana@shop.example" in page and str(tmp_path) not in page
    refused(admin.post(at("deliveries"), kind="mail", address="nobody"), "nobody")
    refused(admin.post(at("deliveries"), kind="mail", address="a@b.example", profile="none"), "Choose one of")
    for kind, address in (("folder", str(tmp_path)), ("folder", ""), ("sftp", "sftp://a@b.example/c")):
        assert admin.post(at("deliveries"), kind=kind, address=address).status_code == 403
    own, mail = sqlite_store.delivery_targets("default")
    assert admin.post(f"{at('deliveries')}/{own.id}/stop").status_code == 403
    refused(admin.post(f"{at('deliveries')}/{mail.id}/stop"), "tick the box")
    assert admin.post(f"{at('deliveries')}/{mail.id}/stop", sure="yes").status_code == 303
    assert sqlite_store.delivery_targets("default") == (own,)


def test_an_administrator_of_the_installation_adds_a_folder_that_is_there(sqlite_store: Store, tmp_path: Path) -> None:
    root = site(tmp_path, sqlite_store).signed_in("root", admin=True)
    refused(root.post(at("deliveries"), kind="folder", address=str(tmp_path / "none")), "is no folder")
    refused(root.post(at("deliveries"), kind="folder", address="x" * 900), "is no folder")
    (tmp_path / "there").mkdir()
    assert root.post(at("deliveries"), kind="folder", address=str(tmp_path / "there")).status_code == 303
    refused(root.post(at("deliveries"), kind="sftp", address="sftp://a@b.example/c"), "b.example")


def test_a_target_that_is_not_the_merchants_is_not_there(admin: Browser, sqlite_store: Store) -> None:
    for target in ("0", "-1", "99999999999999999999999", "x", "%00"):
        assert admin.post(f"{at('deliveries')}/{target}/stop").status_code == 404
    (others,) = sqlite_store.delivery_targets("other")
    assert admin.post(f"{at('deliveries')}/{others.id}/stop").status_code == 404
    assert sqlite_store.delivery_targets("other") == (others,)


# Tokens


def test_a_token_is_shown_once_for_what_it_may_and_revoked(admin: Browser, sqlite_store: Store) -> None:
    made = admin.post(at("tokens"), name="erp", scopes=["orders", "files"])
    assert made.status_code == 200 and made.headers["cache-control"] == "no-store"
    (token,) = re.findall(r"ion_[\w-]{40,}", made.text)
    found = sqlite_store.merchant_of_token(token)
    assert found is not None and (found.merchant, found.scopes) == ("default", "files orders")
    assert token not in admin.get(at("tokens")).text
    html = refused(admin.post(at("tokens"), name="Ana Lindqvist", scopes=["files"]), "no name of a token")
    assert 'value="Ana Lindqvist"' in html
    refused(admin.post(at("tokens"), name="b"), "no scope")
    refused(admin.post(at("tokens") + "/revoke", name="erp"), "tick the box")
    assert admin.post(at("tokens") + "/revoke", name="erp", sure="yes").status_code == 303
    assert sqlite_store.merchant_of_token(token) is None
    assert token not in str(sqlite_store.audit_events("default"))


def test_a_token_for_more_than_files_is_made_on_the_command_line(tmp_path: Path) -> None:
    ion = IonHere(tmp_path / "data")
    (made,) = ion.lines(
        "merchant", "token", "default", "--name", "erp", "--scope", "orders", "--scope", "entered", "--scope", "orders"
    )
    assert made["scopes"] == "orders entered"
    assert [one["scopes"] for one in ion.lines("merchant", "token", "default")] == ["orders entered"]


# The catalogue


def uploaded(admin: Browser, octets: bytes, **values: str) -> Any:
    return admin.post(at("catalogue") + "/preview", files={"file": ("a.csv", octets, "text/csv")}, **values)


def carried(html: str) -> dict[str, str]:
    """What the form of a preview carries along."""
    from bs4 import BeautifulSoup

    return {
        str(field["name"]): str(field["value"])
        for field in BeautifulSoup(html, "lxml").select("main form input[type=hidden]")
        if field["name"] != "csrf"
    }


def test_a_catalogue_is_looked_at_before_it_is_taken_in_and_comes_back_as_it_is(
    admin: Browser, sqlite_store: Store
) -> None:
    first = uploaded(admin, CSV)
    assert "New 2 Changed 0" in text_of(first.text)
    assert sqlite_store.catalogue("default") == {}
    assert admin.post(at("catalogue"), **carried(first.text)).status_code == 303
    second = uploaded(admin, "sku,name,weight,colour\nA1,Größe,0.20,red\nB1,,,\n".encode(), replace="yes")
    told = text_of(second.text)
    assert "New 1 Changed 1 Gone 1 Unchanged 0" in told and "colour" in told
    assert "Red shirt Größe" in told  # before and after
    assert admin.post(at("catalogue"), **carried(second.text)).status_code == 303
    assert [(one.sku, one.name) for one in sqlite_store.catalogue("default").values()] == [
        ("A1", "Größe"),
        ("B1", None),
    ]
    download = admin.get(at("catalogue") + "/articles.csv")
    assert download.headers["content-disposition"] == 'attachment; filename="catalogue-default.csv"'
    kept = sqlite_store.catalogue("default")
    assert [(one.sku, one.name, one.weight) for one in read_catalogue(download.content)] == [
        (one.sku, one.name, one.weight) for one in kept.values()
    ]


def test_a_catalogue_with_faults_is_told_line_by_line_and_changes_nothing(admin: Browser, sqlite_store: Store) -> None:
    faulty = b"sku,weight,origin\nA1,x,PT\n,1,PT\nA2,1,Portugal\nA3,1,PT\nA3,2,PT\n"
    html = refused(uploaded(admin, faulty), "Mend these rows")
    for fault in ("row 2, column weight", "row 3, column sku", "row 4, column country_of_origin", "row 6, column sku"):
        assert fault in text_of(html)
    assert len(catalogue_faults(b"sku,weight\n" + b"A,x\n" * 50)) == 20
    refused(uploaded(admin, b"name\nx\n"), "no column sku")
    refused(uploaded(admin, b""), "Choose a CSV file")
    refused(uploaded(admin, b"\xff\xfe\x00"), "row 1")
    refused(admin.post(at("catalogue") + "/preview"), "Choose a CSV file")
    refused(admin.post(at("catalogue"), csv="name\nx\n", expected="0 0 0"), "no column sku")
    assert sqlite_store.catalogue("default") == {}


def test_a_large_catalogue_fits_and_a_larger_one_names_the_command(admin: Browser, sqlite_store: Store) -> None:
    rows = b"".join(b"SKU-%06d,%s\n" % (number, b"x" * 900) for number in range(1_500))
    looked = uploaded(admin, b"sku,name\n" + rows)
    assert looked.status_code == 200
    assert admin.post(at("catalogue"), **carried(looked.text)).status_code == 303
    assert len(sqlite_store.catalogue("default")) == 1_500
    refused(uploaded(admin, b"sku,name\n" + rows * 5), "ion catalogue load FILE")


def test_a_catalogue_that_changed_after_the_look_is_shown_anew(admin: Browser, sqlite_store: Store) -> None:
    looked = uploaded(admin, CSV)
    sqlite_store.load_catalogue("default", read_catalogue(b"sku,name\nA1,Other\n"))
    again = admin.post(at("catalogue"), **carried(looked.text))
    refused(again, "has changed since you compared", 409)
    assert sqlite_store.catalogue("default")["A1"].name == "Other"
    assert admin.post(at("catalogue"), **carried(again.text)).status_code == 303
    assert sqlite_store.catalogue("default")["A1"].name == "Red shirt"


# IMAP


def account(port: int, **values: Any) -> ImapAccount:
    return ImapAccount.model_validate(
        {"name": "shop", "host": HOST, "port": port, "security": "none", "user": "pymap", "password": PASSWORD} | values
    )


@pytest.mark.long
def test_an_account_of_the_settings_is_tried_without_changing_anything(
    sqlite_store: Store, tmp_path: Path, pymap: Server
) -> None:
    pymap.create("pymap", "Tried")
    pymap.deliver("pymap", [b"Subject: one\r\n\r\n1\r\n", b"Subject: two\r\n\r\n2\r\n"], "Tried")
    flags = pymap.flags("pymap", "Tried")
    mine, others = (
        account(pymap.port, after="flag", folders=("Tried",)),
        account(pymap.port, name="others", merchant="other"),
    )
    ana = site(tmp_path, sqlite_store, imap=(mine, others)).signed_in(default="admin")
    page = ana.page(at("imap"))
    assert "not looked at yet" in page and "others" not in page
    answer = ana.post(at("imap") + "/shop/test")
    assert "It works." in text_of(answer.text) and "Tried: 2 messages" in text_of(answer.text)
    assert pymap.flags("pymap", "Tried") == flags
    assert sqlite_store.imap_account_status("shop") is None
    assert PASSWORD not in answer.text
    assert ana.post(at("imap") + "/others/test").status_code == 404
    assert ana.post(at("imap") + "/none/test").status_code == 404


@pytest.mark.long
def test_an_account_that_does_not_work_says_why(sqlite_store: Store, tmp_path: Path, pymap: Server) -> None:
    down, wrong = account(free_port()), account(pymap.port, name="wrong", password="other")
    nowhere = account(pymap.port, name="nowhere", folders=("INBOX", "None"))
    ana = site(tmp_path, sqlite_store, imap=(down, wrong, nowhere)).signed_in(default="admin")
    for name, words in (
        ("shop", "does not answer"),
        ("wrong", "does not take what the account signs in with"),
        ("nowhere", "cannot open a folder"),
    ):
        assert words in text_of(ana.post(f"{at('imap')}/{name}/test").text)


def test_an_account_is_tried_only_so_often(sqlite_store: Store, tmp_path: Path) -> None:
    down, other = account(free_port()), account(free_port(), name="spare")
    ana = site(tmp_path, sqlite_store, imap=(down, other)).signed_in(default="admin")
    answers = [ana.post(at("imap") + "/shop/test").status_code for _ in range(11)]
    assert answers == [200] * 10 + [429]
    assert ana.post(at("imap") + "/spare/test").status_code == 200


def test_an_account_whose_server_says_nothing_is_not_waited_for_longer_than_told() -> None:
    with socket.create_server((HOST, 0)) as silent, pytest.raises(UnreachableError, match="within 0"):
        check_account(account(silent.getsockname()[1]), seconds=0.2)


# What is kept, and who did what


def test_retention_tells_what_is_kept_and_erasure_names_the_command(admin: Browser, sqlite_store: Store) -> None:
    (address,) = sqlite_store.merchant("default").addresses
    sqlite_store.add_message(
        NewMessage("default", "smtp", b"Subject: a\r\n\r\n" + b"x" * 400_000, "a@b.example", address)
    )
    page = admin.page(at("retention"))
    assert "30 days after" in page and "1 message, 0.4 MB" in page and "ion erase customer" in page
    assert sqlite_store.kept_raw("other").messages == 0


def test_the_audit_log_is_paged_newest_first_and_of_this_merchant_only(admin: Browser, sqlite_store: Store) -> None:
    for number in range(60):
        sqlite_store.record_audit(HOSTILE, "order entered", f"number-{number}", merchant="default")
    sqlite_store.record_audit("eve", "order entered", "of-another", merchant="other")
    seen, path = [], at("audit")
    while path:
        html = admin.get(path).text
        assert "<script>alert" not in html and "of-another" not in html
        seen += re.findall(r"number-\d+", html)
        found = re.search(r'href="([^"]+before=\d+)"', html)
        path = found[1] if found else ""
    assert seen == [f"number-{number}" for number in reversed(range(60))]
    assert admin.get(at("audit"), before="99999999999999999999").status_code == 400
    assert admin.get(at("audit"), before="x").status_code == 400


# Merchants


def test_merchants_are_listed_and_added_by_an_administrator_of_the_installation_only(
    admin: Browser, sqlite_store: Store, tmp_path: Path
) -> None:
    assert admin.get("/merchants").status_code == 403
    assert admin.post("/merchants", name="new").status_code == 403
    root = site(tmp_path, sqlite_store).signed_in("root", admin=True)
    assert sqlite_store.merchant("other").addresses[0] in root.page("/merchants")
    added = root.post("/merchants", name="new", locale="fr")
    assert added.headers["location"] == "/m/new/start?said=settings_merchant_added"
    assert sqlite_store.merchant("new").locale == "fr"
    html = refused(root.post("/merchants", name="../Not A Slug"), "is no merchant name")
    assert 'value="../Not A Slug"' in html
    refused(root.post("/merchants", name="new"), "already")
    refused(root.post("/merchants", name="newer", locale="xx"), "Choose one of")
    assert [one.what for one in sqlite_store.audit_events("new")] == ["merchant added"]
