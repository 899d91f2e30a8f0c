"""`ion user ...`: who signs in to the staff page, and what each may do."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ion.console import opened_store, print_json, read_octets, settings_of
from ion.errors import SettingError, StoreError

if TYPE_CHECKING:
    from ion.store import Store, User

user_app = typer.Typer(no_args_is_help=True, help="Users of the staff page: who signs in, and what each may do.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.", show_default=False)]
PasswordFile = Annotated[
    Path | None,
    typer.Option(help="File whose first line is the password; - reads stdin. Without it, you are asked for one."),
]
OneTime = Annotated[
    bool, typer.Option("--one-time", help="Make a password and print it; the user changes it at the first sign-in.")
]


@user_app.command("add", epilog="Example: ion user add ana --one-time")
def user_add(
    context: typer.Context,
    name: Name,
    password_file: PasswordFile = None,
    one_time: OneTime = False,
    admin: Annotated[bool, typer.Option("--admin", help="May do everything, also add users.")] = False,
    sign_in_as: Annotated[
        str | None,
        typer.Option(
            metavar="IDENTIFIER",
            help="Without a password: the user's e-mail address at the OpenID Connect provider, or identifier there.",
        ),
    ] = None,
) -> None:
    """Add a user, who may do nothing yet: give a role, or --admin."""
    settings = settings_of(context)
    told = None
    with opened_store(settings) as store:
        if sign_in_as is not None:
            from ion.store import oidc_subject

            if one_time or password_file is not None:
                raise typer.BadParameter("give a password or --sign-in-as, not both")
            subject = oidc_subject(settings.oidc_issuer, sign_in_as)
            user = store.add_user(name, None, is_admin=admin, oidc_subject=subject)
        else:
            told, password_hash = _new_password(password_file, one_time)
            user = store.add_user(name, password_hash, is_admin=admin, one_time=one_time)
        _done(store, "user added", user, told)


@user_app.command("list", epilog="Example: ion user list | jq 'select(.has_second_factor | not).name'")
def user_list(context: typer.Context) -> None:
    """All users with their roles, one JSON line each; also those that are disabled."""
    with opened_store(settings_of(context)) as store:
        for user in store.users():
            print_json(asdict(user))


@user_app.command("password", epilog="Example: ion user password ana --one-time")
def user_password(
    context: typer.Context, name: Name, password_file: PasswordFile = None, one_time: OneTime = False
) -> None:
    """Give a user another password, and sign the user out everywhere."""
    with opened_store(settings_of(context)) as store:
        store.user(name)
        told, password_hash = _new_password(password_file, one_time)
        store.set_password(name, password_hash, one_time=one_time)
        _done(store, "password reset", store.user(name), told)


@user_app.command("role", epilog="Example: ion user role ana default staff")
def user_role(
    context: typer.Context,
    name: Name,
    merchant: Annotated[str, typer.Argument(metavar="MERCHANT", help="The merchant's name.")],
    role: Annotated[str, typer.Argument(metavar="ROLE", help="reader, staff or admin; none takes the role away.")],
) -> None:
    """What a user may do for a merchant."""
    from ion.store import Role

    if role not in ("none", *Role):
        raise typer.BadParameter(f"{role!r} is no role: reader, staff, admin or none")
    with opened_store(settings_of(context)) as store:
        user = store.set_role(name, merchant, None if role == "none" else Role(role))
        _done(store, "role taken" if role == "none" else "role given", user, subject=f"{user.name} {merchant} {role}")


@user_app.command("disable", epilog="Example: ion user disable ana")
def user_disable(context: typer.Context, name: Name) -> None:
    """The user is signed out at once, and may not sign in any more."""
    with opened_store(settings_of(context)) as store:
        _done(store, "user disabled", store.disable_user(name))


@user_app.command("enable", epilog="Example: ion user enable ana")
def user_enable(context: typer.Context, name: Name) -> None:
    """The user may sign in again."""
    with opened_store(settings_of(context)) as store:
        _done(store, "user enabled", store.enable_user(name))


@user_app.command("admin", epilog="Example: ion user admin ana")
def user_admin(
    context: typer.Context,
    name: Name,
    remove: Annotated[bool, typer.Option("--remove", help="Not any more.")] = False,
) -> None:
    """Let a user do everything for every merchant, and change users."""
    with opened_store(settings_of(context)) as store:
        what = "administrator no more" if remove else "made administrator"
        _done(store, what, store.set_admin(name, not remove))


@user_app.command("second-factor", epilog="Example: ion user second-factor ana --remove")
def user_second_factor(
    context: typer.Context,
    name: Name,
    remove: Annotated[bool, typer.Option("--remove", help="Ask for no code any more: the telephone was lost.")] = False,
) -> None:
    """Whether signing in takes a code. Users set that up themselves, on the page of their account."""
    with opened_store(settings_of(context)) as store:
        user = store.user(name)
        if not remove:
            print_json({"name": user.name, "has_second_factor": user.has_second_factor})
            return
        store.set_second_factor(name, None)
        _done(store, "second factor reset", store.user(name))


@user_app.command("setup-code", epilog="Example: ion user setup-code")
def user_setup_code(context: typer.Context) -> None:
    """Print the address at which the first user is made, while there is none. Keep it like a password."""
    settings = settings_of(context)
    with opened_store(settings) as store:
        if store.has_users():
            raise StoreError("there are users already: sign in, or use ion user add --admin")
    from ion.web.setup_code import setup_address, setup_code

    print_json({"code": setup_code(settings), "address": setup_address(settings)})


def _new_password(password_file: Path | None, one_time: bool) -> tuple[str | None, str]:
    """What is to be told, where it was made here; its hash. Raises SettingError, PasswordError."""
    from ion.web.passwords import Passwords, one_time_password

    if one_time:
        if password_file is not None:
            raise typer.BadParameter("give --one-time or --password-file, not both")
        told = one_time_password()
        return told, Passwords().hash(told)
    if password_file is not None:
        lines = read_octets(password_file).decode("utf-8", "replace").splitlines()
        return None, Passwords().hash(lines[0] if lines else "")
    if not sys.stdin.isatty():
        raise SettingError("nobody can be asked for a password here; give --password-file, or --one-time")
    return None, Passwords().hash(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _done(store: "Store", what: str, user: "User", told: str | None = None, *, subject: str | None = None) -> None:
    """Note it in the audit log, and print the user."""
    store.record_audit("ion user", what, subject or user.name)
    shown: dict[str, Any] = asdict(user)
    print_json(shown | {"password": told} if told else shown)
