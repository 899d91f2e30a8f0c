"""Mail that waits, and what staff do about it."""

import re
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup

import ion.reading
from ion.keys import key_ring
from ion.order import Address
from ion.store import MessageState, NewMessage, NotificationState, Store
from ion.store.mail_lists import REASONS
from ion.web.texts import Texts
from tests.orders import rendered, small_order
from tests.stores import Judged, Problem, an_address, judged
from tests.test_entered import an_order, come
from tests.web import Browser, Site, site

_NUMBERS = count(1)
MAIL = rendered(small_order()).raw


@pytest.fixture
def its(sqlite_store: Store, tmp_path: Path) -> Site:
    return site(tmp_path, sqlite_store)


@pytest.fixture
def ana(its: Site) -> Browser:
    return its.signed_in(default="staff")


def waiting(
    store: Store,
    *,
    grade: str = "review",
    merchant: str = "default",
    order: Any = None,
    mail: bytes = MAIL,
    **more: Any,
) -> int:
    """The id of a message with one notification that waits."""
    raw = mail.replace(b"Message-ID:", f"X-Number: {next(_NUMBERS)}\r\nMessage-ID:".encode(), 1)
    added = store.add_message(NewMessage(merchant, "smtp", raw, "a@b.example", an_address(store, merchant)))
    (message,) = store.claim_messages(1, 60)
    found = judged(order or small_order(), grade, **more)
    store.store_judgement(message.id, message.claim_token, [found])
    assert message.id == added.id
    return added.id


def notification_of(store: Store, message_id: int) -> int:
    return store.shown_message(message_id).notifications[0].notification


def seen_on_the_page(browser: Browser, message: int) -> str:
    """What the forms of a mail with one notification say was looked at."""
    (seen,) = set(re.findall('name="seen" value="([^"]+)"', browser.get(f"/m/default/attention/{message}").text))
    return str(seen)


def doubtful(store: Store, **more: Any) -> int:
    problem = Problem("contradiction", "delivery.city", "the text part shows 'Rome', the html part 'Oslo'")
    return waiting(store, problems=(problem,), **more)


def test_what_waits_is_listed_oldest_first_and_page_by_page(its: Site, ana: Browser) -> None:
    first, second = doubtful(its.store), waiting(its.store, grade="consistent")
    page = ana.get("/m/default/attention").text
    assert page.index(f'/attention/{first}"') < page.index(f'/attention/{second}"')
    assert "Waiting (2)" in page
    assert f'/attention/{first}"' not in ana.get("/m/default/attention", beyond=str(first)).text
    for hostile in ("x", "-1", "9" * 40, "%00"):
        assert ana.get("/m/default/attention", beyond=hostile, which=hostile, order=hostile).status_code == 200


def test_the_mail_stands_beside_what_was_read_and_the_doubtful_field_is_marked(its: Site, ana: Browser) -> None:
    message = doubtful(its.store)
    page = ana.get(f"/m/default/attention/{message}").text
    assert re.search(r'<iframe class="mail" sandbox ', page)
    marked = re.search(r'field-row doubtful".*?</div>\s*</div>', page, re.DOTALL)
    assert marked and "field:delivery.city" in marked[0] and "Rome" in marked[0]
    for show in ("text", "header", "files", "html", "nonsense"):
        assert ana.get(f"/m/default/attention/{message}", show=show).status_code == 200


def test_a_correction_is_kept_beside_what_was_read_and_can_be_taken_back(its: Site, ana: Browser) -> None:
    message = doubtful(its.store)
    here = f"/m/default/attention/{message}/{notification_of(its.store, message)}"
    answer = ana.post(f"{here}/correct", **{"field:delivery.city": "Bergen", "note": "seen in the platform"})
    assert answer.headers["location"].endswith("?said=attention_corrected")
    page = ana.page(f"/m/default/attention/{message}")
    assert "ana on" in page and "seen in the platform" in page and "→ Bergen" in page
    (correction,) = its.store.corrections_of(message)
    assert ana.post(f"{here}/uncorrect", correction=str(correction.id)).status_code == 303
    assert its.store.corrections_of(message)[0].undone_by == "ana"
    assert ana.post(f"{here}/uncorrect", correction="999").status_code == 404


