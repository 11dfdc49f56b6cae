"""What a request line's target names: an agent, capabilities, a list, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiogate.proxy.target import target_of


@pytest.mark.parametrize(
    "raw, capabilities, path, query",
    [
        ("/capabilities/sql", ("sql",), "", ""),
        ("/capabilities/sql/", ("sql",), "/", ""),
        ("/capabilities/sql/a/b?c=/d", ("sql",), "/a/b", "c=/d"),
        ("/capabilities/sql+charts/x", ("sql", "charts"), "/x", ""),
        ("/capabilities/sql%2Bcharts/x", ("sql", "charts"), "/x", ""),
        ("/capabilities/sql+sql/x", ("sql",), "/x", ""),
        ("/capabilities/%73ql/a%2Fb%41", ("sql",), "/a%2Fb%41", ""),
        ("http://gateway/capabilities/sql/x", ("sql",), "/x", ""),
        ("/capabilities", (), "", ""),
        ("/capabilities/", (), "", ""),
    ],
)
def test_a_path_names_capabilities_and_the_rest_stays_as_it_was_encoded(
    raw: str, capabilities: tuple[str, ...], path: str, query: str
) -> None:
    target = target_of(raw)
    assert target.refused is None
    assert (target.agent_id, target.capabilities, target.path, target.query) == (None, capabilities, path, query)


@pytest.mark.parametrize(
    "raw",
    [
        "/capabilities/sql/..",
        "/capabilities/sql/%2e%2e/x",
        "/capabilities/sql/a%2f..%2Fb",
        "/capabilities/sql/a\\..\\b",
        "/capabilities/../agents/x",
        "/capabilities/%2e%2e/x",
        "/capabilities/a%2f..%2fb/x",
        "/agents/support/..",
        "/agents/support/..;/x",
        "/agents/support/%2e%2E%3bv=1/x",
        "/agents/support/a%2f..;x%2Fb",
        "//host/agents/support/x",
        "//host",
    ],
)
def test_what_tries_to_leave_is_a_400(raw: str) -> None:
    refused = target_of(raw).refused
    assert refused is not None
    assert (refused.status, refused.code) == (400, "bad_path")


@pytest.mark.parametrize("raw", ["/capability/sql", "/capabilitiesx", "/x", "/"])
def test_anything_else_is_a_404(raw: str) -> None:
    refused = target_of(raw).refused
    assert refused is not None
    assert (refused.status, refused.code) == (404, "not_found")


@given(st.sampled_from(["agents", "capabilities"]), st.text("./%2efF\\ab+", max_size=20))
def test_no_path_that_goes_on_has_a_segment_that_goes_up(room: str, rest: str) -> None:
    target = target_of(f"/{room}/one/{rest}")
    if target.refused is None:
        plain = target.path.lower().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/").replace("\\", "/")
        assert ".." not in plain.split("/")
        assert target.path == f"/{rest}"
