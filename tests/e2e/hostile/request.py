"""One hostile request: its bytes, and what may become of it."""

import attrs

SECRET = b"agk_k-alice_5ec4e7"


@attrs.frozen(kw_only=True)
class Hostile:
    """A request of the corpus.

    Args:
        name: what is wrong with it.
        raw: what the client sends.
        body: what the agent gets as the body when the request is forwarded; None: it must be refused.
        target: what the agent gets as the target then.
        method: what the agent gets as the method then.
        optional: it may be refused as well.
        ends: the client closes its side after ``raw``.
        then: targets of further requests that ``raw`` honestly holds; they are the client's own and are served.
        absent: lower-case names of headers that must not reach the agent.
        statuses: of which one refuses it.
    """

    name: str
    raw: bytes
    body: bytes | None = None
    target: str = "/x"
    method: str = "POST"
    optional: bool = False
    ends: bool = False
    then: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    statuses: frozenset[int] = frozenset({400, 413, 414, 431})


def post(
    *lines: bytes,
    body: bytes = b"",
    method: bytes = b"POST",
    target: bytes = b"/agents/echo/x",
    version: bytes = b"HTTP/1.1",
) -> bytes:
    """Return a request with a host, a credential and further lines."""
    first = b"%b %b %b" % (method, target, version)
    return b"\r\n".join([first, b"Host: gateway", b"Authorization: Bearer " + SECRET, *lines, b"", body])