def test_an_order_of_many_lines_is_corrected_as_one_of_few(its: Site, ana: Browser) -> None:
    order = small_order()
    order = order.model_copy(update={"lines": order.lines * 300})
    message = doubtful(its.store, order=order)
    here = f"/m/default/attention/{message}"
    page = BeautifulSoup(ana.get(here).text, "lxml")
    form = page.select_one("form[action$='/correct']")
    assert form
    typed = {str(one["name"]): str(one.get("value") or one.text) for one in form.select("input, textarea")}
    assert len(typed) > 1_000
    typed["field:line[300].quantity"] = "7"
    assert ana.post(f"{here}/{notification_of(its.store, message)}/correct", **typed).status_code == 303
    assert [change.path for change in its.store.corrections_of(message)[0].changes or ()] == ["line[300].quantity"]


def test_a_correction_that_is_wrong_says_so_at_its_field_and_what_was_typed_stays(its: Site, ana: Browser) -> None:
    message = doubtful(its.store)
    here = f"/m/default/attention/{message}/{notification_of(its.store, message)}"
    answer = ana.post(f"{here}/correct", **{"field:line[1].quantity": "many <b>", "field:delivery.city": "Bergen"})
    assert answer.status_code == 422
    assert 'value="many &lt;b&gt;"' in answer.text and 'value="Bergen"' in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert its.store.corrections_of(message) == ()


def test_whatever_is_refused_what_was_typed_and_ticked_stays(its: Site, ana: Browser) -> None:
    sums = (Problem("sum", "totals.total_customer", "x"), Problem("contradiction", "delivery.city", "y"))
    message = waiting(its.store, problems=sums)
    here = f"/m/default/attention/{message}/{notification_of(its.store, message)}"
    more = {"new-path": "line[1].nonsense", "new-text": "typed <more>", "note": "a note"}
    page = ana.post(f"{here}/correct", **more).text
    assert all(f'value="{text}"' in page for text in ("line[1].nonsense", "typed &lt;more&gt;", "a note"))
    page = ana.post(f"{here}/release", named="delivery.city", note="a note").text
    assert 'value="delivery.city" required checked' in page and 'value="totals.total_customer" required>' in page
    assert page.count('value="a note"') == 1
    page = ana.post(f"{here}/merge", order="K-9", note="a note").text
    assert 'value="K-9"' in page and page.count('value="a note"') == 1


def test_a_correction_that_somebody_else_made_meanwhile_is_not_overwritten(its: Site, ana: Browser) -> None:
    message = doubtful(its.store)
    here = f"/m/default/attention/{message}/{notification_of(its.store, message)}"
    seen = seen_on_the_page(ana, message)
    ana.post(f"{here}/correct", **{"field:delivery.city": "Bergen", "seen": seen})
    late = ana.post(f"{here}/correct", **{"field:delivery.city": "Oslo", "field:delivery.name": "Eva", "seen": seen})
    assert late.status_code == 409 and "since you opened it" in late.text and 'value="Eva"' in late.text
    assert ana.post(f"{here}/release", named="delivery.city", seen=seen).status_code == 409
    again = {"field:delivery.name": "Eva", "field:delivery.city": "Bergen", "seen": seen_on_the_page(ana, message)}
    assert ana.post(f"{here}/correct", **again).status_code == 303


