"""The static files of the pages: style, script, picture. Their addresses carry a digest, so browsers may keep them."""

from http import HTTPStatus

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ion.web.pages import static_files

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


def static_routes() -> APIRouter:
    router, files = APIRouter(), static_files()

    @router.api_route("/static/{name}", methods=["GET", "HEAD"])
    def static(name: str) -> Response:
        if name not in files:
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such file")
        media_type = _TYPES["." + name.rpartition(".")[2]]
        headers = {"Cache-Control": "public, max-age=31536000, immutable", "Content-Type": media_type}
        return Response(files[name], headers=headers)

    return router
