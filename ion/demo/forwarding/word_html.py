"""HTML as Word writes it, the editor of Outlook for Windows: MsoNormal paragraphs in every cell, `o:p`, a style sheet
of its own, attributes without quotes, source broken anywhere."""

import re
from functools import lru_cache

from lxml.html import HtmlElement

from ion.demo.forwarding import page

HEAD = """\
<html xmlns:v="urn:schemas-microsoft-com:vml" xmlns:o="urn:schemas-microsoft-com:office:office"
 xmlns:w="urn:schemas-microsoft-com:office:word" xmlns:m="http://schemas.microsoft.com/office/2004/12/omml"
 xmlns="http://www.w3.org/TR/REC-html40"><head><meta http-equiv=Content-Type content="text/html; charset={charset}">
<meta name=Generator content="Microsoft Word 15 (filtered medium)">
<!--[if !mso]><style>v\\:* {{behavior:url(#default#VML);}}
o\\:* {{behavior:url(#default#VML);}}
.shape {{behavior:url(#default#VML);}}
</style><![endif]--><style><!--
/* Font Definitions */
@font-face
	{{font-family:Calibri;
	panose-1:2 15 5 2 2 2 4 3 2 4;}}
/* Style Definitions */
p.MsoNormal, li.MsoNormal, div.MsoNormal
	{{margin:0in;
	font-size:11.0pt;
	font-family:"Calibri",sans-serif;}}
@page WordSection1
	{{size:8.5in 11.0in;
	margin:1.0in 1.0in 1.0in 1.0in;}}
div.WordSection1
	{{page:WordSection1;}}
--></style><!--[if gte mso 9]><xml>
<o:shapedefaults v:ext="edit" spidmax="1026" />
</xml><![endif]--></head>
"""

_LOST = ("role", "scope", "id", "dir", "lang")
_PROPERTIES = frozenset("padding margin color background border border-bottom font-size".split())
_STRUCTURE = frozenset("div table p h1 h2 h3 blockquote ul ol hr pre".split())


def rewritten(body: HtmlElement, *, at_breaks: bool = False) -> str:
    """The inside of the body as Word writes it; with `at_breaks` every line of a cell is a paragraph of its own."""
    for tag in page.tags_of(body):
        _rewrite(tag)
    for tag in page.tags_of(body):
        if tag.tag == "thead":
            tag.drop_tag()
    for cell in list(body.iter("td")):
        page.paragraphs(cell, _paragraph, at_breaks=at_breaks)
    for tag in list(body.iter("p", "h1", "h2", "h3")):
        _mark(tag)
    return page.inner(body)


def _rewrite(tag: HtmlElement) -> None:
    for name in _LOST:
        tag.attrib.pop(name, None)
    tag.attrib.pop("class", None)
    if style := tag.get("style"):
        if kept := _style(style):
            tag.set("style", kept)
        else:
            del tag.attrib["style"]
    if tag.tag == "table":
        tag.attrib.clear()
        tag.attrib.update({"class": "MsoNormalTable", "border": "0", "cellspacing": "0", "cellpadding": "0"})
    elif tag.tag in {"p", "div"} and all(child.tag not in _STRUCTURE for child in tag.iterdescendants()):
        tag.tag = "p"
        tag.set("class", "MsoNormal")
    elif tag.tag == "th":
        tag.tag = "td"


def _paragraph() -> HtmlElement:
    return page.element("p", class_="MsoNormal")


def _mark(tag: HtmlElement) -> None:
    """Word's mark at the end of a paragraph; in an empty one it holds a no-break space."""
    mark = page.element("o:p")
    if not tag.text_content().strip():
        for child in list(tag):
            tag.remove(child)
        tag.text, mark.text = None, "\u00a0"
    tag.append(mark)


@lru_cache(maxsize=1024)
def _style(style: str) -> str:
    rules = (rule.partition(":") for rule in style.split(";"))
    kept = [f"{name.strip()}:{value.strip()}" for name, _, value in rules if name.strip() in _PROPERTIES]
    return page.with_units(re.sub(r"(\d+)px", _points, ";".join(kept)), "cm")


def _points(pixels: re.Match[str]) -> str:
    return f"{int(pixels[1]) * 0.75:.2f}".rstrip("0").rstrip(".") + "pt"


def quoted_as_word_does(html: str) -> str:
    """Attributes as Word quotes them: names bare, styles in single quotes."""
    bare = re.sub(r'(<[^<>]* )class="(\w+)"', r"\1class=\2", html)
    return re.sub(r' style="([^"\']*)"', r" style='\1'", bare)