def test_an_order_in_doubt_is_approved_only_by_naming_what_is_in_doubt(its: Site, ana: Browser) -> None:
    message, following = doubtful(its.store), doubtful(its.store, order=small_order(), revision=9)
    here = f"/m/default/attention/{message}/{notification_of(its.store, message)}"
    refused = ana.post(f"{here}/release")
    assert refused.status_code == 409 and "delivery.city" in refused.text
    answer = ana.post(f"{here}/release", named="delivery.city", note="asked the customer")
    done = f"{message}-{notification_of(its.store, message)}"
    assert answer.headers["location"] == f"/m/default/attention/{following}?done={done}&said=attention_released"
    assert its.store.order("default", small_order().platform, small_order().order_number) == small_order()
    assert ana.post(f"{here}/undo").status_code == 303
    assert its.store.order("default", small_order().platform, small_order().order_number) is None


def test_what_is_no_order_is_set_aside_and_can_be_opened_again(its: Site, ana: Browser) -> None:
    message = doubtful(its.store)
    here = f"/m/default/attention/{message}/{notification_of(its.store, message)}"
    assert "said=attention_dismissed" in ana.post(f"{here}/dismiss", note="a newsletter").headers["location"]
    assert "Waiting (0)" in ana.page("/m/default/attention")
    assert f'/attention/{message}"' in ana.get("/m/default/attention", which="decided").text
    assert ana.post(f"{here}/undo").status_code == 303
    assert "Waiting (1)" in ana.page("/m/default/attention")


def test_a_second_mail_of_a_known_order_is_joined_to_it(its: Site, ana: Browser) -> None:
    known = waiting(its.store, grade="sealed", order=small_order().model_copy(update={"order_number": "K-1"}))
    message = doubtful(its.store)
    here = f"/m/default/attention/{message}/{notification_of(its.store, message)}"
    assert ana.post(f"{here}/merge", order="K-2").status_code == 409
    assert ana.post(f"{here}/merge", order="K-1").status_code == 303
    assert ana.post(f"{here}/merge", order="K-1").status_code == 409
    found = its.store.mail_page("default", "all", number="K-1")
    assert [mail.id for mail in found] == [message, known]


def test_another_reading_is_shown_before_it_is_kept(its: Site, ana: Browser) -> None:
    message = doubtful(its.store)
    shown = ana.get(f"/m/default/attention/{message}/reread")
    assert shown.status_code == 200 and "Keep what was read now" in shown.text
    assert its.store.shown_message(message).notifications[0].reason == "delivery.city"
    assert ana.post(f"/m/default/attention/{message}/reread").status_code == 303
    assert its.store.shown_message(message).notifications[0].reason != "delivery.city"


def test_what_another_reading_says_of_an_order_is_told_by_the_names_of_its_fields(its: Site, ana: Browser) -> None:
    order = small_order()
    mail = rendered(order, key=key_ring(its.settings, its.store).sealing_key("default")).raw
    message = waiting(its.store, order=order.model_copy(update={"notes": ("not there",)}), mail=mail)
    there = f"/m/default/attention/{message}/reread"
    page = BeautifulSoup(ana.get(there).text, "lxml")
    rows = [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in page.select("table.changes tbody tr")]
    ((what, before, now),) = rows
    assert "Note" in what and (before, now) == ("not there", "–")
    (kept,) = its.store.read_again(ids=(message,))
    its.store.store_rereading(kept, [Judged("review", None, None)], apply=True)
    page = BeautifulSoup(ana.get(there).text, "lxml")
    rows = [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in page.select("table.changes tbody tr")]
    found = {what: now for what, _, now in rows}
    assert found["Ship the parcel to the customer: City"] == order.delivery.city
    assert not re.search(r"\w\[\d\]|\w\.\w+_", " ".join(found))


def test_what_is_downloaded_is_the_octets_and_nothing_a_browser_opens(its: Site, ana: Browser) -> None:
    message = doubtful(its.store)
    raw = ana.get(f"/m/default/attention/{message}/raw")
    assert raw.content == its.store.message_octets("default", message)
    assert raw.headers["content-disposition"].startswith("attachment;")
    frame = ana.get(f"/m/default/attention/{message}/html", place=_place(its, ana, message))
    assert frame.headers["content-security-policy"].endswith("sandbox")
    assert "script" not in frame.headers["content-security-policy"]
    assert ana.get(f"/m/default/attention/{message}/html", place="9").status_code == 404
    for number in ("0", "99", "x", "9" * 30):
        assert ana.get(f"/m/default/attention/{message}/files/{number}").status_code == 404


