"""Runs the public Python tools, one request a line: `{"tool", "mode", "text", "html", "subject", "language"}`.

Started with the Python of an environment in which the tools are, so it imports nothing of this project. Answers
`{"kind", "body"}` with what the tool took for the mail that was forwarded, `{"kind", "kept"}` with what it left of the
mail where it is made to cut quotations off, `{}` where it saw no forward, or `{"error"}`.
"""

import json
import sys
from collections.abc import Callable
from importlib import import_module, metadata
from typing import Any

Answer = dict[str, str]
Ask = dict[str, str]


def quotequail(ask: Ask) -> Answer:
    tool, kind = import_module("quotequail"), ask["mode"]
    found = tool.unwrap_html(ask["html"]) if kind == "html" else tool.unwrap(ask["text"])
    return {"kind": kind, "body": (found or {}).get(kind, "")}


def email_forward_parser(ask: Ask) -> Answer:
    found = import_module("emailforwardparser.forward_parser").get_forwarded_metadata(ask["text"], ask["subject"])
    return {"kind": "text", "body": found.email.body if found.forwarded else ""}


def mail_parser_reply(ask: Ask) -> Answer:
    module = import_module("mailparser_reply")
    mail = module.EmailReplyParser(languages=[ask["language"].split("-")[0], "en"]).read(text=ask["text"])
    whole = ask["mode"] == "full body"
    # The first is what the forwarder wrote; the header lines of the others are taken off by the tool.
    rest = [reply.full_body if whole else reply.body for reply in mail.replies[1:]]
    return {"kind": "text", "body": "\n".join(rest)}


def email_reply_parser(ask: Ask) -> Answer:
    mail = import_module("email_reply_parser").EmailReplyParser.read(ask["text"])
    quoted = [part.content for part in mail.fragments if part.quoted or part.headers]
    return {"kind": "text", "body": "\n".join(quoted)}


def talon(ask: Ask) -> Answer:
    import_module("talon.quotations").register_xpath_extensions()
    kind = ask["mode"]
    content_type = "text/html" if kind == "html" else "text/plain"
    return {"kind": kind, "kept": import_module("talon.quotations").extract_from(ask[kind], content_type)}


def unquotemail(ask: Ask) -> Answer:
    html = ask["html"] if ask["mode"] == "html" else ""
    found = import_module("unquotemail").Unquote(html or None, ask["text"])
    if html:
        return {"kind": "html", "kept": found.get_html() or ""}
    return {"kind": "text", "kept": found.get_text() or ""}


TOOLS: dict[str, Callable[[Ask], Answer]] = {
    "quotequail": quotequail,
    "email-forward-parser": email_forward_parser,
    "mail-parser-reply": mail_parser_reply,
    "email-reply-parser": email_reply_parser,
    "talon": talon,
    "unquotemail": unquotemail,
}


def answered(ask: Ask) -> dict[str, Any]:
    try:
        if ask["mode"] == "version":
            return {"version": metadata.version(ask["tool"])}
        return TOOLS[ask["tool"]](ask)
    except Exception as error:  # whatever a tool may raise is its answer
        return {"error": f"{type(error).__name__}: {error}"[:200]}


def main() -> None:
    # Tools print; only answers may stand on the line they are read from.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        answers.write(json.dumps(answered(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
