"""What may differ between an exchange made straight with the agent and one made through the gateway, and why.

``HEADERS`` and ``MANNERS`` are the whole list: what is on neither is the same. ``documented`` finds it in the docs.
"""

import re
from collections.abc import Callable

import attrs

from tests.e2e.differential.wire import Message, values

__all__ = ["AGENT", "CLIENT", "CONFIGURED", "HEADERS", "MANNERS", "Header", "Manner", "named_by_connection", "rule_for"]

AGENT = "what the agent sees"
CLIENT = "what the client sees"
CONFIGURED = "Bearer for-the-agent"
"""The credential that the config has for the agent."""

_GONE = ""
_ONE_OF_OURS = "[0-9a-f]{32}"


@attrs.frozen(kw_only=True)
class Header:
    """A header that differs.

    Args:
        name: in lower case; ``x-user-*`` is all that begin so and are not listed by themselves.
        side: whose view it is.
        through: an expression for all its values behind the gateway, one a line; ``""``: it is not there. A callable
            makes it out of what was seen straight.
        why: the reason.
        documented: an expression that the documents for users match where they tell it.
    """

    name: str
    side: str
    through: str | Callable[[Message], str]
    why: str
    documented: str

    def pattern(self, straight: Message) -> str:
        return self.through if isinstance(self.through, str) else self.through(straight)


@attrs.frozen(kw_only=True)
class Manner:
    """A difference that is not a header's. ``what`` is how the comparison calls it."""

    what: str
    why: str
    documented: str


def _request_length(straight: Message) -> str:
    declared = texts(straight, b"Content-Length")
    return declared[0] if declared and declared != ["0"] else "0?" if not straight.body else ""


def _response_length(straight: Message) -> str:
    if declared := texts(straight, b"Content-Length"):
        return declared[0]
    return f"({len(straight.body)})?"


def _via(straight: Message) -> str:
    return re.escape(", ".join([*texts(straight, b"Via"), "1.1 aiogate"]))


def _traceparent(straight: Message) -> str:
    if valid := _trace(straight):
        return f"00-{valid[1]}-(?!{valid[2]})[0-9a-f]{{16}}-{valid[3]}"
    return "00-[0-9a-f]{32}-[0-9a-f]{16}-01"


def _tracestate(straight: Message) -> str:
    return re.escape("\n".join(texts(straight, b"tracestate"))) if _trace(straight) else _GONE


def _trace(straight: Message) -> re.Match[str] | None:
    return re.fullmatch("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", "\n".join(texts(straight, b"traceparent")))


def _date(straight: Message) -> str:
    given = texts(straight, b"Date")
    return re.escape(given[0]) if given else r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"


def _buffering(straight: Message) -> str:
    is_stream = "".join(texts(straight, b"Content-Type")).startswith("text/event-stream")
    return "no" if is_stream else re.escape("\n".join(texts(straight, b"X-Accel-Buffering")))


def texts(message: Message, name: bytes) -> list[str]:
    """Return all values of a header, each byte a character."""
    return [value.decode("latin-1") for value in values(message.head.headers, name)]


def _hop(side: str, name: str, through: str = _GONE) -> Header:
    why = "ends at the gateway (RFC 9110 section 7.6.1)"
    return Header(name=name, side=side, through=through, why=why, documented="(?i)hop-by-hop")


def _ours(name: str, through: str | Callable[[Message], str], documented: str) -> Header:
    why = "says who calls, from where and in which trace; what a client says of that is not believed"
    return Header(name=name, side=AGENT, through=through, why=why, documented=documented)


def _framing(side: str, name: str, through: str | Callable[[Message], str]) -> Header:
    why = "each side has a framing of its own; a length that was told stays told"
    return Header(name=name, side=side, through=through, why=why, documented="framing")


def _told(name: str, through: str | Callable[[Message], str], why: str, documented: str) -> Header:
    return Header(name=name, side=CLIENT, through=through, why=why, documented=documented)


