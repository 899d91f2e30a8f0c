"""Settings of what goes out: who is told by mail, and where files go."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ion.contract import languages, tags
from ion.delivery.target_address import checked_address
from ion.errors import SettingError
from ion.notify.render import mail_address
from ion.store import KINDS, ORDER_KINDS
from ion.web.pages import Pages
from ion.web.refusals import shown_again
from ion.web.settings import Text, Words, section_path, show_section
from ion.web.texts import Texts
from ion.web.visits import Visit

TARGET_KINDS = ("mail", "folder", "sftp")
# These write to this machine's disk, or sign in with this installation's keys.
OF_THE_INSTALLATION = ("folder", "sftp")


def outgoing_routes(pages: Pages) -> APIRouter:
    router = APIRouter()
    store, settings = pages.store, pages.settings

    def show_told(request: Request, visit: Visit, wrong: str | None = None, **given: object) -> Response:
        return show_section(
            pages,
            request,
            visit,
            "told",
            wrong=wrong,
            told=store.subscriptions(visit.merchant or ""),
            kinds=KINDS,
            languages=[(one.tag, one.name) for one in languages()],
            given={"address": "", "kinds": ORDER_KINDS, "mode": "single", "locale": "", **given},
        )

    @router.get("/m/{merchant}/settings/told")
    def told(
        request: Request, visit: Annotated[Visit, pages.may_administer], merchant: str, address: str = ""
    ) -> Response:
        known = next((one for one in store.subscriptions(merchant) if address and one.address == address), None)
        if known is None:
            return show_told(request, visit)
        return show_told(
            request, visit, address=known.address, kinds=known.kinds, mode=known.mode, locale=known.locale or ""
        )

    @router.post("/m/{merchant}/settings/told")
    def tell(
        request: Request,
        visit: Annotated[Visit, pages.may_administer_by_form],
        merchant: str,
        address: Text = "",
        kinds: Words = [],  # noqa: B006  # FastAPI copies it
        mode: Text = "single",
        locale: Text = "",
    ) -> Response:
        given: dict[str, Any] = {"address": address, "kinds": kinds, "mode": mode, "locale": locale}
        words = Texts(visit.locale)
        try:
            plain = mail_address(address).addr_spec
        except SettingError:
            return show_told(request, visit, words("settings.wrong_address", value=address), **given)
        if mode not in ("single", "daily") or (locale and locale not in tags()):
            return show_told(request, visit, words("settings.wrong_choice"), **given)
        if not kinds:
            return show_told(request, visit, words("settings.told.no_kind"), **given)
        with shown_again(lambda error: show_told(request, visit, str(error), **given)):
            store.subscribe(
                merchant, plain, kinds=kinds, mode="daily" if mode == "daily" else "single", locale=locale or None,
                note=f"staff page: {visit.user.name}",
            )  # fmt: skip
        pages.audit(visit, "subscription changed", " ".join(kinds))
        return pages.redirect(section_path(merchant, "told"), "saved")

    @router.post("/m/{merchant}/settings/told/end")
    def tell_no_more(
        request: Request,
        visit: Annotated[Visit, pages.may_administer_by_form],
        merchant: str,
        address: Text = "",
        sure: Text = "",
    ) -> Response:
        if not sure:
            return show_told(request, visit, Texts(visit.locale)("settings.not_sure"))
        with shown_again(lambda error: show_told(request, visit, str(error))):
            store.unsubscribe(merchant, address, note=f"staff page: {visit.user.name}")
        pages.audit(visit, "subscription ended", merchant)
        return pages.redirect(section_path(merchant, "told"), "settings_told_ended")

    def show_deliveries(request: Request, visit: Visit, wrong: str | None = None, **given: str) -> Response:
        merchant = visit.merchant or ""
        return show_section(
            pages,
            request,
            visit,
            "deliveries",
            wrong=wrong,
            targets=store.delivery_targets(merchant),
            waiting=store.deliveries(merchant),
            profiles=[one.name for one in store.export_profiles(merchant)],
            kinds=TARGET_KINDS if visit.user.is_admin else ("mail",),
            of_the_installation=OF_THE_INSTALLATION,
            own_folder=str(settings.exports / merchant) if visit.user.is_admin else None,
            given={"kind": "mail", "address": "", "profile": "", **given},
        )

    @router.get("/m/{merchant}/settings/deliveries")
    def deliveries(request: Request, visit: Annotated[Visit, pages.may_administer]) -> Response:
        return show_deliveries(request, visit)

    @router.post("/m/{merchant}/settings/deliveries")
    def deliver(
        request: Request,
        visit: Annotated[Visit, pages.may_administer_by_form],
        merchant: str,
        kind: Text = "",
        address: Text = "",
        profile: Text = "",
    ) -> Response:
        given, words = {"kind": kind, "address": address, "profile": profile}, Texts(visit.locale)
        if kind not in TARGET_KINDS or (profile and profile not in [p.name for p in store.export_profiles(merchant)]):
            return show_deliveries(request, visit, words("settings.wrong_choice"), **given)
        if kind in OF_THE_INSTALLATION and not visit.user.is_admin:
            raise HTTPException(HTTPStatus.FORBIDDEN, words("settings.deliveries_not_yours"))
        with shown_again(lambda error: show_deliveries(request, visit, str(error), **given)):
            place = checked_address(kind, address.strip(), settings)
            target = store.add_delivery_target(merchant, kind, place, profile=profile or None)
        pages.audit(visit, "delivery target added", str(target.id))
        return pages.redirect(section_path(merchant, "deliveries"), "settings_target_added")

    @router.post("/m/{merchant}/settings/deliveries/{target_id}/stop")
    def stop(
        request: Request,
        visit: Annotated[Visit, pages.may_administer_by_form],
        merchant: str,
        target_id: str,
        sure: Text = "",
    ) -> Response:
        found = next((one for one in store.delivery_targets(merchant) if str(one.id) == target_id), None)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "files do not go there, or not any more")
        if found.kind in OF_THE_INSTALLATION and not visit.user.is_admin:
            raise HTTPException(HTTPStatus.FORBIDDEN, Texts(visit.locale)("settings.deliveries_not_yours"))
        if not sure:
            return show_deliveries(request, visit, Texts(visit.locale)("settings.not_sure"))
        with shown_again(lambda error: show_deliveries(request, visit, str(error))):
            store.stop_delivery_target(merchant, found.address)
        pages.audit(visit, "delivery target stopped", str(found.id))
        return pages.redirect(section_path(merchant, "deliveries"), "settings_target_stopped")

    return router
