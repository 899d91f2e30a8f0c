"""`ion web` and `ion merchant token`: the web server alone, and who may fetch files from it."""

import signal
from dataclasses import asdict
from typing import Annotated

import typer

from ion.console import opened_store, print_json, settings_of
from ion.errors import SettingError


def web(
    context: typer.Context,
    web_host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    web_port: Annotated[int | None, typer.Option(help="Port to listen on; 0: any free one.")] = None,
) -> None:
    """Serve the staff page and published files over HTTP, and nothing else; `ion serve` does so too. While there is no
    user it writes the address at which the first one is made."""
    settings = settings_of(context, web_host=web_host, web_port=web_port)
    if settings.web_port is None:
        raise SettingError("web_port is none; set it, or give --web-port 8080")
    from ion.web.server import WebServer

    # Blocked here and in the threads begun after it, so that it is this thread that is told.
    ends = (signal.SIGTERM, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with opened_store(settings) as store:
        server = WebServer(store, settings)
        server.start()
        try:
            signal.sigwait(ends)
        finally:
            server.stop()


def token(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The merchant's name.", show_default=False)],
    new: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Make a token of this name, and print it: it is told once."),
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="With --name, what it is for: files (also without this), orders, entered; may be repeated."),
    ] = None,
    revoke: Annotated[str | None, typer.Option(metavar="NAME", help="The token is good no more, at once.")] = None,
) -> None:
    """Let a program fetch a merchant's files over HTTP, or ask for its orders. Without an option: list all tokens."""
    if new is not None and revoke is not None:
        raise typer.BadParameter("give --name or --revoke, not both")
    if scope and new is None:
        raise typer.BadParameter("--scope says what a new token is for; give --name too")
    with opened_store(settings_of(context)) as store:
        store.merchant(name)
        if new is not None:
            scopes = tuple(dict.fromkeys(scope or ("files",)))
            token = store.create_pull_token(name, new, scopes)
            print_json({"merchant": name, "name": new, "scopes": " ".join(scopes), "token": token})
            return
        if revoke is not None:
            store.revoke_pull_token(name, revoke)
        for one in store.pull_tokens(name):
            print_json(asdict(one))
