"""The mail templates: the package's own, with a merchant's folder in front.

`order.html.j2` and `order.txt.j2` are Jinja2 templates, and so are `report.*.j2`, of the mail that brings a file, and
`alert.*.j2`, which are always the package's own. HTML is escaped automatically, an undefined name is an error, and the
sandbox keeps a merchant's template from reaching anything but what it is given. The HTML's style sheet is inlined, its
`@media` rules (dark mode, narrow screens) are kept.
"""

import re
import textwrap
import traceback
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import css_inline
import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from ion.contract.forms import LINE_BREAK
from ion.errors import IonError, RenderError, SettingError

TEXT_WIDTH = 74
HTML_NAME, TEXT_NAME = "order.html.j2", "order.txt.j2"
NAMES = (HTML_NAME, TEXT_NAME)
"""Those that a merchant may have of its own."""
ALERT_HTML_NAME, ALERT_TEXT_NAME = "alert.html.j2", "alert.txt.j2"


def built_in_folder() -> Path | Traversable:
    """Where the package's own templates are: inside an installed package, beside it in a checkout."""
    installed = resources.files("ion") / "templates" / "email"
    if installed.is_dir():
        return installed
    return Path(__file__).resolve().parents[2] / "templates" / "email"


def export_templates(folder: Path) -> list[Path]:
    """Copy the built-in templates into `folder`, which is made where it is missing; the files written.

    Raises IonError where one of them is there already, before anything is written, and where the folder cannot be
    written.
    """
    paths = [folder / name for name in NAMES]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            if path.exists() or path.is_symlink():
                raise IonError(f"{path} is there already and stays as it is; name another folder")
        for path in paths:
            with path.open("xb") as file:  # never over one that came into being meanwhile
                file.write((built_in_folder() / path.name).read_bytes())
    except OSError as error:
        raise IonError(f"the templates cannot be written into {folder}: {error.strerror}") from error
    return paths


class Templates:
    """Loads and renders the two templates. `folder`: a merchant's own; what it lacks comes from the built-in ones.

    Raises SettingError for a folder that is none, cannot be read, or holds neither template: its owner would take the
    built-in mail for the own one.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None:
            _check_folder(folder)
        self._folder = folder
        loaders: list[jinja2.BaseLoader] = [jinja2.FileSystemLoader(str(folder))] if folder else []
        loaders.append(jinja2.FunctionLoader(_built_in))
        # The sandbox looks at every access: a quarter of a mail's cost, which our own templates need not bear.
        environment = ImmutableSandboxedEnvironment if folder else jinja2.Environment
        self._environment = environment(
            loader=jinja2.ChoiceLoader(loaders),
            undefined=jinja2.StrictUndefined,
            autoescape=lambda name: name is not None and ".html" in name,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._environment.filters["wrapped"] = wrapped
        self._environment.filters["lined"] = lined
        self._inliner = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)

    def html(self, context: dict[str, Any], name: str = HTML_NAME) -> str:
        """The HTML body, styles inlined. Raises RenderError naming the template and line."""
        return self._inliner.inline(self._render(name, context))

    def text(self, context: dict[str, Any], name: str = TEXT_NAME) -> str:
        """The plain text body, LF lines of at most `TEXT_WIDTH` columns where words allow it."""
        return self._render(name, context)

    def origin(self, name: str) -> str:
        """Which of the two templates of this name is used: the path of the own one, or `built-in NAME`."""
        own = self._folder / name if self._folder else None
        return str(own) if own is not None and own.is_file() else f"built-in {name}"

    def _render(self, name: str, context: dict[str, Any]) -> str:
        try:
            return self._environment.get_template(name).render(context)
        except jinja2.TemplateSyntaxError as error:
            raise RenderError(f"template {error.name or name}, line {error.lineno}: {error.message}") from error
        except jinja2.TemplateError as error:
            raise RenderError(f"template {_place(error, name)}: {error.message}") from error
        except Exception as error:  # a merchant's template may divide by zero, recurse, call what is no function
            raise RenderError(f"template {_place(error, name)}: {type(error).__name__}: {error}") from error


def _check_folder(folder: Path) -> None:
    try:
        if not folder.is_dir():
            raise SettingError(f"the templates folder {folder} does not exist")
        own = [entry for entry in folder.iterdir() if entry.name in NAMES]
        for path in own:
            path.open("rb").close()
    except OSError as error:
        raise SettingError(
            f"{error.filename or folder}, of your own templates, cannot be read: {error.strerror}"
        ) from error
    if not own:
        raise SettingError(
            f"the templates folder {folder} holds neither {HTML_NAME} nor {TEXT_NAME}; "
            f"`ion template export {folder}` writes both to begin with"
        )


def _place(error: Exception, name: str) -> str:
    """The template and line in which an error came up; jinja2 gives its frames the template's own lines."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if frame.filename == "<template>" or frame.filename.endswith(f"/{name}")]
    return f"{name}, line {inside[-1].lineno}" if inside else name


def _built_in(name: str) -> str | None:
    """The text of a built-in template; only plain names, so no path leads out of the folder."""
    entry = built_in_folder() / name
    if "/" in name or "\\" in name or not entry.is_file():
        return None
    return entry.read_text("utf-8")


def wrapped(text: str, indent: str = "  ") -> str:
    """`text` in lines of at most `TEXT_WIDTH` columns, later ones indented, words never cut.

    No line begins with `>`: a mail client would take it for a quotation.
    """
    if len(text) <= TEXT_WIDTH and text.isprintable() and text == text.strip():
        return text  # as most fields are
    lines = textwrap.wrap(text, TEXT_WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    joined: list[str] = []
    for line in lines:
        if joined and line.lstrip().startswith((">", "|")):
            joined[-1] += " " + line.lstrip()
        else:
            joined.append(line)
    return "\n".join(joined)


def lined(text: str) -> Markup:
    """A printed value with lines for HTML, broken behind each line break (` / `), so that an address looks like one.

    The blank stays: some programs make text of a page by leaving out its tags.
    """
    return Markup("<br>").join(escape(piece) for piece in re.split(rf"(?<= {LINE_BREAK} )", text))
