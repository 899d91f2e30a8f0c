"""The pages of export profiles: which a merchant's files are written in, and what each is like.

GET  /m/MERCHANT/files/profiles          those in use, and all that can be used
POST /m/MERCHANT/files/profiles/use      write files in this one too, or make it the primary one
POST /m/MERCHANT/files/profiles/stop     write no more files in it
GET  /m/MERCHANT/files/profiles/about    the columns of one, `?name=`

A profile of the merchant's own is declared at `own_profile_pages`.
"""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ion.errors import ProfileError
from ion.export import PROFILES, Profile
from ion.nightly import profile_of
from ion.store import ExportProfile, Store
from ion.web.pages import Pages
from ion.web.refusals import shown_again
from ion.web.texts import Texts
from ion.web.visits import Visit

# What is not confirmed by the program that imports it is told by a text `profiles.unconfirmed.NAME`.
UNCONFIRMED = ("matrixify", "odoo", "odoo-contacts", "shipstation")


def profile_routes(pages: Pages) -> APIRouter:
    router = APIRouter()
    store = pages.store
    base = "/m/{merchant}/files/profiles"

    def show(request: Request, visit: Visit, merchant: str, status: int = HTTPStatus.OK, **more: Any) -> Response:
        every = store.export_profiles(merchant, inactive=True)
        used = [one for one in every if one.active]
        own = [one for one in every if one.definition is not None]
        unused = [name for name in PROFILES if name not in {one.name for one in used}]
        shown = {"problem": None, "form": {"name": "", "primary": "", "since": ""}} | more
        return pages.show(
            request,
            visit,
            "profiles.html",
            status=status,
            used=used,
            own_unused=[one for one in own if not one.active],
            unused=unused,
            built_in=PROFILES,
            **shown,
        )

    @router.get(base)
    def profiles(request: Request, visit: Annotated[Visit, pages.may_administer], merchant: str) -> Response:
        return show(request, visit, merchant)

    @router.post(base + "/use")
    def use(
        request: Request,
        visit: Annotated[Visit, pages.may_administer_by_form],
        merchant: str,
        name: Annotated[str, Form()] = "",
        primary: Annotated[str, Form()] = "",
        since: Annotated[str, Form()] = "",
    ) -> Response:
        own = own_profiles(store, merchant)
        form = {"name": name, "primary": primary, "since": since}
        if name not in PROFILES and name not in own:
            problem = Texts(visit.locale)("profiles.choose_one")
            return show(request, visit, merchant, HTTPStatus.UNPROCESSABLE_ENTITY, problem=problem, form=form)
        try:
            start = datetime.strptime(since, "%Y-%m-%d").replace(tzinfo=visit.zone).astimezone(UTC) if since else None
        except (ValueError, OverflowError):
            problem = Texts(visit.locale)("profiles.no_date", value=since[:20])
            return show(request, visit, merchant, HTTPStatus.UNPROCESSABLE_ENTITY, problem=problem, form=form)
        conflict = HTTPStatus.CONFLICT
        with shown_again(lambda error: show(request, visit, merchant, conflict, problem=str(error), form=form)):
            store.use_export_profile(merchant, name, primary=bool(primary), since=start)
        pages.audit(visit, "profile made primary" if primary else "profile used", name)
        return pages.redirect(f"/m/{merchant}/files/profiles", said="profiles_primary" if primary else "profiles_used")

    @router.post(base + "/stop")
    def stop(
        request: Request,
        visit: Annotated[Visit, pages.may_administer_by_form],
        merchant: str,
        name: Annotated[str, Form()] = "",
        sure: Annotated[str, Form()] = "",
    ) -> Response:
        used = {one.name: one for one in store.export_profiles(merchant)}
        text = Texts(visit.locale)
        problem = None
        if name not in used:
            problem = text("profiles.not_used")
        elif used[name].is_primary:
            problem = text("profiles.is_primary")
        elif not sure:
            problem = text("profiles.be_sure")
        if problem is not None:
            return show(request, visit, merchant, HTTPStatus.UNPROCESSABLE_ENTITY, problem=problem)
        # Where another administrator was quicker.
        with shown_again(lambda error: show(request, visit, merchant, HTTPStatus.CONFLICT, problem=str(error))):
            store.stop_export_profile(merchant, name)
        pages.audit(visit, "profile stopped", name)
        return pages.redirect(f"/m/{merchant}/files/profiles", said="profiles_stopped")

    @router.get(base + "/about")
    def about(
        request: Request, visit: Annotated[Visit, pages.may_administer], merchant: str, name: str = "standard"
    ) -> Response:
        declared: Profile | None = PROFILES.get(name)
        problem = None
        if declared is None and name in (known := own_profiles(store, merchant)):
            try:
                declared = profile_of(known[name])
            except ProfileError as error:  # what was good once is none for this version of the program
                problem = str(error)
        elif declared is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such profile")
        return pages.show(
            request,
            visit,
            "profiles_about.html",
            name=name,
            profile=declared,
            problem=problem,
            is_own=name not in PROFILES,
            unconfirmed=name if name in UNCONFIRMED else None,
        )

    return router


def own_profiles(store: Store, merchant: str) -> dict[str, ExportProfile]:
    """The profiles that the merchant declared, in use or not, by name."""
    every = store.export_profiles(merchant, inactive=True)
    return {one.name: one for one in every if one.definition is not None}
