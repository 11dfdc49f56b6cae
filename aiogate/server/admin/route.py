"""One route of the admin listener: how it is called, who answers, and what the OpenAPI document says of it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal

import attrs
from aiohttp import web

__all__ = ["Handler", "Route", "Schema"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Schema = Mapping[str, Any]
"""A JSON Schema, 2020-12, as OpenAPI 3.1 has it."""
_VARIABLE: Final = re.compile(r"\{(\w+)(?::([\w|]+))?\}")


@attrs.frozen(kw_only=True)
class Route:
    """One method of one path.

    Args:
        path: as aiohttp's router has it; a variable of few values has them: ``{verb:open|close|reset}``.
        summary: one sentence, what it does.
        answer: the schema of what a 200 brings, in JSON unless ``media_type`` says otherwise.
        query: what may be asked behind the question mark, by name.
        body: the schema of the JSON that it takes.
        problems: the codes of the refusals that it may answer with (``errors.CATALOGUE``).
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    handler: Handler
    summary: str
    answer: Schema = attrs.field(factory=dict)
    media_type: str = "application/json"
    query: Mapping[str, Schema] = attrs.field(factory=dict)
    body: Schema | None = None
    problems: tuple[str, ...] = ()

    @property
    def template(self) -> str:
        """The path as OpenAPI has it: ``/api/breaker/{agent}/{verb}``; what has one value alone is that word."""
        return _VARIABLE.sub(lambda match: f"{{{match[1]}}}" if _may_vary(match[2]) else match[2], self.path)

    @property
    def variables(self) -> dict[str, tuple[str, ...]]:
        """The variables of the path, each with the values that it may have; without any: whatever fits."""
        found = _VARIABLE.findall(self.path)
        return {name: tuple(values.split("|")) if values else () for name, values in found if _may_vary(values)}


def _may_vary(values: str | None) -> bool:
    return not values or "|" in values
