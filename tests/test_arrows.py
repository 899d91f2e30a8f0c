"""Imports point one way, as the rooms of the project say; read from the source, so that lazy ones count too."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Later rooms may import earlier ones. Rooms on one level do not know each other, unless `BESIDE` says so.
LEVELS = [
    {
        "errors",
        "files",
        "order",
        "order_words",
        "currencies",
        "config",
        "config_imap",
        "config_relay",
        "config_sftp",
        "config_tables",
    },
    {"contract", "content", "csv_input"},
    {"corrections"},
    {"seal", "payloads", "store", "shop_orders"},
    {"keys"},
    {"notify", "reading", "inbox", "export", "trust"},
    {"reader"},
    {"worker", "reparse", "schedule", "retention", "intake", "sample", "entering", "rows", "catalogues", "backup"},
    {"delivery"},
    {"watch", "nightly"},
    {"jobs"},
    {"sender", "alerting"},
    {"web"},
    {"serve"},
    {"logs"},
    {"demo", "console"},
    {
        "cli_merchant",
        "cli_trust",
        "cli_imap",
        "cli_privacy",
        "cli_alerts",
        "cli_jobs",
        "cli_dkim",
        "cli_outbox",
        "cli_template",
        "cli_nightly",
        "cli_catalogue",
        "cli_entered",
        "cli_delivery",
        "cli_web",
        "cli_backup",
        "cli_user",
    },
    {"cli_corrections"},
    {"cli"},
    {"__main__"},
]
BESIDE = {
    ("seal", "contract"),
    ("order", "errors"),
    ("currencies", "order"),
    ("config", "errors"),
    ("config", "config_imap"),
    ("config", "config_relay"),
    ("config", "config_sftp"),
    ("config", "config_tables"),
    ("config_imap", "config_tables"),
    ("config_sftp", "config_tables"),
    ("config_relay", "config_tables"),
    ("config_imap", "errors"),
    ("config_tables", "errors"),
    # A setting that names a language is checked against the catalogues; the contract knows no settings.
    ("config", "contract"),
}


def _modules() -> list[Path]:
    return sorted((ROOT / "ion").rglob("*.py"))


def _room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> set[str]:
    """The project's modules that a module imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            assert node.module
            found |= {node.module if node.module != "ion" else f"ion.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "ion" and name not in ("ion", "ion.__version__")}


def _level(room: str) -> int:
    return next(number for number, rooms in enumerate(LEVELS) if room in rooms)


@cache
def _arrows() -> frozenset[tuple[str, str]]:
    """Which rooms import which."""
    return frozenset((_room(_name(path)), _room(target)) for path in _modules() for target in _imports(path))


def test_every_module_is_in_a_known_room() -> None:
    known = set().union(*LEVELS)
    assert {_room(_name(path)) for path in _modules()} - {""} <= known


def test_imports_point_one_way() -> None:
    between = {(room, target) for room, target in _arrows() if room and room != target}
    assert len(between) > 300
    wrong = {(room, target) for room, target in between - BESIDE if _level(target) >= _level(room)}
    assert not wrong


def test_the_two_sides_never_import_each_other() -> None:
    sides = [("notify", "reading"), ("notify", "inbox"), ("payloads", "reading"), ("payloads", "notify")]
    assert not {pair for one, other in sides for pair in ((one, other), (other, one))} & _arrows()


def test_authentication_knows_the_store_by_its_types_only() -> None:
    # At run time the reading child imports the worker and with it this room, and has no database.
    for path in _modules():
        if _room(_name(path)) == "trust":
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ion."):
                    assert _room(node.module or "") in ("errors", "trust"), path.name


def test_the_contract_knows_only_the_order_and_errors() -> None:
    assert {target for room, target in _arrows() if room == "contract"} <= {"order", "errors", "contract"}
    assert {target for room, target in _arrows() if room == "order"} <= {"errors"}
    assert {target for room, target in _arrows() if room == "errors"} == set()


def test_the_reader_touches_no_database_network_or_setting() -> None:
    banned = {
        "store",
        "config",
        "socket",
        "sqlalchemy",
        "sqlmodel",
        "smtplib",
        "aiosmtpd",
        "urllib",
        "requests",
        "pathlib",
        "os",
    }
    for path in _modules():
        if _room(_name(path)) in ("reading", "contract", "content", "currencies", "order"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                names = [name for name in names if name != "urllib.parse"]  # takes addresses apart, visits none
                assert not {part for name in names for part in name.split(".")} & banned, path.name


def test_no_module_star_imports_or_reaches_into_another_rooms_private_names() -> None:
    for path in _modules():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert all(alias.name != "*" for alias in node.names), path.name
                if (node.module or "").startswith("ion") and _room(node.module or "") != _room(_name(path)):
                    private = [
                        alias.name for alias in node.names if alias.name.startswith("_") and alias.name[1] != "_"
                    ]
                    assert not private, f"{path.name}: {private}"
