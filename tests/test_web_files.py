"""The pages of files and profiles: what staff see of each file, fetching one, making one now, declaring a profile."""

from hashlib import sha256
from pathlib import Path

import pytest

from ion.export import PROFILES
from ion.store import DeliveryState, ErasureKind, Store, Subject
from ion.store.batches import LEFT_OUT
from ion.web import file_pages
from ion.web.file_pages import size_text
from ion.web.own_profile_pages import STARTER, _line_of
from ion.web.profile_pages import UNCONFIRMED
from ion.web.texts import Texts
from tests.batches import arrive, publish
from tests.stores import table_of
from tests.web import Site, site, text_of

FILES = "/m/default/files"
PROFILE_PAGE = "/m/default/files/profiles"


@pytest.fixture
def its(sqlite_store: Store, tmp_path: Path) -> Site:
    return site(tmp_path, sqlite_store)


# What there is


def test_a_file_is_told_with_what_became_of_it(its: Site) -> None:
    store = its.store
    order_id = arrive(store, "GE1")
    store.add_delivery_target("default", "mail", "lager@shop.example")
    told = {"left_out": {"held": 2}, "notes": ["order GE1: cut"], "unknown_skus": ["AB-1"]}
    batch = publish(store, b"x" * 1234, "orders-1.csv", orders=(order_id,), summary=told)
    store.record_download(batch.id, "nightly-import")
    ana = its.signed_in(default="reader")
    page = ana.page(FILES)
    for said in ("orders-1.csv", batch.sha256[:12], "1 order", "1.2 kB", "2 in mail to be decided on", "1 note"):
        assert said in page.replace("\N{NO-BREAK SPACE}", " ")
    assert "lager@shop.example" in page and "token nightly-import" in page
    about = ana.get(f"{FILES}/{batch.id}/about").text
    assert f'href="/m/default/orders/{order_id}"' in about
    assert "order GE1: cut" in text_of(about) and batch.sha256 in about


@pytest.mark.long
def test_older_files_are_on_further_pages_and_a_profile_can_be_chosen(
    its: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_pages, "FILES_OF_A_PAGE", 2)
    ids = [publish(its.store, b"%d" % number, f"orders-{number}.csv").id for number in range(3)]
    publish(its.store, b"x", "orders.xlsx", profile="xlsx")
    ana = its.signed_in(default="reader")
    first = ana.get(FILES, profile="standard").text
    assert f"before={ids[1]}" in first and "orders.xlsx" not in first
    second = ana.page(FILES, profile="standard", before=str(ids[1]))
    assert "orders-0.csv" in second and "orders-1.csv" not in second
    for hostile in ("-1", "x", "9" * 40, "<b>"):
        assert "orders-2.csv" in ana.page(FILES, profile=hostile if hostile == "<b>" else "standard", before=hostile)


def test_an_erased_file_says_so_and_is_not_given(its: Site) -> None:
    batch = publish(its.store, b"x", "orders-1.csv", orders=(arrive(its.store, "GE1"),))
    its.store.erase(its.store.plan_erasure(Subject(ErasureKind.ORDER, None, order_number="GE1")), None)
    ana = its.signed_in(default="reader")
    assert "erased" in ana.page(FILES)
    assert ana.get(f"{FILES}/{batch.id}").status_code == 410
    assert "its contents are removed" in ana.page(f"{FILES}/{batch.id}/about")
    assert f'href="{FILES}/{batch.id}"' not in ana.get(FILES).text


# Fetching


def test_a_file_is_fetched_as_a_program_fetches_it_and_the_user_is_noted(its: Site) -> None:
    raw = bytes(range(256))
    batch = publish(its.store, raw, 'März "1".csv')
    ana = its.signed_in(default="reader")
    got = ana.get(f"{FILES}/{batch.id}")
    token = its.store.create_pull_token("default", "erp")
    headers = {"Authorization": f"Bearer {token}"}
    other = its.visitor().get(f"/v1/files/{batch.id}", headers=headers)
    assert got.content == other.content == raw
    for name in ("etag", "content-type", "content-disposition", "repr-digest", "cache-control"):
        assert got.headers[name] == other.headers[name]
    assert got.headers["etag"] == f'"{sha256(raw).hexdigest()}"'
    assert "sandbox" in got.headers["content-security-policy"]
    assert [by for _, by in its.store.downloads(batch.id)] == ["user ana", "erp"]
    assert ana.client.get(f"{FILES}/{batch.id}", headers={"Range": "bytes=1-2"}).content == raw[1:3]
    assert ana.client.get(f"{FILES}/{batch.id}", headers={"If-None-Match": got.headers["etag"]}).status_code == 304


