"""Settings: precedence, unknown names, bad values, secrets."""

from pathlib import Path

import pytest

from ion.config import load_settings, masked
from ion.errors import SettingError


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("ION_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(text, "utf-8")
    return path


def test_a_flag_stands_over_the_environment_and_this_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = _file(tmp_path, "smtp_port = 1001\nlocale = 'fr'\nrelay_port = 587\n")
    monkeypatch.setenv("ION_SMTP_PORT", "1002")
    monkeypatch.setenv("ION_LOCALE", "de")
    settings = load_settings({"smtp_port": 1003, "data_dir": None}, config)
    assert (settings.smtp_port, settings.locale, settings.relay_port) == (1003, "de", 587)


def test_ion_toml_in_the_working_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "ion.toml").write_text("smtp_port = 2525\n", "utf-8")
    assert load_settings().smtp_port == 2525


@pytest.mark.parametrize("source", ["file", "environment"])
def test_a_web_server_is_there_unless_its_port_is_none(
    source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usual = load_settings({"web_port": None})
    assert usual.web_port == 8080 and "web_port" not in usual.model_fields_set
    config = None
    if source == "file":
        config = _file(tmp_path, "web_port = 'none'\n")
    else:
        monkeypatch.setenv("ION_WEB_PORT", "none")
    assert load_settings({}, config).web_port is None
    assert load_settings({"web_port": 8081}, config).web_port == 8081
    monkeypatch.setenv("ION_WEB_PORT", "off")
    with pytest.raises(SettingError, match=r"web_port = 'off'.*give the number of a port, or none"):
        load_settings({})


def test_a_file_that_is_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="nowhere"):
        load_settings({}, tmp_path / "nowhere.toml")


@pytest.mark.parametrize("source", ["file", "environment"])
def test_an_unknown_name_is_an_error_that_tells_its_source(
    source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = None
    if source == "file":
        config = _file(tmp_path, "smtp_prot = 1\n")
    else:
        monkeypatch.setenv("ION_SMTP_PROT", "1")
    with pytest.raises(SettingError, match="smtp_prot"):
        load_settings({}, config)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("smtp_port", "70000"),
        ("smtp_port", "many"),
        ("export_time", "25:00"),
        ("export_time", "2"),
        ("time_zone", "Europe/Atlantis"),
        ("time_zone", "../../etc/passwd"),
        ("relay_security", "ssl"),
        ("locale", "tlh"),
        ("dns_server", "ns.example"),
        ("dns_server", "192.0.2.1:99999"),
    ],
)
def test_a_bad_value_is_an_error_that_names_the_setting_and_the_value(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"ION_{name.upper()}", value)
    with pytest.raises(SettingError, match=name):
        load_settings()


def test_a_secret_can_come_from_a_file_and_is_masked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret word\n", "utf-8")
    monkeypatch.setenv("ION_RELAY_PASSWORD_FILE", str(secret))
    settings = load_settings()
    assert settings.relay_password is not None
    assert settings.relay_password.get_secret_value() == "s3cret word"
    assert "s3cret" not in str(masked(settings))
    assert "s3cret" not in repr(settings)


def test_a_secret_file_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ION_RELAY_PASSWORD_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingError, match="ION_RELAY_PASSWORD_FILE"):
        load_settings()


def test_only_secrets_may_come_from_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ION_SMTP_PORT_FILE", "x")
    with pytest.raises(SettingError, match="smtp_port_file"):
        load_settings()
