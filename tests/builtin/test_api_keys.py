"""``api_keys``: who calls, by key; every failure looks the same."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict

from aiogate import ANONYMOUS, Clock, Exchange, Principal, Refusal, Secret
from aiogate.builtin.api_keys import ApiKeys, ApiKeysConfig, KeySettings
from aiogate.settings.structure import Structurer
from tests.exchanges import an_exchange

KEY = "agk_k-alice_" + "5eed" * 16
OTHER = "agk_k-bob_" + "0bad" * 16
PEPPER = "salt and more"
NOON = datetime(2027, 1, 1, 12, tzinfo=UTC)

Headers = list[tuple[str, str]]


def sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def hmac_sha256(key: str) -> str:
    return hmac.digest(PEPPER.encode(), key.encode(), "sha256").hex()


def settings(**facts: Any) -> KeySettings:
    hashes = {} if "hmac_sha256" in facts else {"sha256": sha256(KEY)}
    return KeySettings(**{"id": "k-alice", "principal": "alice", **hashes, **facts})


BOBS = KeySettings(id="k-bob", principal="bob", sha256=sha256(OTHER))


def plugin(*keys: KeySettings, pepper: str | None = None) -> ApiKeys:
    return ApiKeys(ApiKeysConfig(keys=keys, pepper=None if pepper is None else Secret(pepper)))


def asked(headers: Headers, **facts: Any) -> Exchange:
    return an_exchange(request_headers=CIMultiDict(headers), **facts)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what fills with each digest and each comparison from now on."""
    done: list[str] = []

    def counting(module: Any, name: str) -> None:
        real = getattr(module, name)

        def call(*args: Any) -> Any:
            done.append(name)
            return real(*args)

        monkeypatch.setattr(module, name, call)

    for module, name in ((hashlib, "sha256"), (hmac, "digest"), (hmac, "compare_digest")):
        counting(module, name)
    return done


def bearer(key: str) -> Headers:
    return [("Authorization", f"Bearer {key}")]


def answer(keys: ApiKeys, headers: Headers, **facts: Any) -> Principal | Refusal | None:
    exchange = asked(headers, **facts)
    return keys.pre_request(exchange) or exchange.principal


def refused(keys: ApiKeys, headers: Headers, **facts: Any) -> bool:
    exchange = asked(headers, **facts)
    answered = keys.pre_request(exchange)
    assert (answered is None) == (exchange.principal is not None)
    return answered is not None


@pytest.mark.parametrize(
    "header",
    [
        ("Authorization", f"Bearer {KEY}"),
        ("authorization", f"bEARER {KEY}"),
        ("Authorization", f"Bearer   {KEY} "),
        ("X-API-Key", KEY),
        ("x-api-key", f" {KEY} "),
    ],
)
def test_a_key_says_who_calls(header: tuple[str, str]) -> None:
    keys = plugin(settings(roles=("analyst",), department="data", cost_center="cc", attributes={"team": "blue"}), BOBS)
    assert answer(keys, [header]) == Principal(
        id="alice",
        roles=frozenset({"analyst"}),
        department="data",
        key_id="k-alice",
        cost_center="cc",
        attributes={"team": "blue"},
    )


def test_a_peppered_key_says_who_calls() -> None:
    keys = plugin(settings(hmac_sha256=hmac_sha256(KEY)), BOBS, pepper=PEPPER)
    assert not refused(keys, bearer(KEY))
    assert not refused(keys, bearer(OTHER))


def test_another_pepper_knows_no_key() -> None:
    assert refused(plugin(settings(hmac_sha256=hmac_sha256(KEY)), pepper="another"), bearer(KEY))


