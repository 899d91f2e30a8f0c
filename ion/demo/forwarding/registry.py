"""Every client and gateway by its short name, with a line on what it does and where that is known from."""

from functools import partial

from ion.demo.forwarding import attached, gateways, webmail
from ion.demo.forwarding.apple import apple_ios, apple_mac, apple_selection
from ion.demo.forwarding.exchange import outlook_mobile, outlook_web
from ion.demo.forwarding.google import gmail, gmail_android, gmail_ios
from ion.demo.forwarding.mozilla import k9, thunderbird
from ion.demo.forwarding.office import outlook_2019, outlook_desktop, outlook_legacy, outlook_mac
from ion.demo.forwarding.options import Step
from ion.demo.forwarding.plain_text import flowed_text, mutt, rewrapped, text_program
from ion.demo.forwarding.templates import template_client
from ion.demo.forwarding.transport import filtered, mailing_list, redirected, signed

_FIXTURES = "email-forward-parser fixtures for what is written around the mail, the rest reported"
_REPORTED = "reported: after descriptions of its mails, not captured from it"
_ASSUMED = "assumed: after the client's known form in one language"

CLIENTS: dict[str, Step] = {
    "gmail": Step(gmail, "Gmail on the web: classes prefixed, text rebuilt at 76 columns with *bold*", _FIXTURES),
    "gmail-android": Step(gmail_android, "Gmail on Android: the note beside the quotation", _REPORTED),
    "gmail-ios": Step(gmail_ios, "Gmail on the iPhone", _REPORTED),
    "outlook": Step(outlook_desktop, "Outlook for Windows: HTML rewritten by Word, a paragraph per cell", _FIXTURES),
    "outlook-legacy": Step(
        outlook_legacy, "an old Outlook in the language's legacy charset, ? for what it lacks", _ASSUMED
    ),
    "outlook-2019": Step(outlook_2019, "Outlook 2019 for the Mac: one line of introduction, text indented", _FIXTURES),
    "outlook-mac": Step(outlook_mac, "the new Outlook for the Mac: no separator", _FIXTURES),
    "owa": Step(outlook_web, "Outlook on the web and the new Outlook: x_ classes, Safe Links", _FIXTURES),
    "outlook-mobile": Step(outlook_mobile, "Outlook on phones: as on the web, base64, its signature", _REPORTED),
    "apple": Step(apple_mac, "Apple Mail on macOS: quotation block, attachment inside the alternative", _FIXTURES),
    "apple-selection": Step(apple_selection, "Apple Mail with a selection: computed style on every element", _REPORTED),
    "ios": Step(apple_ios, "Apple Mail on the iPhone: two quotations, data detectors", _FIXTURES),
    "thunderbird": Step(thunderbird, "Thunderbird: table of headers, text format=flowed", _FIXTURES),
    "k9": Step(k9, "K-9 Mail, Thunderbird for Android", "public knowledge: its source"),
    "samsung": Step(
        template_client(webmail.SAMSUNG), "Samsung Email: base64, tables flattened, text run together", _REPORTED
    ),
    "yahoo": Step(template_client(webmail.YAHOO), "Yahoo Mail: classes prefixed ydp, headers run together", _REPORTED),
    "zoho": Step(template_client(webmail.ZOHO), "Zoho Mail: the separator above and below the headers", _REPORTED),
    "proton": Step(template_client(webmail.PROTON), "Proton Mail: classes dropped, text quoted", _REPORTED),
    "roundcube": Step(
        template_client(webmail.ROUNDCUBE),
        "Roundcube: classes prefixed v1, text flowed",
        "public knowledge: its source",
    ),
    "zimbra": Step(template_client(webmail.ZIMBRA), "Zimbra", "public knowledge: its source"),
    "gmx": Step(template_client(webmail.GMX), "GMX and WEB.DE: HTML only", _REPORTED),
    "mailru": Step(template_client(webmail.MAILRU), "Mail.ru: classes with a suffix, text quoted", _REPORTED),
    "yandex": Step(
        template_client(webmail.YANDEX), "Yandex Mail: one line of introduction, a line at the end", _REPORTED
    ),
    "evolution": Step(
        template_client(webmail.EVOLUTION),
        "Evolution: text broken at 71 columns and behind hyphens",
        "public knowledge",
    ),
    "notes": Step(template_client(webmail.NOTES), "HCL Notes: font elements in every cell", _REPORTED),
    "mutt": Step(mutt, "Mutt: the text between two lines of dashes", "public knowledge: its manual"),
    "mutt-quoted": Step(partial(mutt, quote_mark="> "), "Mutt with forward_quote", "public knowledge: its manual"),
    "claws": Step(rewrapped, "Claws Mail: quoted, every paragraph filled at 66 columns", "public knowledge"),
    "claws-combed": Step(
        partial(rewrapped, manner="combed", width=60),
        "quoted, then wrapped: short orphans without a mark",
        "RFC 3676, 4",
    ),
    "claws-joined": Step(partial(rewrapped, manner="joined"), "paragraphs filled with the marks inside", "fmt(1)"),
    "flowed": Step(flowed_text, "text format=flowed, quoted", "RFC 3676"),
    "flowed-delsp": Step(partial(flowed_text, delsp=True), "text format=flowed with DelSp: words cut", "RFC 3676, 4.1"),
    "alpine": Step(text_program("alpine"), "Alpine: lines cut at 74 columns, words too", "public knowledge"),
    "nmh": Step(text_program("nmh"), "nmh: lines that begin with a dash get another", "RFC 934"),
    "gnus": Step(text_program("gnus"), "Gnus: >From, base64", "public knowledge: RFC 4155"),
    "quoted": Step(text_program("quoted"), "wrapped at 68 columns, then quoted", "RFC 3676, 4.5"),
    "eudora": Step(text_program("eudora"), "Eudora: a bare > before every line", _REPORTED),
    "chevrons": Step(text_program("chevrons"), "Pegasus Mail: >> before every line", _ASSUMED),
    "bar": Step(text_program("bar"), "exmh: | before every line", _REPORTED),
    "thebat": Step(text_program("thebat"), "The Bat!: the sender's initials before every line", _REPORTED),
    "indented": Step(text_program("indented"), "a tab before every line", _ASSUMED),
    "hyphenating": Step(text_program("hyphenating"), "quoted, broken behind hyphens and inside long words", _ASSUMED),
    "trailing-blanks": Step(text_program("trailing-blanks"), "blanks at the end of every line, base64", _ASSUMED),
    "sylpheed": Step(text_program("sylpheed"), "Sylpheed: plain text in the language's legacy charset", _REPORTED),
    "becky": Step(text_program("becky"), "Becky!: iso-2022-jp, broken inside Japanese text", _REPORTED),
    **{
        f"attached-{program}": Step(
            partial(attached.as_attachment, program=program), f"the original attached, as by {by}", "RFC 2046, 5.2.1"
        )
        for program, by in (
            ("gmail", "Gmail"),
            ("thunderbird", "Thunderbird"),
            ("exchange", "Exchange"),
            ("apple", "Apple Mail"),
            ("octets", "programs that call it octets"),
            ("base64", "programs that encode it"),
        )
    },
    "digest": Step(attached.digest, "the original in a multipart/digest", "RFC 2046, 5.1.5"),
    "nested": Step(attached.nested, "the original as the whole content, message/rfc822", "RFC 2046, 5.2.1"),
    "filter": Step(filtered, "a forwarding rule: the mail as it was, headers in front", "public knowledge: Gmail"),
    "redirect": Step(redirected, "redirected: the mail as it was behind Resent- headers", "RFC 5322, 3.6.6"),
    "list": Step(mailing_list, "a mailing list: tag before the subject, footer", "public knowledge: Mailman 2"),
    "signed": Step(signed, "wrapped in multipart/signed", "RFC 8551, 3.5.3"),
}

