"""Who may come in: TLS, users with few rights, and passwords that are wrong."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme

from aiogate.errors import StateError
from aiogate.exchange import Clock
from aiogate.state.redis import ClusterState, RedisState
from tests.state.asking import granted, refused
from tests.state.redis_cluster import redis_cluster
from tests.state.redis_server import RedisServer, free_port, redis_server
from tests.state.ticking import a_lease, a_window

SECRET = "p@ss:word/?#"


@pytest.fixture
def limited(server: RedisServer) -> str:
    """Return the URL of a user who may do what a gateway does, and nothing else."""
    rights = ("~own:*", "+@read", "+@write", "+@scripting", "+@connection", "+time", "+select")
    server.call("ACL", "SETUSER", "gateway", "on", f">{SECRET}", *rights)
    server.call("ACL", "SETUSER", "default", "off")
    return f"redis://gateway:{quote(SECRET, safe='')}@127.0.0.1:{server.port}/3"


async def test_a_user_with_few_rights_is_enough(limited: str) -> None:
    state = RedisState(limited, Clock(), prefix="own:", timeout_seconds=20.0)
    await state.open()
    grant = await granted(state, a_window(limit=1), a_lease())
    assert not grant.degraded
    await state.settle(grant)
    await refused(state, a_window(limit=1))
    await state.close()


async def test_a_user_who_may_not_touch_the_keys_is_told_so(limited: str) -> None:
    state = RedisState(limited, Clock(), prefix="foreign:", timeout_seconds=20.0)
    await state.open()
    assert (await granted(state, a_window(limit=1))).degraded
    assert state.degraded is not None
    assert state.degraded.startswith("Redis refuses this user: ")
    await state.close()


@pytest.mark.parametrize("who", ["gateway:wrong@", ":wrong@", ""])
async def test_a_password_that_is_wrong_ends_the_start(limited: str, who: str) -> None:
    state = RedisState(limited.replace(limited[8 : limited.index("127")], who), Clock())
    with pytest.raises(StateError, match="Redis refuses this user") as error:
        await state.open()
    assert "wrong" not in str(error.value).replace("wrong number", "")
    await state.close()


@contextmanager
def certified(folder: Path) -> Iterator[tuple[str, ...]]:
    """Make certificates; yield the options with which a server shows them. Skip where it cannot."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    files = [f"--tls-{name}-file {folder / name}.pem".split() for name in ("cert", "key")]
    options = ("--tls-ca-cert-file", str(folder / "ca.pem"), *files[0], *files[1], "--tls-auth-clients", "no")
    with ExitStack() as trial:
        try:
            trial.enter_context(redis_server(*options))
        except AssertionError as error:
            pytest.skip(f"THIS REDIS-SERVER SPEAKS NO TLS: {error}")
    yield options


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[RedisServer]:
    with certified(tmp_path) as options, redis_server(*options) as server:
        port = free_port()
        server.call("CONFIG", "SET", "tls-port", str(port))
        server.port, server.scheme = port, "rediss"
        yield server


async def test_tls_is_spoken_and_verified(encrypted: RedisServer, tmp_path: Path) -> None:
    trusting = RedisState(f"{encrypted.url}?ssl_ca_certs={tmp_path / 'ca.pem'}", Clock(), timeout_seconds=20.0)
    await trusting.open()
    assert not (await granted(trusting, a_window())).degraded
    await trusting.close()
    doubting = RedisState(encrypted.url, Clock())
    await doubting.open()
    assert doubting.degraded is not None
    assert "certificate verify failed" in doubting.degraded
    await doubting.close()


async def test_a_cluster_speaks_tls_to_a_user_with_few_rights(tmp_path: Path) -> None:
    """The nodes are told of by the ports on which they speak TLS, and there is nobody on any other."""
    with certified(tmp_path) as files, redis_cluster(*files, tls=True) as cluster:
        for node in cluster.nodes:
            rights = ("~own:*", "+@read", "+@write", "+@scripting", "+@connection", "+time", "+cluster|slots")
            node.call("ACL", "SETUSER", "gateway", "on", f">{SECRET}", *rights)
        url = cluster.url.replace("://", f"://gateway:{quote(SECRET, safe='')}@")
        state = ClusterState(f"{url}?ssl_ca_certs={tmp_path / 'ca.pem'}", Clock(), prefix="own:", timeout_seconds=20.0)
        await state.open()
        grant = await granted(state, *(a_window(str(number)) for number in range(40)))
        assert not grant.degraded
        assert state.degraded is None
        await state.close()
        stranger = ClusterState(f"{url.replace('%40', '')}?ssl_ca_certs={tmp_path / 'ca.pem'}", Clock())
        with pytest.raises(StateError, match="Redis refuses this user") as error:
            await stranger.open()
        assert "word/" not in str(error.value)


async def test_tls_is_not_left_out(server: RedisServer) -> None:
    state = RedisState(server.url.replace("redis:", "rediss:"), Clock())
    await state.open()
    assert state.degraded is not None
    await state.close()