BAD: list[tuple[str, Headers]] = [
    ("missing", []),
    ("empty", [("Authorization", "")]),
    ("no key", [("Authorization", "Bearer")]),
    ("another scheme", [("Authorization", f"Basic {KEY}")]),
    ("no scheme", [("Authorization", KEY)]),
    ("scheme in the wrong header", [("X-API-Key", f"Bearer {KEY}")]),
    ("a tab", [("Authorization", f"Bearer\t{KEY}")]),
    ("somebody else's", bearer("sk-proj-123")),
    ("wrong secret", bearer(KEY[:-1] + "0")),
    ("unknown id", bearer(KEY.replace("k-alice", "k-bob"))),
    ("another id with the same secret", bearer("agk_k-x_" + "5eed" * 16)),
    ("too short", bearer(KEY[:-1])),
    ("too long", bearer(KEY + "0")),
    ("much too long", bearer(KEY + "0" * 8000)),
    ("two words", bearer(f"{KEY} {KEY}")),
    ("upper case", bearer(KEY.upper())),
    ("a digit that is none", bearer(KEY[:-1] + "٣")),
    ("bytes that are no text", bearer(KEY[:-1] + "\udcff")),
    ("prefix alone", bearer("agk_")),
    ("empty id", bearer("agk__" + "5eed" * 16)),
    ("two authorizations", bearer(KEY) * 2),
    ("two api keys", [("X-API-Key", KEY)] * 2),
    ("two authorizations, one of them the agent's", bearer(KEY) + bearer("sk-1")),
    ("two authorizations of the agent's", [("X-API-Key", KEY), *bearer("sk-1"), *bearer("sk-2")]),
    ("two api keys of the agent's", [*bearer(KEY), ("X-API-Key", "1"), ("X-API-Key", "2")]),
    ("two keys", [*bearer(KEY), ("X-API-Key", OTHER)]),
    ("a good and a broken one", [*bearer(KEY), ("X-API-Key", KEY[:-1])]),
    ("a good one and one in the wrong place", [("Authorization", KEY), ("X-API-Key", KEY)]),
]


@pytest.mark.parametrize("headers", [pytest.param(headers, id=name) for name, headers in BAD])
def test_a_key_that_is_not_right_is_refused_and_goes_no_further(headers: Headers) -> None:
    keys = plugin(settings())
    exchange = asked(headers)
    missing = keys.pre_request(asked([]))
    assert keys.pre_request(exchange) == missing
    assert exchange.principal is None
    assert "agk_" not in str(list(exchange.request_headers.items()))


def test_every_refusal_is_the_same_and_says_nothing_of_the_key() -> None:
    expired = settings(expires=NOON)
    elsewhere = settings(networks=("10.0.0.0/8",))
    clock = Clock(wall=NOON.timestamp)
    refusals = [
        answer(plugin(settings()), bearer(OTHER)),
        answer(plugin(expired), bearer(KEY), clock=clock),
        answer(plugin(elsewhere), bearer(KEY), client_address="192.0.2.1"),
        answer(plugin(), []),
    ]
    assert all(one == refusals[0] for one in refusals)
    refusal = refusals[0]
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.code) == (401, "unauthenticated")
    assert refusal.headers == (("WWW-Authenticate", 'Bearer realm="aiogate"'),)
    assert "alice" not in refusal.detail


@pytest.mark.parametrize("pepper", [None, PEPPER])
@pytest.mark.parametrize("headers", [pytest.param(headers, id=name) for name, headers in [*BAD, ("good", bearer(KEY))]])
def test_every_answer_takes_one_digest_and_one_comparison(
    headers: Headers, pepper: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = plugin(settings(hmac_sha256=hmac_sha256(KEY)) if pepper else settings(), pepper=pepper)
    done = counted(monkeypatch)
    keys.pre_request(asked(headers))
    assert done == ["digest" if pepper else "sha256", "compare_digest"]


def test_a_key_ends_at_its_time_wherever_that_is_written_down() -> None:
    here = NOON.astimezone(timezone(timedelta(hours=5)))
    keys = plugin(settings(expires=here))
    assert not refused(keys, bearer(KEY), clock=Clock(wall=lambda: NOON.timestamp() - 0.001))
    assert refused(keys, bearer(KEY), clock=Clock(wall=NOON.timestamp))


@pytest.mark.parametrize(
    "address, let_in",
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::1", True),
        ("11.0.0.1", False),
        ("::1", False),
        ("", False),
        ("nowhere", False),
    ],
)
def test_a_key_with_networks_works_there_alone(address: str, let_in: bool) -> None:
    keys = plugin(settings(networks=("10.0.0.0/8", "2001:db8::/32")))
    assert refused(keys, bearer(KEY), client_address=address) != let_in


def test_a_key_without_networks_works_anywhere() -> None:
    assert not refused(plugin(settings()), bearer(KEY), client_address="")


