"""Whether a setting can change while the gateway runs is known of every one of them."""

from typing import Final

import attrs

from aiogate.server.restart import KEPT
from aiogate.settings.model import Settings

LIVE: Final = {
    "server": {
        "anonymous",
        "cors",
        "body_bytes_per_second",
        "body_seconds",
        "drain_delay_seconds",
        "grace_seconds",
        "header_seconds",
        "max_body",
        "max_connections",
        "max_exchanges",
        "max_exchanges_per_principal",
        "stream_keepalive_seconds",
        "public_url",
        "trusted_proxies",
    },
    "admin": {"token", "token_sha256"},
    "pipeline": {"plugins"},
}
"""Read anew for each exchange, or when it is needed, from the generation that is in force."""


def test_every_setting_is_live_or_kept_until_a_restart() -> None:
    for field in attrs.fields(attrs.resolve_types(Settings)):
        if attrs.has(field.type):
            keys = {key.name for key in attrs.fields(field.type)}
            kept, live = set(KEPT.get(field.name, ())), LIVE.get(field.name, set())
            assert keys == kept | live, f"[{field.name}]: add what is new to KEPT in server/restart.py, or to LIVE here"
            assert not kept & live
