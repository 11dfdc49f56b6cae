"""What agents declare in the headers of their responses."""

import pytest
from multidict import CIMultiDict

from aiogate import Usage
from aiogate.usage import declared


def said(**headers: str) -> tuple[Usage, int | None] | None:
    return declared(CIMultiDict({f"X-Usage-{name.replace('_', '-')}": text for name, text in headers.items()}))


def test_tokens_and_model_are_taken_from_the_headers() -> None:
    told = said(input_tokens="10", output_tokens=" 20", cached_input_tokens="5", reasoning_tokens="6", model="house-1")
    assert told == (
        Usage(
            source="declared",
            model="house-1",
            input_tokens=10,
            output_tokens=20,
            cached_input_tokens=5,
            reasoning_tokens=6,
        ),
        None,
    )


@pytest.mark.parametrize(
    "usd, nanousd",
    [("0", 0), ("1.25", 1_250_000_000), ("0.0000000005", 1), ("0.0000000004", 0), ("999999999", 999999999 * 10**9)],
)
def test_a_cost_is_taken_in_nano_dollars(usd: str, nanousd: int) -> None:
    assert said(cost_usd=usd) == (Usage(source="declared"), nanousd)


def test_no_header_declares_nothing() -> None:
    assert said() is None
    assert said(model="house-1") is None


@pytest.mark.parametrize(
    "headers",
    [
        {"input_tokens": "-1"},
        {"input_tokens": "1.0"},
        {"input_tokens": "1e3"},
        {"input_tokens": ""},
        {"input_tokens": "٣"},
        {"input_tokens": "9" * 16},
        {"input_tokens": "1", "cached_input_tokens": "2"},
        {"input_tokens": "1", "cost_usd": "-1"},
        {"cost_usd": "NaN"},
        {"cost_usd": "1e9"},
        {"cost_usd": "1" * 10},
    ],
)
def test_what_cannot_be_true_makes_all_of_it_unknown(headers: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    assert said(**headers, output_tokens="1") == (Usage(), None)
    assert len(caplog.records) == 1
