"""One address block -> the values of an `ion.order.Address`, with its country as a two-letter code."""

from ion.payloads.countries import country_code
from ion.payloads.tolerant import shown
from ion.payloads.values import Node, Rows, Values, fill

# Both platforms give these as countries of their own; parcels and shops know them as states of the US.
US_TERRITORIES = ("PR", "VI")


def read_address(node: Node, rows: Rows, code_key: str, name_keys: tuple[str, ...] = ()) -> Values:
    """The address in `node`. The code in `code_key` decides the country; without one that exists, the first of
    `name_keys` that means a country does. What means another country than that is kept in `country_stated`.

    Raises PayloadError for a code that is none, unless a name helps out.
    """
    values = fill(node, rows)
    stated = {key: text for key in (code_key, *name_keys) if (text := node.text(key))}
    meant = {key: country_code(text) for key, text in stated.items()}
    country = meant.get(code_key) or next((code for code in meant.values() if code), None)
    if code_key in stated and country is None:
        raise node.error(code_key, f"{shown(stated[code_key])} is no country; expected a code of ISO 3166-1 such as DE")
    if country in US_TERRITORIES:
        values["country_stated"] = [country]
        values.setdefault("state_code", country)
    for key, text in stated.items():
        if meant[key] is None or meant[key] != country:
            values.setdefault("country_stated", []).append(text)
            node.payload.warn(
                f"{node.path_of(key)}: {shown(text)} is not {country or 'a known country'}; {_decided(country)}"
            )
    if country:
        values["country"] = "US" if country in US_TERRITORIES else country
    return values


def _decided(country: str | None) -> str:
    return f"the order goes by {country}" if country else "kept as stated"