def _place(its: Site, ana: Browser, message: int) -> str:
    found = re.search(rf"/attention/{message}/html\?place=([^\"&]+)", ana.get(f"/m/default/attention/{message}").text)
    assert found
    return found[1]


def test_a_reader_looks_and_decides_nothing(its: Site) -> None:
    message = doubtful(its.store)
    here = f"/m/default/attention/{message}/{notification_of(its.store, message)}"
    eve = its.signed_in("eve", default="reader")
    page = eve.get(f"/m/default/attention/{message}").text
    assert "<form" not in page.split("<main")[1].split("</main>")[0]
    for what in ("correct", "release", "dismiss", "merge", "undo", "uncorrect"):
        assert eve.post(f"{here}/{what}").status_code == 403
    assert eve.post(f"/m/default/attention/{message}/reread").status_code == 403


def test_mail_of_another_merchant_is_not_there(its: Site, ana: Browser) -> None:
    its.store.create_merchant("other", domain="mail.example")
    theirs, ours = doubtful(its.store, merchant="other"), doubtful(its.store)
    number = notification_of(its.store, theirs)
    for path in ("", "/html", "/raw", "/files/1", "/reread"):
        assert ana.get(f"/m/default/attention/{theirs}{path}").status_code == 404
        assert ana.get(f"/m/other/attention/{theirs}{path}").status_code == 404
    assert ana.post(f"/m/default/attention/{ours}/{number}/dismiss").status_code == 404
    assert f'/{theirs}"' not in ana.get("/m/default/attention", which="all").text


def test_a_mail_without_its_octets_still_shows_what_was_read(its: Site, ana: Browser) -> None:
    message = doubtful(its.store)
    with its.store.writing() as connection:
        connection.exec_driver_sql("DELETE FROM message_raw")
    assert "not kept any more" in ana.page(f"/m/default/attention/{message}")
    assert ana.get(f"/m/default/attention/{message}/raw").status_code == 410


def test_where_no_whole_order_was_read_one_can_be_typed(its: Site, ana: Browser) -> None:
    message = waiting(its.store)
    with its.store.writing() as connection:
        connection.exec_driver_sql("UPDATE notification SET order_json = NULL, partial_json = '{}'")
    assert "No whole order was read" in ana.page(f"/m/default/attention/{message}")


def test_every_reason_event_state_and_change_has_its_words() -> None:
    texts = Texts("en")
    for name in REASONS:
        assert f"attention.why.{name}" in texts and f"attention.why_short.{name}" in texts
    for event in ("corrected", "correction undone", "released", "dismissed", "merged", "undone"):
        assert f"attention.event.{event}" in texts
    for code in (*codes_of_reading(), "other"):
        assert f"attention.problem.{code}" in texts and f"attention.problem_what.{code}" in texts, code
    assert all(f"attention.state.{state}" in texts for state in NotificationState)
    assert all(f"attention.mail_state.{state}" in texts for state in MessageState)
    assert all(f"attention.change.{change}" in texts for change in ("same", "changed", "new", "gone", "kept"))
    assert all(f"said.attention_{what}" in texts for what in ("released", "dismissed", "merged", "undone", "corrected"))


def codes_of_reading() -> set[str]:
    """The codes of all problems that reading a mail can find."""
    sources = [path.read_text() for path in Path(ion.reading.__file__).parent.glob("*.py")]
    named = {code for text in sources for code in re.findall(r"Problem\(\s*\"([a-z-]+)\"", text)}
    lines = [line for text in sources for line in re.findall(r"\bcode = (\"[a-z-]+\" if .*)", text)]
    chosen = {code for line in lines for code in re.findall(r"\"([a-z-]+)\"", line)}
    return named | chosen


