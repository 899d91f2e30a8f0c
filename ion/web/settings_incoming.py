"""Settings of what comes in: secret addresses and keys, and whose mail counts without a seal."""

import importlib.util
from typing import Annotated

from fastapi import APIRouter, Request
from starlette.responses import Response

from ion.errors import SettingError
from ion.keys import key_ring
from ion.store import RULE_KINDS
from ion.web.pages import Pages
from ion.web.refusals import shown_again
from ion.web.settings import Text, section_path, show_section
from ion.web.texts import Texts
from ion.web.visits import Visit


def incoming_routes(pages: Pages) -> APIRouter:
    router = APIRouter()
    store, settings = pages.store, pages.settings

    def show_addresses(request: Request, visit: Visit, wrong: str | None = None) -> Response:
        merchant = visit.merchant or ""
        found = store.addresses_of(merchant)
        key_ids: list[str] = []
        trouble = None
        try:
            key_ids = [key.key_id for key in key_ring(settings, store).keys_for(merchant)]
        except SettingError as error:
            trouble = str(error)
        return show_section(
            pages,
            request,
            visit,
            "addresses",
            wrong=wrong,
            used=[one for one in found if one.retired_at is None],
            retired=[one for one in found if one.retired_at is not None],
            key_ids=key_ids,
            key_trouble=trouble,
        )

    @router.get("/m/{merchant}/settings/addresses")
    def addresses(request: Request, visit: Annotated[Visit, pages.may_administer]) -> Response:
        return show_addresses(request, visit)

    @router.post("/m/{merchant}/settings/addresses")
    def add_address(request: Request, visit: Annotated[Visit, pages.may_administer_by_form], merchant: str) -> Response:
        with shown_again(lambda error: show_addresses(request, visit, str(error))):
            store.rotate_address(merchant, domain=settings.mail_domain)
        pages.audit(visit, "address added", merchant)
        return pages.redirect(section_path(merchant, "addresses"), "settings_address_added")

    @router.post("/m/{merchant}/settings/addresses/retire")
    def retire_address(
        request: Request,
        visit: Annotated[Visit, pages.may_administer_by_form],
        merchant: str,
        address: Text = "",
        sure: Text = "",
    ) -> Response:
        if not sure:
            return show_addresses(request, visit, Texts(visit.locale)("settings.not_sure"))
        with shown_again(lambda error: show_addresses(request, visit, str(error))):
            store.retire_address_of(merchant, address)
        pages.audit(visit, "address retired", merchant)  # the address itself is a secret
        return pages.redirect(section_path(merchant, "addresses"), "settings_address_retired")

    @router.post("/m/{merchant}/settings/addresses/new-key")
    def rotate_key(
        request: Request, visit: Annotated[Visit, pages.may_administer_by_form], merchant: str, sure: Text = ""
    ) -> Response:
        if not sure:
            return show_addresses(request, visit, Texts(visit.locale)("settings.not_sure"))
        with shown_again(lambda error: show_addresses(request, visit, str(error))):
            key = key_ring(settings, store).rotate_key(merchant)
        pages.audit(visit, "key rotated", key.key_id)
        return pages.redirect(section_path(merchant, "addresses"), "settings_key_rotated")

    def show_trust(request: Request, visit: Visit, wrong: str | None = None, **given: str) -> Response:
        policy = store.trust_policy(visit.merchant or "")
        return show_section(
            pages,
            request,
            visit,
            "trust",
            wrong=wrong,
            policy=policy,
            kinds=RULE_KINDS,
            given={"kind": "", "value": "", **given},
            can_verify=_can_verify(),
        )

    @router.get("/m/{merchant}/settings/trust")
    def trust(request: Request, visit: Annotated[Visit, pages.may_administer]) -> Response:
        return show_trust(request, visit)

    @router.post("/m/{merchant}/settings/trust")
    def add_rule(
        request: Request,
        visit: Annotated[Visit, pages.may_administer_by_form],
        merchant: str,
        kind: Text = "",
        value: Text = "",
    ) -> Response:
        if not _can_verify():
            return show_trust(
                request, visit, Texts(visit.locale)("settings.trust.cannot_verify"), kind=kind, value=value
            )
        with shown_again(lambda error: show_trust(request, visit, str(error), kind=kind, value=value)):
            store.add_trust_rule(merchant, kind, value)
        pages.audit(visit, "trust rule added", kind)
        return pages.redirect(section_path(merchant, "trust"), "settings_rule_added")

    @router.post("/m/{merchant}/settings/trust/remove")
    def remove_rule(
        request: Request,
        visit: Annotated[Visit, pages.may_administer_by_form],
        merchant: str,
        kind: Text = "",
        value: Text = "",
        sure: Text = "",
    ) -> Response:
        if not sure:
            return show_trust(request, visit, Texts(visit.locale)("settings.not_sure"))
        with shown_again(lambda error: show_trust(request, visit, str(error))):
            store.remove_trust_rule(merchant, kind, value)
        pages.audit(visit, "trust rule removed", kind)
        return pages.redirect(section_path(merchant, "trust"), "settings_rule_removed")

    return router


def _can_verify() -> bool:
    """Whether what verifies signatures is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("dkim", "authres"))
