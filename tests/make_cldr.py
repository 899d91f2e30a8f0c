"""Makes `ion/contract/cldr/<tag>.json` anew, once per version of CLDR: `python -m tests.make_cldr` (needs Babel).

The files are committed, because two machines may have two versions of CLDR and a notification must print and read alike
on both. Country names lose direction marks; numbers are taken in Latin digits, which
every program keeps.
"""

import json
from pathlib import Path

import babel
from babel.core import Locale, get_cldr_version

from ion.contract import tags
from ion.order import canonical_text

FOLDER = Path(__file__).resolve().parents[1] / "ion" / "contract" / "cldr"
# CLDR knows more territories than ISO 3166-1 has countries: regions of several, and codes kept for the past.
LOCALE = {"pt": "pt_PT", "pt-BR": "pt_BR", "zh-CN": "zh_Hans_CN", "zh-TW": "zh_Hant_TW"}
# minimumGroupingDigits of CLDR, which Babel leaves out: 1234 stays whole, 12 345 does not.
GROUPED_FROM_FIVE = {"es", "it", "pt", "pl", "hu"}
NO_COUNTRIES = {"AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"}


def countries(locale: Locale) -> dict[str, str]:
    names = {code: name for code, name in locale.territories.items() if len(code) == 2 and code.isalpha()}
    return {code: canonical_text(names[code]) or code for code in sorted(names) if code not in NO_COUNTRIES}


def main() -> None:
    for tag in tags():
        locale = Locale.parse(LOCALE.get(tag, tag))
        symbols = locale.number_symbols["latn"]
        table = {
            "source": f"Unicode CLDR {get_cldr_version()} (Babel {babel.__version__})",
            "decimal": symbols["decimal"],
            "group": symbols["group"],
            "least_grouped": 5 if tag in GROUPED_FROM_FIVE else 4,
            "countries": countries(locale),
        }
        (FOLDER / f"{tag}.json").write_text(json.dumps(table, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