def test_another_merchants_file_is_not_there(its: Site) -> None:
    its.store.create_merchant("shop", domain="mail.example")
    theirs = publish(its.store, b"secret", "secret.csv", merchant="shop")
    ana = its.signed_in(default="admin")
    for path in (str(theirs.id), "0", "-1", "x", "9" * 30, "%00"):
        assert ana.get(f"{FILES}/{path}").status_code == 404
        assert ana.get(f"{FILES}/{path}/about").status_code == 404
    assert "secret" not in ana.page(FILES)
    assert its.store.downloads(theirs.id) == ()


# Making one now


def test_what_would_be_made_is_told_and_then_made_once(its: Site) -> None:
    arrive(its.store, "GE1")
    arrive(its.store, "GE2")
    ana = its.signed_in(default="staff")
    told = ana.page(f"{FILES}/now")
    assert told.count("2 orders") == 2  # in standard and in xlsx
    assert its.store.batches("default") == ()
    made = ana.post(f"{FILES}/now")
    assert made.status_code == 303 and "said=files_made" in made.headers["location"]
    assert [one.order_count for one in its.store.batches("default")] == [2, 2]
    first = its.store.batches("default")[-1].id
    assert ana.page(FILES, said="files_made", made=str(first)).count(" new ") == 2
    assert "said=files_none" in ana.post(f"{FILES}/now").headers["location"]
    assert len(its.store.batches("default")) == 2
    (line,) = its.store.audit_events()
    assert (line.by, line.what, line.merchant) == ("ana", "files made", "default")


@pytest.mark.long
def test_what_cannot_be_written_is_told_and_stays_due(its: Site) -> None:
    arrive(its.store, "GE1")
    its.store.use_export_profile("default", "lager", definition="what was good once")
    its.store.use_export_profile("default", "lager", definition="and is none now", since=None)
    arrive(its.store, "GE2")
    ana = its.signed_in(default="staff")
    got = ana.post(f"{FILES}/now")
    assert got.status_code == 409
    assert "Nothing can be written in lager" in text_of(got.text)
    assert {one.profile for one in its.store.batches("default")} == {"xlsx@2", "standard@2"}


def test_a_reader_makes_nothing_and_staff_change_no_profile(its: Site) -> None:
    arrive(its.store, "GE1")
    reader, staff = its.signed_in("rea", default="reader"), its.signed_in("sta", default="staff")
    assert reader.get(f"{FILES}/now").status_code == reader.post(f"{FILES}/now").status_code == 403
    assert f"{FILES}/now" not in reader.get(FILES).text
    for path in ("", "/own", "/about"):
        assert staff.get(PROFILE_PAGE + path).status_code == 403
    for path in ("/use", "/stop", "/own"):
        assert staff.post(PROFILE_PAGE + path, name="xlsx", sure="1", definition=STARTER).status_code == 403
    assert its.store.batches("default") == ()


# Profiles


def test_a_profile_is_used_made_primary_and_stopped(its: Site) -> None:
    ana = its.signed_in(default="admin")
    arrive(its.store, "GE1")
    used = ana.post(f"{PROFILE_PAGE}/use", name="matrixify", since="2020-01-01")
    assert used.headers["location"].endswith("said=profiles_used")
    names = {one.name: one for one in its.store.export_profiles("default")}
    assert table_of(its.store, f"SELECT count(*) FROM export_due WHERE profile_id = {names['matrixify'].id}") == [(1,)]
    ana.post(f"{PROFILE_PAGE}/use", name="matrixify", primary="1")
    assert its.store.export_profiles("default")[0].name == "matrixify"
    refused = ana.post(f"{PROFILE_PAGE}/stop", name="matrixify", sure="1")
    assert (refused.status_code, "primary" in text_of(refused.text)) == (422, True)
    assert "Tick that you are sure" in text_of(ana.post(f"{PROFILE_PAGE}/stop", name="standard").text)
    assert ana.post(f"{PROFILE_PAGE}/stop", name="standard", sure="1").status_code == 303
    assert "standard" not in {one.name for one in its.store.export_profiles("default")}
    assert "matrixify primary" in ana.page(PROFILE_PAGE)
    said = [(one.what, one.subject) for one in its.store.audit_events()]
    assert said == [
        ("profile stopped", "standard"),
        ("profile made primary", "matrixify"),
        ("profile used", "matrixify"),
    ]