def test_mail_is_listed_by_why_it_waits(its: Site, ana: Browser) -> None:
    sums = (Problem("sum", "totals.total_customer", "x"),)
    doubt, no_seal = waiting(its.store, problems=sums), waiting(its.store, grade="consistent")
    page = ana.get("/m/default/attention", why="no_seal").text
    assert f'/{no_seal}"' in page and f'/{doubt}"' not in page
    assert "no seal (1)" in page
    page = ana.get("/m/default/attention", why="nonsense").text
    assert f'/{no_seal}"' in page and f'/{doubt}"' in page


def test_a_mail_is_found_by_its_own_number_too(its: Site, ana: Browser) -> None:
    first, second = doubtful(its.store), doubtful(its.store)
    page = ana.get("/m/default/attention", which="all", order=f" {second} ").text
    assert f'/{second}"' in page and f'/{first}"' not in page
    for number in ("9" * 19, "9" * 200, "٣", "²"):
        assert ana.get("/m/default/attention", which="all", order=number).status_code == 200


def test_what_was_decided_can_be_undone_from_the_next_mail(its: Site, ana: Browser) -> None:
    first, second, third = (doubtful(its.store, revision=number) for number in (1, 2, 3))
    its_path = f"/m/default/attention/{second}/{notification_of(its.store, second)}"
    following = ana.post(f"{its_path}/dismiss").headers["location"]
    assert following.startswith(f"/m/default/attention/{third}?done=")
    page = ana.get(following).text
    assert f'action="{its_path}/undo"' in page
    assert '<a href="/m/default/attention">All that waits</a>' in page
    assert f'data-key="p" href="/m/default/attention/{first}"' in page and 'data-key="n"' not in page
    ana.post(f"{its_path}/undo")
    assert f'action="{its_path}/undo"' not in ana.get(following).text
    its.store.create_merchant("other", domain="mail.example")
    theirs = doubtful(its.store, merchant="other")
    for done in (f"{theirs}-{notification_of(its.store, theirs)}", "x", "-", "1", f"{second}-x", "9" * 99):
        assert "/undo" not in ana.get(f"/m/default/attention/{first}", done=done).text


def test_sent_again_a_correction_takes_back_nothing_that_another_typed_meanwhile(its: Site, ana: Browser) -> None:
    bob, message = its.signed_in("bob", default="staff"), doubtful(its.store)
    path = f"/m/default/attention/{message}"
    here = f"{path}/{notification_of(its.store, message)}"

    def form_of(page: str) -> dict[str, str]:
        form = BeautifulSoup(page, "lxml").find("form", action=f"{here}/correct")
        assert form is not None
        sent = {str(one["name"]): str(one.get("value", "")) for one in form.find_all("input")}
        return {name: text for name, text in sent.items() if name.startswith(("field:", "seen"))}

    form = form_of(ana.get(path).text) | {"field:customer.email": "ana@shop.example"}
    assert bob.post(f"{here}/correct", **{"field:delivery.city": "Bergen"}).status_code == 303
    refused = ana.post(f"{here}/correct", **form)
    assert refused.status_code == 409 and "by somebody" in refused.text
    assert ana.post(f"{here}/correct", **form_of(refused.text)).status_code == 303
    newest = its.store.corrections_of(message)[-1]
    assert [(one.path, one.after) for one in newest.changes] == [("customer.email", "ana@shop.example")]


def test_what_is_refused_is_told_in_words_of_the_page_not_of_the_command_line(its: Site, ana: Browser) -> None:
    message = doubtful(its.store)
    here = f"/m/default/attention/{message}/{notification_of(its.store, message)}"
    nowhere = ana.post(f"{here}/merge", order="NONE-1")
    unnamed = ana.post(f"{here}/release")
    assert "No order has this number" in nowhere.text and "tick it" in unnamed.text
    for answer in (nowhere, unnamed):
        assert answer.status_code == 409 and "`ion " not in answer.text and "--force" not in answer.text


