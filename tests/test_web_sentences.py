"""Sentences of reading and correcting on the German and French pages: all of them are known, as they are said."""

import ast
import inspect
import re
from collections.abc import Iterator
from string import Formatter
from types import ModuleType

import pytest

from ion import corrections
from ion.contract import forms, language
from ion.contract.fields import Kind
from ion.contract.forms import Unreadable, read_value
from ion.corrections import CorrectionError, Fault, corrected
from ion.reading import compare, judge, proof, repair, streams
from ion.reading.claims import Claim
from ion.web.sentences import translated
from ion.web.texts import catalogue

SAID_BY = {"Problem": 2, "Form": 1, "_Wrong": 0, "Fault": 2, "Unreadable": 0, "_reading": 3}  # which argument
NAMED = {"told", "message"}  # what such an argument is put into before
A_PART = {"claim.carrier", "proved.claim.carrier", "first.carrier", "other.carrier", "body.kind"}
# What is before the sentence where it is said, and what a value may be there.
BEFORE = {"Form": "the html part: ", "_Wrong": "line[1].sku: 'x' ", "Unreadable": "the text part: "}
ONLY_PUT_TOGETHER = {"x", "the html part: x", "x: x", "x:x x"}  # of others, which are here


def said_in(module: ModuleType) -> Iterator[str]:
    """The sentences in the source of a module, with something in the place of each value."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        match node:
            case ast.Call(func=ast.Name(id=name), args=given) if len(given) > SAID_BY.get(name, 99):
                said, before = given[SAID_BY[name]], BEFORE.get(name, "")
            case ast.Assign(targets=[ast.Name(id=name)], value=said) if name in NAMED:
                before = ""
            case ast.Yield(value=ast.Tuple(elts=[_, ast.JoinedStr() as said])):  # a value and its repair
                before = ""
            case _:
                continue
        for each in [said.body, said.orelse] if isinstance(said, ast.IfExp) else [said]:
            if isinstance(each, ast.JoinedStr | ast.Constant):
                yield before + "".join(map(filled, each.values if isinstance(each, ast.JoinedStr) else [each]))


def filled(piece: ast.expr) -> str:
    if isinstance(piece, ast.Constant):
        return str(piece.value)
    assert isinstance(piece, ast.FormattedValue)
    if piece.conversion == ord("r"):
        return repr("x")
    written = ast.unparse(piece.value)
    if "len(" in written or written.startswith("MAX") or written in ("following", "stated", "total"):
        return "7"
    return {"part": "the html part", "kind": "money"}.get(written, "html" if written in A_PART else "x")


MODULES = (compare, judge, proof, repair, streams, forms, corrections)
SAID = sorted({said for module in MODULES for said in said_in(module)} - ONLY_PUT_TOGETHER)


def test_there_are_sentences_in_the_source() -> None:
    assert len(SAID) > 60
    assert "the html part shows 'x', the sealed order says 'x'" in SAID
    assert "line[1].sku: 'x' is no country; type its two letters (ISO 3166-1), as DE" in SAID


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("locale", ["de", "fr"])
def test_a_sentence_in_the_source_is_known_to_the_pages(said: str, locale: str) -> None:
    found = translated(said, locale)
    assert found.locale == locale and found.text != said


def test_no_sentence_is_kept_that_nobody_says() -> None:
    texts = {
        name: text
        for name, text in catalogue()["en"].items()
        if name.startswith(("sentences.reading", "sentences.typed"))
    }
    unsaid = {
        name
        for name, text in texts.items()
        if not any(re.fullmatch(f"(the html part: )?{as_pattern(text)}", said, re.DOTALL) for said in SAID)
    }
    assert unsaid == ELSEWHERE


# Said in other ways: see `test_what_is_said_in_other_ways_is_known_too`.
ELSEWHERE = {
    "sentences.reading.empty",
    *(f"sentences.typed.{name}" for name in ("is_missing", "lacks_line", "lacks_delivery", "lacks_total")),
}


def as_pattern(text: str) -> str:
    return "".join(re.escape(literal) + (".*" if value else "") for literal, value, *_ in Formatter().parse(text))


def test_the_values_stay_as_they_are_and_what_has_a_name_is_named() -> None:
    found, sealed = "Rome', the sealed order says 'Oslo\\", 'O\'Neil "x"\n{x}'
    said = f"the text part shows {found!r}, the sealed order says {sealed!r}"
    assert translated(said, "de").text == (
        f"der Textteil zeigt {found!r}, in der versiegelten Bestellung steht {sealed!r}"
    )
    with pytest.raises(Unreadable) as wrong:
        read_value(Kind.MONEY, "many", language("de"))
    assert translated(f"the html part: {wrong.value}", "de").text == "der HTML-Teil: 'many' ist nicht zu lesen (Betrag)"


def test_what_is_said_in_other_ways_is_known_too() -> None:
    claim = Claim("html", language("en"), None, located={("line.quantity", (0,)): ""})
    ((_, why),) = claim.unreadable.items()
    assert translated(f"the html part: {why}", "de").text == "der HTML-Teil: es ist leer"
    faults: list[Fault] = []
    for changes in ({"customer.email": "eva@shop.example"}, {"totals.total_customer": "1 EUR"}, {"line[1].sku": "A"}):
        with pytest.raises(CorrectionError) as wrong:
            corrected({}, changes, language("en"))
        faults += wrong.value.faults
    assert len({fault.field for fault in faults}) >= 4
    assert {fault.message: translated(fault.message, "de").locale for fault in faults} == {
        fault.message: "de" for fault in faults
    }


@pytest.mark.parametrize("said", ["", "something else", "the pdf part has lost it", "the html part: something else"])
def test_what_is_not_known_stays_english_and_is_marked_so(said: str) -> None:
    assert (translated(said, "fr").text, translated(said, "fr").locale) == (said, "en")
    assert translated(said, "en").locale == "en"


@pytest.mark.parametrize("text", [piece for name, piece in catalogue()["en"].items() if name.startswith("sentences.")])
def test_no_mail_makes_a_sentence_long_to_look_through(text: str) -> None:
    literals = [literal for literal, *_ in Formatter().parse(text) if literal]
    for repeated in ("".join(literals), "' ".join(literals), *literals):
        for before in ("", "the html part ", "x: "):
            translated(f"{before}{repeated * (100_000 // len(repeated))}?", "de")
