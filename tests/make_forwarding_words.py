"""Takes the names of months and days and the patterns of dates from CLDR: `python -m tests.make_forwarding_words`.

Needs babel, which nothing else here does; the result, `ion/demo/forwarding/words/cldr.json`, is committed with its
version, so that every machine forwards alike.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ion.demo.forwarding.words import LANGUAGES

TARGET = Path(__file__).resolve().parents[1] / "ion" / "demo" / "forwarding" / "words" / "cldr.json"
CLDR_VERSION = "47"
# Tags that CLDR names by territory or script.
LOCALES = {"pt": "pt_PT", "pt-BR": "pt_BR", "zh-CN": "zh_Hans_CN", "zh-TW": "zh_Hant_TW"}


def calendar(tag: str) -> dict[str, Any]:
    from babel import Locale

    locale = Locale.parse(LOCALES.get(tag, tag))
    months, days = locale.months["format"], locale.days["format"]
    periods = locale.day_periods["format"]["abbreviated"]
    periods = periods if "am" in periods else locale.day_periods["format"]["wide"]
    return {
        "months": [months["wide"][number] for number in range(1, 13)],
        "short_months": [months["abbreviated"][number] for number in range(1, 13)],
        "days": [days["wide"][number] for number in range(7)],
        "short_days": [days["abbreviated"][number] for number in range(7)],
        "periods": [periods["am"], periods["pm"]],
        "patterns": {
            **{name: locale.date_formats[name].pattern for name in ("full", "long", "medium", "short")},
            "time": locale.time_formats["short"].pattern,
            "seconds": locale.time_formats["medium"].pattern,
        },
    }


def main() -> None:
    source = f"Unicode CLDR {CLDR_VERSION} (Babel {version('babel')})"
    data = {"source": source, "languages": {tag: calendar(tag) for tag in LANGUAGES}}
    TARGET.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