GATEWAYS: dict[str, Step] = {
    "banner": Step(gateways.banner, "a warning about an external sender on top", "public knowledge: Exchange rules"),
    "footer": Step(gateways.footer, "a confidentiality notice at the bottom", "public knowledge"),
    "safe-links": Step(gateways.safe_links, "links through Microsoft's Safe Links", "public knowledge"),
    "urldefense-v2": Step(gateways.urldefense2, "links through Proofpoint, second form", "public knowledge"),
    "urldefense-v3": Step(gateways.urldefense3, "links through Proofpoint, third form", "public knowledge"),
    "linkprotect": Step(gateways.linkprotect, "links through Barracuda", _REPORTED),
    "zero-width": Step(gateways.zero_width, "unseen characters inside words", "reported"),
    "no-break": Step(gateways.no_break_blanks, "blanks that do not break", "reported"),
    "bidi": Step(gateways.bidi_marks, "direction marks around telephone numbers and behind colons", "reported"),
    "to-base64": Step(gateways.as_base64, "bodies written anew in base64", "assumed: virus scanners"),
    "to-qp": Step(gateways.as_quoted_printable, "bodies written anew in quoted-printable", "assumed: virus scanners"),
    "charset": Step(gateways.other_charset, "bodies written anew in another charset", "assumed: virus scanners"),
    "rewrap": Step(gateways.rewrap, "lines of text broken at 66 columns", "reported"),
    "flatten": Step(gateways.flatten, "tables turned into blocks, all style dropped", "assumed: sanitisers"),
    "strip-tags": Step(gateways.strip_tags, "text made of HTML by leaving out its tags", "assumed: PHP's strip_tags"),
    "drop-attachments": Step(gateways.drop_attachments, "no attachment gets through", "reported"),
    "drop-html": Step(gateways.drop_html, "no HTML gets through", "reported"),
    "drop-text": Step(gateways.drop_text, "the text beside HTML does not get through", "reported"),
}