@pytest.mark.long
def test_a_form_of_profiles_that_says_nothing_good_is_refused_in_words(its: Site) -> None:
    ana = its.signed_in(default="admin")
    before = its.store.export_profiles("default")
    for path, form, said in (
        ("/use", {"name": "nothing"}, "Choose one"),
        ("/use", {"name": "matrixify", "since": "<b>yesterday"}, "“<b>yesterday” is no date"),
        ("/use", {"name": "matrixify", "since": "0001-01-01\0"}, "is no date"),
        ("/stop", {"name": "matrixify", "sure": "1"}, "not in use"),
    ):
        got = ana.post(PROFILE_PAGE + path, **form)
        assert got.status_code == 422 and said in text_of(got.text), (path, form)
    assert its.store.export_profiles("default") == before


def test_a_declaration_is_checked_and_shown_with_the_newest_orders_before_it_is_kept(its: Site) -> None:
    for number in range(7):
        arrive(its.store, f"GE{number}")
    ana = its.signed_in(default="admin")
    checked = ana.post(f"{PROFILE_PAGE}/own", name="lager", definition=STARTER)
    assert checked.status_code == 200
    shown = text_of(checked.text)
    assert "Order no. SKU Quantity City GE6" in shown and "GE2" in shown and "GE1" not in shown
    assert "lager" not in {one.name for one in its.store.export_profiles("default")}
    kept = ana.post(f"{PROFILE_PAGE}/own", name="lager", definition=STARTER.replace("\n", "\r\n"), keeps="1")
    assert kept.status_code == 303
    (own,) = [one for one in its.store.export_profiles("default") if one.name == "lager"]
    assert (own.definition, own.version) == (STARTER, 1)
    assert "Order no." in ana.page(f"{PROFILE_PAGE}/about", name="lager")
    assert "order_number" in ana.page(f"{PROFILE_PAGE}/own", name="lager")


def test_a_declaration_that_is_wrong_is_told_by_its_line_and_nothing_typed_is_lost(its: Site) -> None:
    ana = its.signed_in(default="admin")
    wrong = STARTER.replace('"quantity"', '"</textarea><b>"')
    for keeps in ("", "1"):
        got = ana.post(f"{PROFILE_PAGE}/own", name="lager", definition=wrong, keeps=keeps)
        assert got.status_code == 422
        assert "Line 16:" in text_of(got.text)
        assert "<b>" not in got.text and "&lt;/textarea&gt;&lt;b&gt;" in got.text
    assert ana.post(f"{PROFILE_PAGE}/own", name="xlsx", definition=STARTER, keeps="1").status_code == 422
    assert "lager" not in {one.name for one in its.store.export_profiles("default", inactive=True)}


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("the declaration is no TOML: Expected '=' (at line 7, column 3)", 7),
        ("[[column]] 2, field: 'x' is none", 5),
        ("[[column]] 2 ('b'): give either field or constant", 3),
        ("[[column]] 9, field: 'x' is none", None),
        ("the file, rows: 'x' is none of 'line'", 1),
        ("the file: unknown key 'rows'; known are", 1),
        ("the declaration has 200001 characters", None),
    ],
)
def test_the_line_that_a_refusal_is_about_is_found(said: str, line: int | None) -> None:
    text = 'rows = "x"\n[[column]]\n[[column]]\nname = "b"\nfield = "x"\n'
    assert _line_of(said, text) == line


@pytest.mark.long
def test_columns_that_no_program_has_confirmed_are_told(its: Site) -> None:
    ana = its.signed_in(default="admin")
    assert "Not confirmed" in ana.page(f"{PROFILE_PAGE}/about", name="matrixify")
    assert "Not confirmed" not in ana.page(f"{PROFILE_PAGE}/about", name="standard")
    assert ana.get(f"{PROFILE_PAGE}/about", name="nothing").status_code == 404


def test_every_word_of_the_program_that_these_pages_show_has_a_text() -> None:
    for locale in ("en", "de", "fr"):
        texts = Texts(locale)
        wanted = [f"files.reason.{reason}" for reason in (*LEFT_OUT, "entered", "held")]
        wanted += [f"files.delivery.{state.value}" for state in DeliveryState]
        wanted += [f"files.order_state.{state}" for state in ("new", "exported", "entered")]
        wanted += [f"profiles.audience.{name}" for name in (*PROFILES, "own")]
        wanted += [f"profiles.unconfirmed.{name}" for name in UNCONFIRMED]
        wanted += [f"said.files_{what}" for what in ("made", "none")]
        wanted += [f"said.profiles_{what}" for what in ("used", "primary", "stopped", "kept")]
        assert [name for name in wanted if name not in texts] == []


def test_a_size_is_told_as_people_of_the_language_write_it() -> None:
    assert [size_text(octets, "de").replace("\N{NO-BREAK SPACE}", " ") for octets in (999, 1234, 5_678_901)] == [
        "999 B",
        "1,2 kB",
        "5,7 MB",
    ]
