"""The staff page in tests: the application on a store, and browsers that somebody is signed in with."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argon2 import Parameters, Type
from starlette.testclient import TestClient

from ion.config import Settings
from ion.store import Role, Store
from ion.web.app import make_app
from ion.web.passwords import Passwords
from ion.web.visits import COOKIE, csrf_of

HTML = {"accept": "text/html"}
CHEAP_COST = Parameters(Type.ID, 19, salt_len=16, hash_len=32, time_cost=1, memory_cost=8, parallelism=1)
CHEAP = Passwords(CHEAP_COST)


@dataclass
class Site:
    """The application on a store."""

    store: Store
    settings: Settings
    app: Any = field(init=False)

    def __post_init__(self) -> None:
        self.app = make_app(self.store, self.settings, CHEAP)

    def visitor(self) -> TestClient:
        """A browser that nobody is signed in with."""
        return TestClient(self.app, base_url="http://ion.test", headers=HTML, follow_redirects=False)

    def signed_in(self, name: str = "ana", *, admin: bool = False, **roles: str) -> "Browser":
        """A browser with a new user: `admin` of all, or by merchant: `shop="staff"`."""
        self.store.add_user(name, None, is_admin=admin)
        for merchant, role in roles.items():
            self.store.set_role(name, merchant, Role(role))
        return Browser(self.visitor(), self.store.begin_session(name, verified=True))


@dataclass
class Browser:
    """A browser with a session; its forms carry what they have to."""

    client: TestClient
    token: str

    def __post_init__(self) -> None:
        self.client.cookies.set(COOKIE, self.token)

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(path, params=query or None)

    def post(self, path: str, files: Any = None, **values: Any) -> Any:
        """Send a form of this session."""
        return self.client.post(path, data={"csrf": csrf_of(self.token), **values}, files=files)

    def page(self, path: str, **query: Any) -> str:
        """The text of a page, without its tags and with single blanks."""
        answer = self.get(path, **query)
        assert answer.status_code == 200, (answer.status_code, answer.text[:500])
        return text_of(answer.text)


def text_of(html: str) -> str:
    """What a person reads of a page."""
    from bs4 import BeautifulSoup

    return re.sub(r"\s+", " ", BeautifulSoup(html, "lxml").get_text(" ")).strip()


def site(tmp_path: Path, store: Store, **settings: Any) -> Site:
    """The application on `store`, with its data folder in `tmp_path`."""
    return Site(store, Settings(data_dir=tmp_path, **settings))
