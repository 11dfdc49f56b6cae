"""Every error that aiogate raises or answers with, and the one place that makes error bodies.

Knows nothing of exchanges, plugins or servers: it is the lowest floor.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs
import orjson

__all__ = [
    "CATALOGUE",
    "AiogateError",
    "CutError",
    "JournalError",
    "Kind",
    "PluginError",
    "Problem",
    "Refusal",
    "Refused",
    "SettingsError",
    "StateError",
    "UpstreamError",
    "problem_body",
    "problem_headers",
    "refusal",
]


@attrs.frozen
class Kind:
    """What every refusal with one code has in common.

    ``error_type`` is the ``error.type`` that the OpenAI and Anthropic SDKs know for this status.
    """

    status: int
    title: str
    error_type: str


CATALOGUE: Final[Mapping[str, Kind]] = {
    "bad_request": Kind(400, "Bad request", "invalid_request_error"),
    "bad_path": Kind(400, "Path leaves its agent", "invalid_request_error"),
    "unauthenticated": Kind(401, "Not authenticated", "authentication_error"),
    "role_required": Kind(403, "Role required", "permission_error"),
    "killed": Kind(403, "Stopped by an operator", "permission_error"),
    "policy_denied": Kind(403, "Denied by a policy", "permission_error"),
    "policy_failed": Kind(403, "A policy could not be decided", "permission_error"),
    "origin_not_allowed": Kind(403, "Origin not allowed", "permission_error"),
    "foreign_origin": Kind(403, "Asked by a foreign web page", "permission_error"),
    "unknown_agent": Kind(404, "Unknown agent", "not_found_error"),
    "unknown_capability": Kind(404, "Unknown capability", "not_found_error"),
    "unknown_halt": Kind(404, "Unknown kill or pause", "not_found_error"),
    "not_found": Kind(404, "Not found", "not_found_error"),
    "method_not_allowed": Kind(405, "Method not allowed", "invalid_request_error"),
    "request_timeout": Kind(408, "Request too slow", "timeout_error"),
    "slow_reader": Kind(408, "Client reads too slowly", "timeout_error"),
    "key_exists": Kind(409, "Key exists", "invalid_request_error"),
    "key_revoked": Kind(409, "Key is revoked", "invalid_request_error"),
    "other_pepper": Kind(409, "Another pepper", "invalid_request_error"),
    "too_many_halts": Kind(409, "Too many kills and pauses", "invalid_request_error"),
    "body_too_large": Kind(413, "Body too large", "request_too_large"),
    "url_too_long": Kind(414, "URL too long", "invalid_request_error"),
    "config_invalid": Kind(422, "The config has problems", "invalid_request_error"),
    "rate_limited": Kind(429, "Rate limit reached", "rate_limit_error"),
    "concurrency_limited": Kind(429, "Too many at once", "rate_limit_error"),
    "budget_exhausted": Kind(429, "Budget exhausted", "rate_limit_error"),
    "headers_too_large": Kind(431, "Headers too large", "invalid_request_error"),
    "plugin_failed": Kind(500, "A plugin failed", "api_error"),
    "internal_error": Kind(500, "The gateway failed", "api_error"),
    "agent_unreachable": Kind(502, "Agent unreachable", "api_error"),
    "agent_failed": Kind(502, "Agent answered with an error", "api_error"),
    "agent_broke_off": Kind(502, "Agent broke off", "api_error"),
    "agent_card_unusable": Kind(502, "Agent card leads elsewhere", "api_error"),
    "agent_protocol_error": Kind(502, "Agent broke the protocol", "api_error"),
    "agent_unavailable": Kind(503, "Agent unavailable", "overloaded_error"),
    "agent_killed": Kind(503, "Agent stopped by an operator", "overloaded_error"),
    "agent_paused": Kind(503, "Agent paused by an operator", "overloaded_error"),
    "state_unavailable": Kind(503, "State unavailable", "overloaded_error"),
    "journal_unavailable": Kind(503, "Journal unavailable", "overloaded_error"),
    "too_many_connections": Kind(503, "Too many connections", "overloaded_error"),
    "too_many_exchanges": Kind(503, "Too many at once", "overloaded_error"),
    "shutting_down": Kind(503, "Shutting down", "overloaded_error"),
    "agent_timeout": Kind(504, "Agent silent", "timeout_error"),
    "agent_connect_timeout": Kind(504, "Agent not connected in time", "timeout_error"),
    "agent_write_timeout": Kind(504, "Agent did not read the request in time", "timeout_error"),
    "agent_first_byte_timeout": Kind(504, "Agent did not answer in time", "timeout_error"),
    "agent_idle_timeout": Kind(504, "Agent fell silent", "timeout_error"),
    "agent_total_timeout": Kind(504, "Agent took too long", "timeout_error"),
}
_UNLISTED: Final = Kind(0, "Refused", "api_error")
_RETRY_AFTER_STATUSES: Final = frozenset({429, 503})


@attrs.frozen(kw_only=True)
class Refusal:
    """An ordinary answer that ends an exchange early.

    Args:
        status: HTTP status, 400 to 599.
        code: machine-readable name of the reason, ``snake_case``; built-in ones are in ``CATALOGUE``.
        detail: one sentence for a person: what, where, what to do.
        title: the reason in three words, the same for every refusal of one code.
        retry_after_seconds: earliest time at which a retry can succeed; 429 and 503 get 1 where none is given.
        rule: name of the policy, limit or budget that refused; it is in the body and in the journal.
        headers: further headers of the answer.
        members: further members of the problem body.
    """

    status: int = attrs.field()
    code: str
    detail: str
    title: str = ""
    retry_after_seconds: float | None = None
    rule: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    members: Mapping[str, Any] = attrs.field(factory=dict)

    @status.validator
    def _is_an_error_status(self, _attribute: object, value: int) -> None:
        if not 400 <= value <= 599:  # noqa: PLR2004 - RFC 9110 section 15
            msg = f"a refusal has a status from 400 to 599, not {value!r}"
            raise ValueError(msg)


def refusal(code: str, detail: str, **facts: Any) -> Refusal:  # noqa: ANN401 - the facts are Refusal's own fields
    """Return the refusal of a code out of ``CATALOGUE``; ``facts`` are further fields of ``Refusal``."""
    return Refusal(status=CATALOGUE[code].status, code=code, detail=detail, **facts)


def problem_body(refused: Refusal, request_id: str, instance: str, *, for_anthropic: bool = False) -> bytes:
    """Return the RFC 9457 body, with the ``error`` member that OpenAI's and Anthropic's SDKs read.

    ``for_anthropic``: ``type`` says ``error``, and the code is where Anthropic's clients look for one.
    """
    kind = CATALOGUE.get(refused.code, _UNLISTED)
    body: dict[str, Any] = {
        "type": f"urn:aiogate:problem:{refused.code}",
        "title": refused.title or kind.title,
        "status": refused.status,
        "detail": refused.detail,
        "instance": instance,
        "code": refused.code,
        "request_id": request_id,
    }
    if refused.rule is not None:
        body["rule"] = refused.rule
    body.update(refused.members)
    error: dict[str, Any] = {"message": refused.detail, "type": kind.error_type, "code": refused.code}
    if for_anthropic:
        body["type"], error["details"] = "error", {"error_code": refused.code}
    body["error"] = error
    return orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)


def problem_headers(refused: Refusal) -> list[tuple[str, str]]:
    """Return the headers that the refusal itself asks for: its type, ``Retry-After`` and its own ones."""
    headers = [("Content-Type", "application/problem+json"), *refused.headers]
    seconds = refused.retry_after_seconds
    if seconds is None and refused.status in _RETRY_AFTER_STATUSES:
        seconds = 1.0
    if seconds is not None:
        headers.append(("Retry-After", str(max(1, math.ceil(seconds)))))
    return headers


class AiogateError(Exception):
    """The root of what aiogate raises."""


class Refused(AiogateError):  # noqa: N818 - a refusal is an ordinary answer, not an error
    """Carries a refusal out of a place that cannot return one; the pipeline answers with it."""

    def __init__(self, refused: Refusal) -> None:
        """Keep the refusal."""
        super().__init__(refused.detail)
        self.refusal = refused


@attrs.frozen
class Problem:
    """One thing that is wrong with a config.

    ``path`` is dotted (``agents.support.url``), ``line`` counts from 1 and is None where no line is to blame; ``file``
    is the included file that the line is in, None for the config itself.
    """

    path: str
    message: str
    line: int | None = None
    file: str | None = None

    def __str__(self) -> str:
        """Return ``path: message (FILE, line N)``; what the message shows below its first line stays below."""
        what, *shown = self.message.split("\n")
        places = [self.file] if self.file is not None else []
        places += [f"line {self.line}"] if self.line is not None else []
        place = f" ({', '.join(places)})" if places else ""
        return "\n".join([f"{self.path}: {what}{place}" if self.path else f"{what}{place}", *shown])


class SettingsError(AiogateError):
    """A config is wrong; carries every problem, not just the first."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        """Keep where the config came from and what is wrong with it."""
        self.source = source
        self.problems = tuple(problems)
        count = len(self.problems)
        heading = f"{source}: {count} problem{'s' if count != 1 else ''}"
        super().__init__("\n".join([heading, *(f"  {problem}" for problem in self.problems)]))


class PluginError(AiogateError):
    """A plugin cannot be loaded, or raised while it answered a hook."""

    def __init__(self, plugin: str, message: str, *, hook: str | None = None) -> None:
        """Keep the plugin's name in the config and the hook that it answered, if any."""
        self.plugin = plugin
        self.hook = hook
        place = f"plugin {plugin!r}" + (f", hook {hook!r}" if hook else "")
        super().__init__(f"{place}: {message}")


class StateError(AiogateError):
    """The state that holds the counters cannot be reached or answered nonsense."""


class JournalError(AiogateError):
    """A record could not be appended."""


class CutError(AiogateError):
    """The exchange was cut by its own observer; ``Exchange.cut_by`` says why."""


class UpstreamError(AiogateError):
    """An agent could not be reached, stayed silent or broke the protocol; ``code`` is the refusal's code."""

    def __init__(self, code: str, detail: str, *, sent: bool = True) -> None:
        """Keep the code of the refusal that a client gets when nothing has been sent to it yet.

        ``sent`` is False where the agent has got nothing of the request, for there never was a connection.
        """
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.sent = sent
