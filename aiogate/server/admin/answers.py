"""What the admin listener answers with: JSON, and problem+json (RFC 9457) for what went wrong."""

import orjson
from aiohttp import web

from aiogate.errors import CATALOGUE, Refusal, problem_body, problem_headers

__all__ = ["json", "problem"]


def json(said: object, status: int = 200) -> web.Response:
    """Return an answer that nobody keeps."""
    body = orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)
    return web.Response(
        status=status, body=body, content_type="application/json", headers={"Cache-Control": "no-store"}
    )


def problem(refused: Refusal, path: str) -> web.Response:
    """Return what went wrong with a request for a path."""
    body = problem_body(refused, "", path)
    return web.Response(status=CATALOGUE[refused.code].status, body=body, headers=dict(problem_headers(refused)))