def test_of_several_orders_with_one_number_a_mail_is_joined_to_the_one_named_by_its_id(its: Site, ana: Browser) -> None:
    come(its.store, an_order("GE-1"))
    come(its.store, an_order("GE-2", merchant_order_number="GE-1"))
    message = doubtful(its.store)
    here = f"/m/default/attention/{message}/{notification_of(its.store, message)}"
    answer = ana.post(f"{here}/merge", order="GE-1")
    assert answer.status_code == 409 and "id:2" in answer.text
    assert ana.post(f"{here}/merge", order="id:2").status_code == 303


def proposed(page: str) -> dict[str, str]:
    """What the page proposes to join a mail to: numbers, and what it says of each."""
    offered = BeautifulSoup(page, "html.parser").select("datalist option")
    return {str(one["value"]): one.get_text() for one in offered}


def test_the_orders_are_proposed_that_have_the_number_address_or_name_in_the_mail(its: Site, ana: Browser) -> None:
    eva = Address(name="Eva Li", email="eva@shop.example", country="NO")
    come(its.store, an_order("GE-1", delivery=eva))
    come(its.store, an_order("GE-2", delivery=Address(name="Bo Ek", email="bo@shop.example")))
    come(its.store, an_order("GE-3", delivery=Address(name="Eva Li", country="FR"), personal_data_encrypted=True))
    its.store.create_merchant("other", domain="mail.example")
    by_mail = waiting(its.store, order=an_order("X-1", delivery=Address(email="EVA@shop.example")))
    by_name = waiting(its.store, order=an_order("X-2", delivery=Address(first_name="Eva", last_name="Li")))
    by_number = waiting(its.store, order=an_order("ge2", delivery=Address()))
    by_original = waiting(its.store, order=an_order("X-4", delivery=Address(), original_order_number="GE-2"))
    by_nothing = waiting(its.store, order=an_order("X-3", delivery=Address(name="\u2060", email="?@!")))
    elsewhere = waiting(its.store, merchant="other", order=an_order("GE-1", delivery=eva))
    pages = [
        ana.get(f"/m/default/attention/{one}").text for one in (by_mail, by_name, by_number, by_nothing, by_original)
    ]
    found = [proposed(page) for page in pages]
    assert [set(one) for one in found] == [{"GE-1"}, {"GE-1", "GE-3"}, {"GE-2"}, set(), {"GE-2"}]
    assert "Eva Li" in found[1]["GE-1"] and "Norway" in found[1]["GE-1"] and "Eva" not in found[1]["GE-3"]
    assert 'list="likely-' in pages[0] and "likely-" not in pages[3]
    assert "likely-" not in its.signed_in("bob", other="staff").get(f"/m/other/attention/{elsewhere}").text


def test_a_mail_that_contradicts_its_order_is_compared_with_it_and_becomes_its_newest_version_if_a_person_says_so(
    its: Site, ana: Browser
) -> None:
    first = waiting(its.store, grade="consistent")
    its.store.release_notification(notification_of(its.store, first), by="ana")
    message = waiting(
        its.store, grade="consistent", order=small_order().model_copy(update={"notes": ("Ring <twice>",)})
    )
    here = f"/m/default/attention/{message}"
    shown = ana.get(here).text
    assert "says something else than the order does now" in shown and "Ring &lt;twice&gt;" in shown
    (revision,) = re.findall('name="in_place_of" value="([0-9]+)"', shown)
    release = f"{here}/{notification_of(its.store, message)}/release"
    refused = ana.post(release, named="unsealed", note="kept")
    assert refused.status_code == 409 and "Compare the two below" in refused.text and 'value="kept"' in refused.text
    stale = ana.post(release, named="unsealed", in_place_of="7")
    assert stale.status_code == 409 and "has changed since you opened this page" in stale.text
    assert ana.post(release, named="unsealed", in_place_of=revision).status_code == 303
    (order,) = its.store.orders_for_export()
    assert (order.revision, order.order.notes) == (2, ("Ring <twice>",))
    newest = waiting(its.store, grade="consistent", order=small_order(), revision=5)
    assert "is a newer version of it" in ana.get(f"/m/default/attention/{newest}").text
    same = waiting(its.store, grade="consistent", order=order.order, revision=2)
    assert "says the same as the order does now" in ana.get(f"/m/default/attention/{same}").text