HEADERS = (
    Header(
        name="host",
        side=AGENT,
        through=r"127\.0\.0\.1:\d+",
        why="the agent's own authority; the client's is in X-Forwarded-Host",
        documented="`Host`",
    ),
    Header(
        name="authorization",
        side=AGENT,
        through=re.escape(CONFIGURED),
        why="the config has a credential for this agent",
        documented="credentials that the config has",
    ),
    Header(
        name="expect",
        side=AGENT,
        through=_GONE,
        why="the gateway answers it itself, as soon as it wants the body",
        documented="`Expect`",
    ),
    *(_hop(AGENT, name) for name in ("connection", "keep-alive", "proxy-authorization", "proxy-connection")),
    *(_hop(AGENT, name) for name in ("te", "trailer", "upgrade", "http2-settings")),
    _framing(AGENT, "content-length", _request_length),
    _framing(AGENT, "transfer-encoding", lambda seen: "(chunked)?" if not texts(seen, b"Content-Length") else ""),
    _ours("x-user-id", "anonymous", "X-User-Id"),
    _ours("x-user-*", _GONE, r"`X-User-\*`"),
    _ours("x-agent-*", _GONE, r"`X-Agent-\*`"),
    _ours("x-aiogate-*", _GONE, r"`X-Aiogate-\*`"),
    _ours("x-request-id", _ONE_OF_OURS, "X-Request-Id"),
    _ours("x-forwarded-for", r"127\.0\.0\.1", r"X-Forwarded-\*"),
    _ours("x-forwarded-proto", "http", r"X-Forwarded-\*"),
    _ours("x-forwarded-host", lambda seen: re.escape(texts(seen, b"Host")[0]), r"X-Forwarded-\*"),
    _ours("x-forwarded-prefix", "/agents/echo", r"X-Forwarded-\*"),
    _ours("x-forwarded-*", _GONE, r"X-Forwarded-\*"),
    _ours("forwarded", _GONE, r"`Forwarded`"),
    _ours("via", _via, "`Via`"),
    _ours("traceparent", _traceparent, "`traceparent`"),
    _ours("tracestate", _tracestate, "`tracestate`"),
    _hop(CLIENT, "connection", "(close|keep-alive)?"),
    *(_hop(CLIENT, name) for name in ("keep-alive", "proxy-authenticate", "proxy-authentication-info")),
    *(_hop(CLIENT, name) for name in ("proxy-connection", "trailer", "upgrade")),
    _framing(CLIENT, "content-length", _response_length),
    _framing(CLIENT, "transfer-encoding", "(chunked)?"),
    _told("date", _date, "a gateway may not leave it out where an agent did (RFC 9110 section 6.6.1)", "`Date`"),
    _told(
        "x-request-id",
        _ONE_OF_OURS,
        "the journal's name for the exchange",
        r"(?i)(answers?|clients?)\b[^.]*`X-Request-Id`",
    ),
    _told("x-agent-id", "echo", "which agent has served", r"`X-Agent-Id`"),
    _told(
        "ratelimit", r'"rate_limit";r=\d+(;t=\d+)?', "the limits plugin says what is left", "answers with `RateLimit`"
    ),
    _told("ratelimit-policy", r'"rate_limit";q=\d+;w=60', "and what the limit is", "RateLimit"),
    _told(
        "x-accel-buffering", _buffering, "asks proxies before the gateway not to hold events back", "`X-Accel-Buffering"
    ),
)

MANNERS = (
    Manner(
        what="version",
        why="each side has a version of its own; ours is HTTP/1.1 (RFC 9110 section 6.2)",
        documented=r"`HTTP/1\.1`",
    ),
    Manner(
        what="trailers",
        why="no trailer passes, either way: a recipient could take one for a header",
        documented="(?i)trailers",
    ),
    Manner(
        what="interim",
        why="an agent's 1xx answers stay behind; the one 100 that a client sees is the gateway's own",
        documented="`1xx`",
    ),
    Manner(
        what="expectation",
        why="the gateway asks for a body before the agent could refuse it by its headers alone",
        documented="`Expect`",
    ),
    Manner(
        what="small body first",
        why="a body of 64 KiB at most, told by its length, is read whole before the agent is bothered",
        documented="64 KiB",
    ),
    Manner(
        what="reset",
        why="only a reset tells a client of HTTP/1.0 that an answer without a length was cut (RFC 9112 section 8)",
        documented=r"`HTTP/1\.0`",
    ),
)


def rule_for(side: str, name: bytes) -> Header | None:
    """Return what is on the list for a header; its own row before that of its beginning."""
    lower = name.decode("latin-1").lower().replace("_", "-" if side == AGENT else "_")
    rows = [row for row in HEADERS if row.side == side]
    exact = [row for row in rows if row.name == lower]
    prefix = [row for row in rows if row.name.endswith("*") and lower.startswith(row.name[:-1])]
    return next(iter([*exact, *prefix]), None)


def named_by_connection(message: Message) -> set[bytes]:
    """Return the names that ``Connection`` names: they are hop-by-hop too."""
    named = values(message.head.headers, b"Connection")
    return {name.strip().lower() for value in named for name in value.split(b",")}
