"""Headers that pretend to come from the gateway, or that end at it (RFC 9110 section 7.6.1)."""

from tests.e2e.hostile.request import Hostile, post


def pretends(*lines: bytes, absent: tuple[str, ...] = ()) -> Hostile:
    """A request with headers that the agent must not get from a client."""
    name = lines[0].partition(b":")[0].strip().decode()
    return Hostile(name=f"spoof {name}", raw=post(*lines), body=b"", absent=absent or (name.lower(),))


REQUESTS = (
    pretends(b"X-User-Id: admin", absent=("never",)),  # ours takes its place, as the test sees for every request
    pretends(b"x-user-id: admin", b"X-USER-ID: root", absent=("never",)),
    pretends(b"X-User-Roles: admin"),
    pretends(b"X_User_Id: admin"),
    pretends(b"X-User_Roles: admin"),
    pretends(b"X-User-Department: board"),
    pretends(b"X-Agent-Name: other"),
    pretends(b"X_Agent_Name: other"),
    pretends(b"X-Aiogate-Cost: 0"),
    pretends(b"Forwarded: for=10.0.0.1;proto=https"),
    pretends(b"X-Forwarded-Port: 443"),
    pretends(b"X-Forwarded-Server: inside"),
    pretends(b"X_Forwarded_For: 10.0.0.1"),
    pretends(b"X_Request_Id: 1"),
    pretends(b"Proxy-Authorization: Basic YTpi"),
    pretends(b"Proxy-Connection: keep-alive"),
    pretends(b"Keep-Alive: timeout=1000"),
    pretends(b"TE: trailers"),
    pretends(b"Trailer: X-User-Id"),
    pretends(b"Upgrade: h2c"),
    pretends(b"X-Forwarded-For: 10.0.0.1", b"x-forwarded-for: 10.0.0.2", absent=("never",)),
    pretends(b"X-Forwarded-Proto: https", absent=("never",)),
    pretends(b"X-Forwarded-Host: evil.example", absent=("never",)),
    pretends(b"X-Forwarded-Prefix: /other", absent=("never",)),
    pretends(b"X-Request-Id: 1", absent=("never",)),
    pretends(b"Connection: X-User-Id, X-Request-Id, X-Forwarded-For, X-Forwarded-Prefix", absent=("connection",)),
    pretends(b"X-Private: 1", b"Connection: close, X-Private, X-Other", b"X-Other: 2", absent=("x-private", "x-other")),
    pretends(b"X-Later: 1", b"Connection: X-User-Id", b"Connection: X-Later", absent=("x-later", "connection")),
)
