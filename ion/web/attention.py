"""What needs a person: mail that waits, the mail beside what was read of it, and what staff do about it.

    /m/MERCHANT/attention                       what waits, oldest first; what was decided; all mail
    /m/MERCHANT/attention/MESSAGE               one mail, whatever became of it
    /m/MERCHANT/attention/MESSAGE/html          its HTML, for the sandboxed frame of that page
    /m/MERCHANT/attention/MESSAGE/raw, .../files/NUMBER     its octets, and those of a file in it, to be kept
    /m/MERCHANT/attention/MESSAGE/reread        what another reading would change, and changing it

Each thing that staff do is sent to MESSAGE/NOTIFICATION/..., and can be undone there as far as the store says.
"""

import json
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from itertools import groupby
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ion.content import order_of
from ion.contract import language
from ion.corrections import CorrectionError, ShownField, fields_of, partial_values
from ion.errors import IonError
from ion.keys import key_ring
from ion.order_words import typed_words
from ion.reparse import Chosen, NotReread, reparse
from ion.store import (
    ContradictsError,
    ListedOrder,
    MessageChange,
    NoSuchMessageError,
    NoSuchOrderError,
    NotificationChange,
    NotNamedError,
    OrderFilters,
    OtherCorrectionError,
    OtherRevisionError,
    ShownMessage,
    ShownNotification,
)
from ion.store.mail_lists import REASONS, Which, why_waits
from ion.store.notification_events import WAITING
from ion.trust import Authenticator
from ion.web.mail_view import FRAME_POLICY, MailView, file_of, page_of, view_of, visible
from ion.web.octets import disposition
from ion.web.order_sheet import ShownChange, country_text, shown_changes
from ion.web.pages import Pages, address
from ion.web.refusals import shown_again
from ion.web.requested import id_of
from ion.web.sentences import translated
from ion.web.texts import Texts
from ion.web.visits import Visit

PAGE = 50
MOST_FIELDS = 50_000  # of a form: an order of a thousand lines has some twenty thousand
_NOTIFICATION = "/m/{merchant}/attention/{message_id}/{notification_id}"
# What tells of an order: each of these, and of a name its parts together.
_TELLING = (
    ("order.order_number",),
    ("order.merchant_order_number",),
    ("order.original_order_number",),
    ("customer.email",),
    ("delivery.email",),
    ("billing.email",),
    ("delivery.name",),
    ("delivery.first_name", "delivery.last_name"),
)
_LIKELY_OF_EACH = 3
_MOST_PROPOSED_FOR = 10  # notifications of one mail: each is several searches
_OCTETS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store"}


async def _form(request: Request) -> FormData:
    return await request.form()


class _OrderRequest(Request):
    def form(self, **limits: Any) -> Any:
        return super().form(**{"max_fields": MOST_FIELDS, **limits})


