"""A merchant's first day: the address to forward mail to, how to do that, a sample, and what has happened so far."""

import re
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ion.reading import read_message
from ion.sample import send_sample
from ion.store import SAMPLE_NUMBER, ShownConfirmation
from ion.web.access import too_often
from ion.web.pages import Pages
from ion.web.refusals import shown_again
from ion.web.visits import Visit

# How many steps each way of forwarding has, by mail program: the texts `start.PROGRAM_WAY_NUMBER`.
STEPS = {
    "gmail": {"once": 3, "always": 4},
    "outlook": {"once": 3, "always": 3},
    "apple": {"once": 3, "always": 3},
}
_CONFIRMATIONS = 5
_SAMPLES, _SAMPLES_SECONDS = 10, 600.0
_SAMPLE = re.compile(re.escape(SAMPLE_NUMBER) + "[0-9A-F]{8}")


def start_routes(pages: Pages) -> APIRouter:
    router = APIRouter()
    store, settings = pages.store, pages.settings
    not_too_often = too_often(_SAMPLES, _SAMPLES_SECONDS)

    def show(request: Request, visit: Visit, *, sample: str = "", wrong: str | None = None) -> Response:
        merchant = visit.merchant or ""
        known, steps, asked = store.merchant(merchant), store.first_steps(merchant), store.confirmations(merchant)
        done = {
            "door": steps.mail_came or steps.sample is not None,
            "mail": steps.mail_came,
            **({"confirmation": True} if asked else {}),
            "order": steps.order_read,
            "told": steps.somebody_is_told,
            "file": steps.file_made,
            "entered": steps.order_entered,
            "second_factor": visit.user.has_second_factor,
        }
        return pages.show(
            request,
            visit,
            "start.html",
            status=HTTPStatus.CONFLICT if wrong else HTTPStatus.OK,
            address_text=known.addresses[0] if known.addresses else None,
            checklist=done,
            steps=STEPS,
            confirmations=[(one, _host(one)) for one in asked[:_CONFIRMATIONS]],
            newest_sample=steps.sample,
            # One that was sent a moment ago and is not read yet.
            awaited=sample if _SAMPLE.fullmatch(sample) and sample != (steps.sample and steps.sample[1]) else None,
            wrong=wrong,
        )

    @router.get("/m/{merchant}/start")
    def start(
        request: Request,
        visit: Annotated[Visit, pages.may_work],
        sample: Annotated[str, Query(max_length=40)] = "",
    ) -> Response:
        return show(request, visit, sample=sample)

    @router.post("/m/{merchant}/start/sample")
    def sample(request: Request, visit: Annotated[Visit, pages.may_work_by_form], merchant: str) -> Response:
        not_too_often(f"{merchant} {visit.user.name}")
        with shown_again(lambda error: show(request, visit, wrong=str(error))):
            number = send_sample(store.merchant(merchant), settings, read_back=read_message)
        pages.audit(visit, "sample sent", number)
        return pages.redirect(f"/m/{merchant}/start", "start_sample_sent", sample=number)

    return router


def _host(confirmation: ShownConfirmation) -> str | None:
    """Where its link would lead; None for a link that names no host."""
    try:
        return urlsplit(confirmation.link or "").hostname
    except ValueError:
        return None
