"""What the pages say, in English, German and French: one TOML file for each area, the three side by side.

    [orders.title]
    en = "Orders"
    de = "Bestellungen"
    fr = "Commandes"

A text may hold `{values}`. One that counts has two: `NAME.one` and `NAME.other`.
"""

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

LOCALES = ("en", "de", "fr")


class Texts:
    """The texts in one language; called with the name of one, and its values."""

    def __init__(self, locale: str) -> None:
        self.locale = locale
        self._texts = catalogue()[locale]

    def __call__(self, name: str, **values: Any) -> str:
        """The text. Raises KeyError for one that there is none of."""
        return self._texts[name].format(**values)

    def __contains__(self, name: str) -> bool:
        return name in self._texts

    def counted(self, name: str, count: int, **values: Any) -> str:
        """The text `name.one` or `name.other`, with `count`."""
        is_one = count == 1 or (self.locale == "fr" and count == 0)
        return self(f"{name}.{'one' if is_one else 'other'}", count=count, **values)


@cache
def catalogue() -> Mapping[str, Mapping[str, str]]:
    """All texts: by locale, then by name."""
    found: dict[str, dict[str, str]] = {locale: {} for locale in LOCALES}
    for file in sorted(resources.files(__name__).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            for name, texts in _flat(tomllib.loads(file.read_text("utf-8"))):
                for locale in LOCALES:
                    found[locale][name] = texts[locale]
    return found


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Mapping[str, str]]]:
    for name, value in table.items():
        if all(isinstance(text, str) for text in value.values()):
            yield prefix + name, value
        else:
            yield from _flat(value, f"{prefix}{name}.")


def best_locale(accept_language: str) -> str:
    """The locale that a browser would rather have (RFC 9110, 12.5.4); English where it has no wish we can meet."""
    wishes: list[tuple[float, int, str]] = []
    for position, part in enumerate(accept_language[:500].split(",")):
        tag, _, parameter = part.partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter.strip() else 1.0
        except ValueError:
            continue
        locale = tag.strip().lower().split("-")[0]
        if locale in LOCALES and weight > 0:
            wishes.append((-weight, position, locale))
    return min(wishes)[2] if wishes else "en"
