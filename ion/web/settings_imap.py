"""Settings of IMAP accounts: those that the settings file names for a merchant, how they fare, and trying one out."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ion.config_imap import ImapAccount
from ion.errors import IonError
from ion.inbox.imap_check import CheckedFolder, check_account
from ion.store import ImapAccountStatus
from ion.web.access import too_often
from ion.web.pages import Pages
from ion.web.settings import show_section
from ion.web.visits import Visit

_TESTS, _TESTS_SECONDS = 10, 600.0


@dataclass(frozen=True)
class ShownAccount:
    """An account of the settings, and how it fares: `status` None where it was never fetched; `skipped`: how many
    messages were passed over and stay on the server."""

    account: ImapAccount
    status: ImapAccountStatus | None
    skipped: int


def imap_routes(pages: Pages) -> APIRouter:
    router = APIRouter()
    store, settings = pages.store, pages.settings
    not_too_often = too_often(_TESTS, _TESTS_SECONDS)

    def accounts_of(merchant: str) -> list[ShownAccount]:
        found = []
        for one in settings.imap:
            if one.merchant == merchant:
                folders = [cursor.folder for cursor in store.imap_cursors(one.name)]
                skipped = sum(len(store.skipped_imap_messages(one.name, folder)) for folder in folders)
                found.append(ShownAccount(one, store.imap_account_status(one.name), skipped))
        return found

    def show_imap(request: Request, visit: Visit, **checked: Any) -> Response:
        values: dict[str, Any] = {"checked": None, "folders": (), "trouble": None, **checked}
        return show_section(pages, request, visit, "imap", accounts=accounts_of(visit.merchant or ""), **values)

    @router.get("/m/{merchant}/settings/imap")
    def imap(request: Request, visit: Annotated[Visit, pages.may_administer]) -> Response:
        return show_imap(request, visit)

    @router.post("/m/{merchant}/settings/imap/{account}/test")
    def test_account(
        request: Request, visit: Annotated[Visit, pages.may_administer_by_form], merchant: str, account: str
    ) -> Response:
        known = next((one for one in settings.imap if (one.name, one.merchant) == (account, merchant)), None)
        if known is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such account")
        not_too_often(f"{known.name} {visit.user.name}")  # a server locks out who asks too often
        folders: tuple[CheckedFolder, ...] = ()
        trouble = None
        try:
            folders = check_account(known)
        except IonError as error:
            trouble = str(error)
        pages.audit(visit, "imap account tested", known.name)
        return show_imap(request, visit, checked=known.name, folders=folders, trouble=trouble)

    return router
