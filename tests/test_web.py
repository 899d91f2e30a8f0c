"""What every page has: texts in three languages, headers, the sign-in before it, and forms that only it can send."""

import re
import string
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import APIRouter

from ion.store import Store
from ion.web.pages import Pages, template_folder
from ion.web.texts import LOCALES, Texts, best_locale, catalogue
from ion.web.visits import Visit
from tests.web import site

TEMPLATES = sorted(Path(str(template_folder())).rglob("*.html"))


def test_every_text_is_in_each_language_with_the_same_values() -> None:
    texts = catalogue()
    for name, english in texts["en"].items():
        for locale in LOCALES:
            assert _values(texts[locale][name]) == _values(english), (locale, name)
            assert texts[locale][name].strip(), (locale, name)


def _values(text: str) -> set[str | None]:
    return {value for _, value, _, _ in string.Formatter().parse(text) if value is not None}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_text_that_a_template_names_is_there(template: Path) -> None:
    source = template.read_text("utf-8")
    for name in re.findall(r"""\bt\(\s*"([^"]+)"\s*[,)]""", source):
        assert name in Texts("en"), name
    for name in re.findall(r"""\bt\.counted\(\s*"([^"]+)"\s*[,)]""", source):
        assert f"{name}.one" in Texts("en") and f"{name}.other" in Texts("en"), name


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_a_script_a_style_or_a_form_without_proof_of_its_session(template: Path) -> None:
    source = template.read_text("utf-8")
    assert not re.search(
        r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=|\|\s*safe\b|https?://(?!www\.w3\.org)", source
    )
    for form in re.findall(r"<form[^>]*method=\"post\"[^>]*>.*?</form>", source, re.DOTALL):
        assert "csrf()" in form or "before_signing_in" in form, form[:120]


@pytest.mark.parametrize(
    ("wishes", "locale"),
    [("de-AT,de;q=0.9,en;q=0.8", "de"), ("it, fr;q=0.2", "fr"), ("it", "en"), ("", "en"), ("fr;q=0, de;q=x", "en")],
)
def test_a_page_is_in_the_language_that_the_browser_asks_for(wishes: str, locale: str) -> None:
    assert best_locale(wishes) == locale


def test_a_static_file_may_be_kept_for_ever_and_a_page_not_at_all(sqlite_store: Store, tmp_path: Path) -> None:
    visitor = site(tmp_path, sqlite_store).visitor()
    style = visitor.get("/static/ion.css?v=1")
    assert (style.status_code, style.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "immutable" in style.headers["cache-control"]
    missing = visitor.get("/static/../ion.css")
    assert missing.status_code == 404
    assert missing.headers["cache-control"] == "no-store"
    assert "script-src 'self'" in missing.headers["content-security-policy"]


def test_who_is_not_signed_in_signs_in_first_and_comes_back(sqlite_store: Store, tmp_path: Path) -> None:
    def some_routes(pages: Pages) -> APIRouter:
        router = APIRouter()

        @router.get("/m/{merchant}/try")
        def _page(visit: Annotated[Visit, pages.may_read]) -> str:
            return visit.user.name

        return router

    its = site(tmp_path, sqlite_store)
    its.app.include_router(some_routes(Pages(its.store, its.settings)))
    assert its.visitor().get("/m/default/try?a=b").headers["location"] == "/setup?back=%2Fm%2Fdefault%2Ftry%3Fa%3Db"
    ana = its.signed_in(default="reader")
    assert its.visitor().get("/m/default/try?a=b").headers["location"] == "/login?back=%2Fm%2Fdefault%2Ftry%3Fa%3Db"
    assert ana.get("/m/default/try").json() == "ana"
    assert ana.get("/m/other/try").status_code == 404


@pytest.mark.parametrize(
    ("language", "words"), [("en", "There is nothing here"), ("de", "Hier ist nichts"), ("fr", "Il n’y a rien ici")]
)
def test_an_error_is_told_in_the_language_of_the_browser(
    sqlite_store: Store, tmp_path: Path, language: str, words: str
) -> None:
    answer = site(tmp_path, sqlite_store).visitor().get("/no-such-page", headers={"accept-language": language})
    assert answer.status_code == 404 and words in answer.text
    assert '404 <span lang="en">Not Found</span>' in answer.text