def test_what_was_doubtful_is_told_by_the_name_that_the_page_has_for_it(its: Site, ana: Browser) -> None:
    problems = (
        Problem("contradiction", "line[1].quantity", "the text part shows '3', the html part '2'"),
        Problem("sum", None, "the parts add up to 1, the total says 2"),
        Problem("unreadable", "no.such", "the text part: cut off"),
    )
    message = waiting(its.store, problems=problems)
    its.store.correct_notification(notification_of(its.store, message), {"delivery.city": "Rome"}, by="ana")
    page = ana.get(f"/m/default/attention/{message}").text
    (label,) = set(re.findall(r"<li>([^<]*Quantity) – <span>the text part shows", page))
    assert "1" in label and "line[" not in label
    assert re.search(r'name="named" value="line\[1\].quantity" required> <span>[^<]*Quantity', page)
    assert '<span class="mono">no.such</span>' in page
    assert re.search(r"<li>[^<]*City: <del>", page)


def test_what_the_reader_says_is_told_in_the_language_of_the_page(its: Site, ana: Browser) -> None:
    problems = (
        Problem("contradiction", "line[1].quantity", "the text part says '3', the html part '2'"),
        Problem("unreadable", None, "<b>something new</b>"),
    )
    message = waiting(its.store, problems=problems)
    here = f"/m/default/attention/{message}"
    ana.client.headers["Accept-Language"] = "de"
    page = ana.get(here).text
    assert page.count("<span>der Textteil sagt &#39;3&#39;, der HTML-Teil &#39;2&#39;</span>") == 3
    assert '<span lang="en">&lt;b&gt;something new&lt;/b&gt;</span>' in page
    typed = {"field:line[1].quantity": "viele", "field:delivery.country": "Nirgendwo"}
    refused = ana.post(f"{here}/{notification_of(its.store, message)}/correct", **typed).text
    assert "&#39;Nirgendwo&#39; ist kein Land; schreiben Sie" in refused and "&#39;viele&#39; ist keine Zahl" in refused


def test_what_was_read_otherwise_since_its_page_was_opened_is_not_approved_or_corrected_unseen(
    its: Site, ana: Browser
) -> None:
    message = waiting(its.store, grade="consistent")
    here = f"/m/default/attention/{message}/{notification_of(its.store, message)}"
    seen = seen_on_the_page(ana, message)
    (kept,) = its.store.read_again(ids=(message,))
    other = judged(small_order().model_copy(update={"notes": ("read anew",)}), "consistent")
    its.store.store_rereading(kept, [other], apply=True)
    typed = {"field:delivery.city": "Oslo", "field:order.notes[1]": "as it was read before", "note": "asked"}
    for form, sent in (("release", {"named": "unsealed"}), ("correct", typed)):
        answer = ana.post(f"{here}/{form}", seen=seen, **sent)
        assert answer.status_code == 409 and "read again" in answer.text
    assert re.search(r"<li>[^<]*City: Oslo</li>", answer.text) and 'value="asked"' in answer.text
    assert 'value="Oslo"' not in answer.text and 'value="as it was read before"' not in answer.text
    assert its.store.shown_message(message).notifications[0].state != "applied"
    assert ana.post(f"{here}/release", seen=seen_on_the_page(ana, message), named="unsealed").status_code == 303
