"""`ion template export | check | preview`: mail templates of one's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ion.console import end, print_json, settings_of, with_progress

if TYPE_CHECKING:
    from ion.contract import Language
    from ion.order import Order

template_app = typer.Typer(no_args_is_help=True, help="Mail templates of your own: begin, check, look at them.")
Folder = Annotated[
    Path | None,
    typer.Argument(metavar="[FOLDER]", help="Folder of your templates; without it, the setting templates_dir."),
]
Tags = Annotated[
    list[str] | None, typer.Option("--language", metavar="TAG", help="Language of the mails; may be repeated.")
]
OrderNames = Annotated[
    list[str] | None, typer.Option("--order", metavar="NAME", help="Only this sample order; may be repeated.")
]


@template_app.command("export", epilog="Example: ion template export my-templates")
def template_export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; made where it is missing.")],
) -> None:
    """Copy the built-in templates into a folder, to change them there. Writes over nothing."""
    from ion.notify.templates import export_templates

    for path in export_templates(folder):
        typer.echo(path)


@template_app.command("check", epilog="Example: ion template check my-templates --language de")
def template_check(context: typer.Context, folder: Folder = None, language: Tags = None) -> None:
    """Render the hardest sample orders in all languages with the templates and read each body back. Prints one JSON
    line for each field that is lost, and for what mail programs clip, drop or block. Ends with 1 if anything is lost.
    """
    from ion.contract import tags
    from ion.notify.template_check import check_templates
    from ion.notify.templates import Templates
    from ion.reading import read_message

    templates = Templates(settings_of(context, templates_dir=folder).templates_dir)
    languages, orders = _languages(language or tags()), _sample_orders()
    counts = {"loss": 0, "error": 0, "warning": 0}
    for finding in check_templates(templates, orders, with_progress(languages, "checking"), read_back=read_message):
        counts[finding.kind] += 1
        print_json(finding.to_json())
    typer.echo(
        f"{len(orders)} orders in {len(languages)} languages: fields lost {counts['loss']}, "
        f"errors {counts['error']}, warnings {counts['warning']}",
        err=True,
    )
    end(bool(counts["loss"] or counts["error"]))


@template_app.command("preview", epilog="Example: ion template preview my-templates --order few-fields -o preview")
def template_preview(
    context: typer.Context,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where to write the files.")],
    folder: Folder = None,
    language: Tags = None,
    order: OrderNames = None,
) -> None:
    """Write sample mails as HTML, text, .eml and pictures (wide and narrow, light and dark), and index.html to look at
    all. Without --language, in the language of the settings."""
    from ion.notify.pictures import PROGRAMS, Chromium
    from ion.notify.preview import preview_templates
    from ion.notify.templates import Templates
    from ion.reading import read_message

    settings = settings_of(context, templates_dir=folder)
    orders = _named(_sample_orders(), order) if order else _sample_orders()
    chromium = Chromium.find()
    failed = False
    for one in preview_templates(
        Templates(settings.templates_dir),
        orders,
        _languages(language or [settings.locale]),
        output,
        sender=settings.sender,
        read_back=read_message,
        chromium=chromium,
    ):
        failed = failed or not one.files
        print_json(one.to_json())
    if chromium is None:
        typer.echo(f"there are no pictures, because none of {', '.join(PROGRAMS)} is on the PATH", err=True)
    typer.echo(f"look at {output / 'index.html'}", err=True)
    end(failed)


def _languages(wanted: Sequence[str]) -> "list[Language]":
    """The catalogues asked for, each once. Raises SettingError for one that is none."""
    from ion.contract import language

    return list({known.tag: known for known in map(language, wanted)}.values())


def _sample_orders() -> "dict[str, Order]":
    """The orders of the payloads that ship with the program, by the names of their files, and the hard ones."""
    from ion.demo.run import sample_payloads
    from ion.notify.sample_orders import hard_orders
    from ion.payloads import read_payloads

    results = read_payloads(sample_payloads())
    return {Path(result.name).stem: result.reading.order for result in results if result.reading} | hard_orders()


def _named(orders: "dict[str, Order]", names: Sequence[str]) -> "dict[str, Order]":
    unknown = [name for name in names if name not in orders]
    if unknown:
        raise typer.BadParameter(f"no sample order is named {unknown[0]!r}; there are {', '.join(orders)}")
    return {name: orders[name] for name in names}