class _OrderRoute(APIRoute):
    """A route whose form may have as many fields as an order, which is more than others may."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_order(request: Request) -> Response:
            return await handle(_OrderRequest(request.scope, request.receive))

        return handle_order


def attention_routes(pages: Pages) -> APIRouter:
    router, its = APIRouter(route_class=_OrderRoute), _Attention(pages)
    _lists(router, pages, its)
    _mail(router, pages, its)
    _corrections(router, pages, its)
    _decisions(router, pages, its)
    _rereading(router, pages, its)
    return router


def _lists(router: APIRouter, pages: Pages, its: "_Attention") -> None:
    @router.get("/m/{merchant}/attention")
    def attention(
        request: Request,
        visit: Annotated[Visit, pages.may_read],
        merchant: str,
        which: str = "waiting",
        why: str = "",
        order: str = "",
        beyond: str = "",
        done: str = "",
    ) -> Response:
        shown: Which = "decided" if which == "decided" else "all" if which == "all" else "waiting"
        number = order.strip()[:200] or None
        reason = why if shown == "waiting" and why in REASONS else None
        found = pages.store.mail_page(
            merchant, shown, number=number, why=reason, beyond=_number(beyond) or None, limit=PAGE + 1
        )
        mails = found[:PAGE]
        following = (
            {"which": shown, "why": reason, "order": number, "beyond": mails[-1].id} if len(found) > PAGE else None
        )
        return pages.show(
            request,
            visit,
            "attention.html",
            mails=mails,
            which=shown,
            order=number,
            why=reason,
            waiting=pages.store.count_waiting_mail(merchant),
            reasons=pages.store.count_waiting_by_reason(merchant) if shown == "waiting" else {},
            done=its.done(merchant, done),
            following=address(request.url.path, **following) if following else None,
            is_further=bool(beyond),
            why_waits=lambda one: why_waits(one.state, one.grade, one.reason),
            visible=visible,
        )


def _mail(router: APIRouter, pages: Pages, its: "_Attention") -> None:
    @router.get("/m/{merchant}/attention/{message_id}")
    def mail(
        request: Request,
        visit: Annotated[Visit, pages.may_read],
        merchant: str,
        message_id: str,
        show: str = "",
        done: str = "",
    ) -> Response:
        message = its.message(merchant, message_id)
        return its.page(request, visit, message, show=show, done=its.done(merchant, done))

    @router.get("/m/{merchant}/attention/{message_id}/html")
    def html(visit: Annotated[Visit, pages.may_read], merchant: str, message_id: str, place: str = "") -> Response:
        page = page_of(its.octets(merchant, message_id), place)
        if page is None:
            raise _nothing()
        whole = f"<!doctype html><meta charset=utf-8><title>{visit.locale}</title>{page}"
        headers = {**_OCTETS, "Content-Security-Policy": FRAME_POLICY, "X-Frame-Options": "SAMEORIGIN"}
        return Response(whole.encode("utf-8", "replace"), media_type="text/html; charset=utf-8", headers=headers)

    @router.get("/m/{merchant}/attention/{message_id}/raw")
    def raw(visit: Annotated[Visit, pages.may_read], merchant: str, message_id: str) -> Response:
        octets = its.octets(merchant, message_id)
        pages.audit(visit, "mail downloaded", message_id)
        headers = {**_OCTETS, "Content-Disposition": disposition(f"mail-{int(message_id)}.eml")}
        return Response(octets, media_type="message/rfc822", headers=headers)

    @router.get("/m/{merchant}/attention/{message_id}/files/{file_number}")
    def attached(visit: Annotated[Visit, pages.may_read], merchant: str, message_id: str, file_number: str) -> Response:
        found = file_of(its.octets(merchant, message_id), _number(file_number))
        if found is None:
            raise _nothing()
        name, octets = found
        pages.audit(visit, "file of a mail downloaded", message_id)
        headers = {**_OCTETS, "Content-Disposition": disposition(name)}
        return Response(octets, media_type="application/octet-stream", headers=headers)


def _corrections(router: APIRouter, pages: Pages, its: "_Attention") -> None:
    store = pages.store

    @router.post(_NOTIFICATION + "/correct")
    def correct(
        request: Request,
        visit: Annotated[Visit, pages.may_work_by_form],
        form: Annotated[FormData, Depends(_form)],
        merchant: str,
        message_id: str,
        notification_id: str,
    ) -> Response:
        message, one = its.notification(merchant, message_id, notification_id)
        typed = {
            name.removeprefix("field:"): text.replace("\r\n", "\n")
            for name, text in form.items()
            if name.startswith("field:") and isinstance(text, str)
        }
        known, seen = its.language_of(visit), str(form.get("seen", "")) or None
        shown = {field.path: field.value or "" for field in its.fields(its.as_seen(one, message, seen), visit)}
        changes = {name: text for name, text in typed.items() if text.strip() != shown.get(name, "").strip()}
        added, its_text = str(form.get("new-path", "")).strip(), str(form.get("new-text", ""))
        if added:
            changes[added] = its_text
        note = str(form.get("note", ""))[:2000]
        asked = Asked("correct", one.notification, {**typed, "note": note, "new-path": added, "new-text": its_text})

        def again(error: IonError) -> Response:
            kept, beside = asked.typed, {}
            if isinstance(error, OtherCorrectionError):
                # Only what this person changed: all the rest of the form would take back what the other one typed.
                mine = {name: text for name, text in typed.items() if name in changes}
                if seen and _reading(seen) != _reading(one.seen):
                    # What the form said before is not kept: which of it this person changed cannot be told.
                    mine, beside = {}, mine
                kept = {name: text for name, text in kept.items() if name not in typed} | mine
            return its.page(request, visit, message, error, replace(asked, typed=kept, beside=beside))

        with shown_again(again):
            store.correct_notification(
                one.notification, changes, by=visit.user.name, note=note or None, known=known, seen=seen
            )
        pages.audit(visit, "mail corrected", str(message.id))
        return pages.redirect(its.path(message), said="attention_corrected")

    @router.post(_NOTIFICATION + "/uncorrect")
    def uncorrect(
        request: Request,
        visit: Annotated[Visit, pages.may_work_by_form],
        merchant: str,
        message_id: str,
        notification_id: str,
        correction: Annotated[str, Form()] = "",
    ) -> Response:
        message, one = its.notification(merchant, message_id, notification_id)
        number = _number(correction)
        if number not in [each.id for each in store.corrections_of(message.id) if each.position == one.position]:
            raise _nothing()
        with shown_again(partial(its.page, request, visit, message)):
            store.undo_correction(number, by=visit.user.name)
        pages.audit(visit, "correction undone", str(message.id))
        return pages.redirect(its.path(message), said="attention_uncorrected")


def _decisions(router: APIRouter, pages: Pages, its: "_Attention") -> None:
    store = pages.store
    Note = Annotated[str, Form(max_length=2000)]  # noqa: N806  # a type

    @router.post(_NOTIFICATION + "/release")
    def release(
        request: Request,
        visit: Annotated[Visit, pages.may_work_by_form],
        merchant: str,
        message_id: str,
        notification_id: str,
        note: Note = "",
        seen: Annotated[str, Form()] = "",
        in_place_of: Annotated[str, Form()] = "",
        named: Annotated[list[str], Form()] = [],  # noqa: B006  # read only
    ) -> Response:
        message, one = its.notification(merchant, message_id, notification_id)
        asked = Asked("release", one.notification, {"note": note}, frozenset(named))
        with shown_again(lambda error: its.page(request, visit, message, error, asked)):
            store.release_notification(
                one.notification,
                by=visit.user.name,
                note=note or None,
                named=named,
                seen=seen or None,
                in_place_of=_number(in_place_of) or None,
            )
        return its.decided(visit, message, one, "released")

    @router.post(_NOTIFICATION + "/dismiss")
    def dismiss(
        request: Request,
        visit: Annotated[Visit, pages.may_work_by_form],
        merchant: str,
        message_id: str,
        notification_id: str,
        note: Note = "",
    ) -> Response:
        message, one = its.notification(merchant, message_id, notification_id)
        asked = Asked("dismiss", one.notification, {"note": note})
        with shown_again(lambda error: its.page(request, visit, message, error, asked)):
            store.dismiss_notification(one.notification, by=visit.user.name, note=note or None)
        return its.decided(visit, message, one, "dismissed")

    @router.post(_NOTIFICATION + "/merge")
    def merge(
        request: Request,
        visit: Annotated[Visit, pages.may_work_by_form],
        merchant: str,
        message_id: str,
        notification_id: str,
        order: Annotated[str, Form(max_length=200)] = "",
        note: Note = "",
    ) -> Response:
        message, one = its.notification(merchant, message_id, notification_id)
        asked = Asked("merge", one.notification, {"note": note, "order": order})
        with shown_again(lambda error: its.page(request, visit, message, error, asked)):
            store.merge_notification(one.notification, _order_named(order), by=visit.user.name, note=note or None)
        return its.decided(visit, message, one, "merged")

    @router.post(_NOTIFICATION + "/undo")
    def undo(
        request: Request,
        visit: Annotated[Visit, pages.may_work_by_form],
        merchant: str,
        message_id: str,
        notification_id: str,
    ) -> Response:
        message, one = its.notification(merchant, message_id, notification_id)
        with shown_again(partial(its.page, request, visit, message)):
            store.undo_decision(one.notification, by=visit.user.name)
        pages.audit(visit, "decision undone", str(message.id))
        return pages.redirect(its.path(message), said="attention_undone")


def _rereading(router: APIRouter, pages: Pages, its: "_Attention") -> None:
    @router.get("/m/{merchant}/attention/{message_id}/reread")
    def preview(request: Request, visit: Annotated[Visit, pages.may_work], merchant: str, message_id: str) -> Response:
        message = its.message(merchant, message_id)
        with shown_again(partial(its.page, request, visit, message)):
            change = its.reread(message, apply=False)
        orders = {one.position: _read_differently(one, visit.locale) for one in change.notifications}
        return pages.show(request, visit, "attention_reread.html", message=message, change=change, orders=orders)

    @router.post("/m/{merchant}/attention/{message_id}/reread")
    def apply(
        request: Request, visit: Annotated[Visit, pages.may_work_by_form], merchant: str, message_id: str
    ) -> Response:
        message = its.message(merchant, message_id)
        with shown_again(partial(its.page, request, visit, message)):
            its.reread(message, apply=True)
        pages.audit(visit, "mail read again", str(message.id))
        return pages.redirect(its.path(message), said="attention_reread")


@dataclass(frozen=True)
class Standing:
    """An order as it stands here, beside a mail that tells of it again. `changes`: what the mail says otherwise;
    `stated`: the revision that the mail is, as it says."""

    id: int
    revision: int
    changes: tuple[ShownChange, ...]
    stated: int

    @property
    def is_newer(self) -> bool:
        return self.stated > self.revision


@dataclass(frozen=True)
class Asked:
    """What was asked for by a form and refused. `form`: which one, of this notification; `typed`: what was typed, by
    the names of the form and, where it corrects, of the fields; `named`: what was ticked; `beside`: what stood in
    fields where the mail reads otherwise by now, to be looked at and not sent again unseen."""

    form: str
    notification: int
    typed: dict[str, str]
    named: frozenset[str] = frozenset()
    beside: Mapping[str, str] = field(default_factory=dict)


def _reading(seen: str) -> str:
    """Of what a person saw, what was read."""
    return seen.partition("-")[2]


class _Attention:
    """What the routes have in common: finding a mail of this merchant, and showing it."""

    def __init__(self, pages: Pages) -> None:
        self.pages = pages
        self.store = pages.store

    def message(self, merchant: str, message_id: str) -> ShownMessage:
        """A message of this merchant. Raises HTTPException 404."""
        number = _number(message_id)
        try:
            found = self.store.shown_message(number) if number else None
        except NoSuchMessageError:
            found = None
        if found is None or found.merchant != merchant:
            raise _nothing()
        return found

    def notification(
        self, merchant: str, message_id: str, notification_id: str
    ) -> tuple[ShownMessage, ShownNotification]:
        """A notification with its message, of this merchant. Raises HTTPException 404."""
        message, number = self.message(merchant, message_id), _number(notification_id)
        for one in message.notifications:
            if one.notification == number:
                return message, one
        raise _nothing()

    def octets(self, merchant: str, message_id: str) -> bytes:
        """The octets of a message of this merchant. Raises HTTPException: 404, 410 where they are kept no longer."""
        message = self.message(merchant, message_id)
        raw = self.store.message_octets(merchant, message.id)
        if raw is None:
            raise HTTPException(HTTPStatus.GONE, "the octets of this mail are not kept any more")
        return raw

    def path(self, message: ShownMessage) -> str:
        return f"/m/{message.merchant}/attention/{message.id}"

    def language_of(self, visit: Visit) -> Any:
        return language(visit.locale)

    def fields(self, one: ShownNotification, visit: Visit) -> tuple[ShownField, ...]:
        """What was read, as it is corrected."""
        stated = one.corrected_order or one.order
        base = order_of(json.dumps(stated)) if stated else partial_values(one.partial)
        return fields_of(base, one.problems, self.language_of(visit), carrier=one.carrier)

    def standing(self, one: ShownNotification, visit: Visit, merchant: str) -> Standing | None:
        """The order as it stands here that a waiting notification tells of again; None where there is none."""
        stated = one.corrected_order or one.order
        if stated is None or one.state not in WAITING:
            return None
        order = order_of(json.dumps(stated))
        known = self.store.standing_order(merchant, order.platform, order.order_number)
        if known is None:
            return None
        return Standing(known.id, known.revision, shown_changes(known.order, order, visit.locale), one.revision or 1)

    def likely(self, fields: Sequence[ShownField], merchant: str) -> tuple[ListedOrder, ...]:
        """Orders that a notification may tell of: those with a number, mail address or name that was read of it, a few
        of the newest for each."""
        read = {field.path: field.value or "" for field in fields}
        texts = dict.fromkeys(" ".join(read.get(path, "") for path in paths) for paths in _TELLING)
        found: dict[int, ListedOrder] = {}
        for text in texts:
            if typed_words(text):  # else all orders are meant
                page = self.store.order_page(merchant, OrderFilters(text=text), limit=_LIKELY_OF_EACH)
                found |= {order.id: order for order in page.orders}
        return tuple(found.values())

    def as_seen(self, one: ShownNotification, message: ShownMessage, seen: str | None) -> ShownNotification:
        """The notification as it was seen, with the correction that was in force then; None: as it is now."""
        correction = _number((seen or "").partition("-")[0])
        if seen is None or correction == (one.correction or 0):
            return one
        order = next((each.order for each in self.store.corrections_of(message.id) if each.id == correction), None)
        return replace(one, correction=correction or None, corrected_order=order)

    def page(
        self,
        request: Request,
        visit: Visit,
        message: ShownMessage,
        error: IonError | None = None,
        asked: Asked | None = None,
        *,
        show: str = "",
        done: tuple[int, int | None] | None = None,
    ) -> Response:
        """The mail beside what was read of it; with an error, what was typed stays."""
        raw = self.store.message_octets(message.merchant, message.id)
        view = view_of(raw) if raw is not None else None
        faults = {fault.field: fault.message for fault in error.faults} if isinstance(error, CorrectionError) else {}
        status = HTTPStatus.OK if error is None else HTTPStatus.CONFLICT
        shown_fields = {one.notification: self.fields(one, visit) for one in message.notifications}
        elsewhere = [
            translated(text, visit.locale).text
            for name, text in faults.items()
            if not any(name == field.path for field in shown_fields.get(asked.notification if asked else 0, ()))
        ]
        return self.pages.show(
            request,
            visit,
            "attention_mail.html",
            status=HTTPStatus.UNPROCESSABLE_ENTITY if faults else status,
            message=message,
            view=view,
            tab=_tab(show, view),
            purged_at=None if raw is not None else self.store.purged_at(message.id),
            fields=shown_fields,
            label_of=lambda one, name: _label(shown_fields[one.notification], name),
            groups={number: _by_section(fields) for number, fields in shown_fields.items()},
            waits=lambda one: one.state in WAITING,
            why_waits=lambda one: why_waits(one.state, one.grade, one.reason),
            visible=visible,
            corrections=self.store.corrections_of(message.id),
            events=self.store.notification_events(message.id),
            order_ids=self._order_ids(message),
            likely={
                one.notification: self.likely(shown_fields[one.notification], message.merchant)
                for one in [one for one in message.notifications if one.state in WAITING][:_MOST_PROPOSED_FOR]
            },
            country=lambda code: country_text(code, visit.locale),
            translated=lambda text: translated(text, visit.locale),
            standing={one.notification: self.standing(one, visit, message.merchant) for one in message.notifications},
            refusal=" ".join(elsewhere) if faults else _words(error, Texts(visit.locale)) if error else None,
            asked=asked,
            typed_in=lambda form, one: (
                asked.typed if asked and (asked.form, asked.notification) == (form, one.notification) else {}
            ),
            faults=faults,
            beside=self.store.waiting_beside(message.merchant, message.id),
            done=done,
        )

    def decided(self, visit: Visit, message: ShownMessage, one: ShownNotification, what: str) -> Response:
        """After a decision: the next mail that waits, or the list where none does; both offer to undo it."""
        self.pages.audit(visit, f"mail {what}", str(message.id))
        before, after = self.store.waiting_beside(message.merchant, message.id)
        following = after or before
        path = f"/m/{message.merchant}/attention" + (f"/{following}" if following else "")
        return self.pages.redirect(path, said=f"attention_{what}", done=f"{message.id}-{one.notification}")

    def done(self, merchant: str, text: str) -> tuple[int, int | None] | None:
        """The message and notification that was just decided, the latter None where that cannot be undone (any more);
        None where there are none."""
        message_id, _, notification_id = text.partition("-")
        try:
            message, one = self.notification(merchant, message_id, notification_id)
        except HTTPException:
            return None
        events = [event for event in self.store.notification_events(message.id) if event.position == one.position]
        can_be_undone = one.decision is not None and events and not events[-1].final
        return message.id, one.notification if can_be_undone else None

    def reread(self, message: ShownMessage, *, apply: bool) -> MessageChange:
        """What another reading changes. Raises IonError where the mail cannot be read again."""
        settings = self.pages.settings
        with closing(Authenticator.from_settings(self.store, settings)) as authenticator:
            (found,) = reparse(
                self.store,
                key_ring(settings, self.store).keys_for,
                authenticator,
                Chosen((message.id,)),
                apply=apply,
                timeout_seconds=settings.read_timeout_seconds,
            )
        if isinstance(found, NotReread):
            raise found.error
        return found

    def _order_ids(self, message: ShownMessage) -> dict[int, int]:
        """The order that each notification belongs to, by its id."""
        (listed,) = self.store.mail_page(message.merchant, "all", beyond=message.id + 1, limit=1)
        return {one.id: one.order_id for one in listed.notifications if one.order_id is not None}


def _read_differently(one: NotificationChange, locale: str) -> tuple[ShownChange, ...]:
    """What another reading says otherwise of the order; where only one of the two found an order, all of it."""
    before, now = (order_of(content) if content else None for content in (one.content_before, one.content_after))
    if before and now:
        return shown_changes(before, now, locale)
    order = before or now
    return tuple(
        ShownChange(f"{field.section}: {field.label}", field.value if before else None, field.value if now else None)
        for field in (fields_of(order, (), language(locale)) if order else ())
        if field.value
    )


def _label(fields: Iterable[ShownField], name: str) -> str | None:
    """What the page calls a field, with its section; None for a name that is none of the fields shown."""
    return next((f"{field.section}: {field.label}" for field in fields if field.path == name), None)


def _by_section(fields: Iterable[ShownField]) -> list[tuple[str, list[ShownField]]]:
    return [(section, list(of_it)) for section, of_it in groupby(fields, key=lambda field: field.section)]


def _tab(asked: str, view: MailView | None) -> str:
    """Which view of the mail is shown: the one asked for, else its HTML, else its text."""
    if view is None:
        return "header"
    there: Iterable[str] = ("html",) * bool(view.pages) + ("text",) * bool(view.texts) + ("header", "files")
    return asked if asked in there else next(iter(there))


def _order_named(text: str) -> int | str:
    """The number of an order; its id where it is given as `id:7`, as the refusal of a number names it that several
    have."""
    text = text.strip()
    return (id_of(text.removeprefix("id:")) if text.startswith("id:") else None) or text


def _words(error: IonError, texts: Texts) -> str:
    """Why something was not done."""
    match error:
        case OtherCorrectionError():
            return texts("attention.other_correction")
        case NotNamedError():
            return texts("attention.not_named")
        case ContradictsError():
            return texts("attention.contradicts")
        case OtherRevisionError():
            return texts("attention.other_revision")
        case NoSuchOrderError():
            return texts("attention.no_such_order")
        case _:
            return str(error)


def _number(text: str) -> int:
    """A number of a path or form; 0 for what is none, which nothing has."""
    return id_of(text) or 0


def _nothing() -> HTTPException:
    return HTTPException(HTTPStatus.NOT_FOUND, "there is no such mail; the list names those there are")