@pytest.mark.parametrize(
    "headers, left",
    [
        (bearer(KEY), []),
        ([("X-API-Key", KEY)], []),
        ([*bearer(KEY), ("X-API-Key", KEY)], []),
        ([*bearer(KEY), ("X-API-Key", "agents-own")], [("X-API-Key", "agents-own")]),
        ([*bearer("sk-1"), ("X-API-Key", KEY)], bearer("sk-1")),
        ([("Authorization", "Basic YTpi"), ("X-API-Key", KEY)], [("Authorization", "Basic YTpi")]),
        ([*bearer("jwt.agk_inside.it"), ("X-API-Key", KEY)], bearer("jwt.agk_inside.it")),
        ([("Accept", "*/*"), *bearer(KEY), ("Host", "x")], [("Accept", "*/*"), ("Host", "x")]),
    ],
)
def test_exactly_the_headers_that_held_the_key_are_taken_away(headers: Headers, left: Headers) -> None:
    exchange = asked(headers)
    assert plugin(settings()).pre_request(exchange) is None
    assert list(exchange.request_headers.items()) == left


def test_nothing_may_follow_the_longest_key_that_there_is() -> None:
    key = f"agk_{'x' * 64}_{'5eed' * 16}"
    keys = plugin(settings(id="x" * 64, sha256=sha256(key)))
    assert not refused(keys, bearer(key))
    assert refused(keys, bearer(key + "0"))


def test_a_short_text_whose_hash_is_in_the_config_is_no_key() -> None:
    assert refused(plugin(settings(sha256=sha256("agk_k-alice_test"))), bearer("agk_k-alice_test"))


def test_a_bad_key_is_refused_even_where_anonymous_callers_are_served() -> None:
    for headers in (bearer(OTHER), []):
        assert isinstance(answer(plugin(settings()), headers, principal=ANONYMOUS), Refusal)
    alice = answer(plugin(settings()), bearer(KEY), principal=ANONYMOUS)
    assert isinstance(alice, Principal)
    assert alice.id == "alice"


def test_whom_a_plugin_before_knows_needs_no_key_and_may_not_bring_one_as_well() -> None:
    carol = Principal(id="carol")
    assert answer(plugin(settings()), [], principal=carol) is carol
    assert isinstance(answer(plugin(settings()), bearer(KEY), principal=carol), Refusal)


@pytest.mark.parametrize(
    "table, problem",
    [
        ({"keys": [{"id": "a_b"}]}, "keys[0].id: expected 1 to 64 letters, digits or '-'"),
        ({"keys": [{"sha256": "9f86d0"}]}, "keys[0].sha256: expected 64 hexadecimal digits"),
        ({"keys": [{"sha256": None}]}, "keys[0]: expected one of sha256 and hmac_sha256"),
        ({"keys": [{"hmac_sha256": "0" * 64}]}, "keys[0]: expected one of sha256 and hmac_sha256"),
        ({"keys": [{"principal": ""}]}, "keys[0].principal: "),
        ({"keys": [{"expires": datetime(2027, 1, 1)}]}, "keys[0].expires: expected a time zone"),  # noqa: DTZ001
        ({"keys": [{"networks": ["10.0.0.1/8"]}]}, "keys[0].networks: 10.0.0.1/8 has host bits set"),
        ({"keys": [{"role": "x"}]}, "did you mean 'roles'?"),
        ({"keys": [{}, {}]}, "keys: key id 'k-alice' is there twice"),
        ({"keys": [{"sha256": None, "hmac_sha256": "0" * 64}]}, "hmac_sha256 needs a pepper"),
        ({"pepper": "", "keys": []}, "pepper: expected a secret text, got an empty one"),
    ],
)
def test_a_mistake_is_a_problem_with_its_path(table: dict[str, Any], problem: str) -> None:
    good = {"id": "k-alice", "sha256": sha256(KEY), "principal": "alice"}
    keys = [{name: value for name, value in {**good, **key}.items() if value is not None} for key in table["keys"]]
    problems: list[object] = []
    Structurer(Path()).structure({**table, "keys": keys}, ApiKeysConfig, "plugins.api_keys", problems.append)
    [found] = map(str, problems)
    assert found.startswith("plugins.api_keys")
    assert problem in found


def test_a_time_without_an_offset_is_no_end_of_a_key() -> None:
    with pytest.raises(ValueError, match="time zone"):
        settings(expires=datetime(2027, 1, 1))  # noqa: DTZ001


def test_the_plugin_keeps_the_promise_of_a_principal() -> None:
    assert ApiKeys.enforces == {"principal"}
