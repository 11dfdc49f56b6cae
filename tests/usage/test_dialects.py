"""What the dialects' figures mean where the golden answers leave it open, and which contradict each other."""

from typing import Any

import orjson
import pytest

from aiogate import Usage
from aiogate.usage.body import BodyReader
from aiogate.usage.dialects import of_openai
from aiogate.usage.recognise import find, merged


def said(answer: Any) -> Usage:
    reader = BodyReader()
    reader.feed(orjson.dumps(answer))
    return reader.result()


def test_reasoning_that_stands_beside_the_output_is_added_to_it() -> None:
    figures = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 40}
    usage = said({"usage": {**figures, "completion_tokens_details": {"reasoning_tokens": 25}}})
    assert (usage.output_tokens, usage.reasoning_tokens) == (30, 25)


def test_thoughts_that_googles_endpoint_for_openai_leaves_out_are_in_the_total() -> None:
    usage = said({"model": "gemini-2.5-pro", "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 10}})
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (1, 9, 7)


def test_a_cache_hit_of_deepseek_is_cached_input() -> None:
    usage = said({"usage": {"prompt_tokens": 10, "completion_tokens": 1, "prompt_cache_hit_tokens": 8}})
    assert usage.cached_input_tokens == 8


def test_anthropics_words_are_known_without_the_kind_of_the_answer() -> None:
    usage = said({"usage": {"input_tokens": 1, "cache_read_input_tokens": 2, "output_tokens": 3}})
    assert (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens) == (3, 2, 3)


def test_google_may_count_thoughts_among_the_candidates() -> None:
    figures = {"promptTokenCount": 5, "candidatesTokenCount": 9, "thoughtsTokenCount": 4, "totalTokenCount": 14}
    assert (said({"usageMetadata": figures}).output_tokens, said({"usageMetadata": figures}).reasoning_tokens) == (9, 4)


def test_google_may_count_tools_prompts_in_the_prompt() -> None:
    figures = {"promptTokenCount": 5, "toolUsePromptTokenCount": 2, "candidatesTokenCount": 9, "totalTokenCount": 14}
    assert said({"usageMetadata": figures}).input_tokens == 5


def test_thoughts_that_an_adapter_leaves_out_are_in_googles_total() -> None:
    figures = {"promptTokenCount": 975, "candidatesTokenCount": 11, "totalTokenCount": 1076}
    usage = said({"usageMetadata": figures})
    assert (usage.output_tokens, usage.reasoning_tokens) == (101, 90)


def test_a_total_alone_is_no_usage() -> None:
    assert said({"usageMetadata": {"totalTokenCount": 50}}) == Usage()


def test_ollama_does_not_count_a_prompt_that_it_remembers() -> None:
    assert said({"model": "m", "done": True, "eval_count": 3}) == Usage(source="measured", model="m", output_tokens=3)


def test_a_record_that_is_not_the_last_says_nothing() -> None:
    assert said({"model": "m", "done": False, "eval_count": 3}) == Usage()


GEMINI = {"promptTokenCount": 5, "candidatesTokenCount": 5}
CLAUDE = {"input_tokens": 5, "output_tokens": 5}


@pytest.mark.parametrize(
    "answer",
    [
        {"usageMetadata": {**GEMINI, "totalTokenCount": 9}},
        {"usageMetadata": {**GEMINI, "thoughtsTokenCount": 1, "totalTokenCount": 99}},
        {"usageMetadata": {**GEMINI, "totalTokenCount": "10"}},
        {"usageMetadata": {**GEMINI, "thoughtsTokenCount": -1}},
        {"usageMetadata": {**GEMINI, "cachedContentTokenCount": 6}},
        {"usageMetadata": {**GEMINI, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 6}]}},
        {"type": "message", "usage": {**CLAUDE, "cache_read_input_tokens": -5}},
        {"type": "message", "usage": {**CLAUDE, "cache_read_input_tokens": True}},
        {
            "type": "message",
            "usage": {**CLAUDE, "cache_creation_input_tokens": 5, "cache_creation": {"ephemeral_5m_input_tokens": 4}},
        },
        {"type": "message", "usage": {"input_tokens": 10**12, "cache_read_input_tokens": 10**12}},
        {"done": True, "eval_count": -1},
        {"done": True, "eval_count": 1, "prompt_eval_count": 0.5},
        {"jsonrpc": "2.0", "result": {"metadata": {"usage": {"input_tokens": 1.5, "output_tokens": 1}}}},
        {"jsonrpc": "2.0", "result": {"metadata": {"usage": {"prompt_tokens": 1, "total_tokens": 0}}}},
    ],
)
def test_figures_that_cannot_all_be_true_are_unknown_and_logged_raw(
    answer: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    reader = BodyReader()
    reader.feed(orjson.dumps(answer))
    assert reader.result() == Usage()
    assert reader.absurd
    [message] = caplog.messages
    assert "is unknown: " in message
    assert any(character.isdigit() for character in message.partition("is unknown: ")[2]) or "True" in message


def test_of_openais_events_the_last_counts_and_nothing_is_added_to_it() -> None:
    first = find({"usage": {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}}})
    last = find({"usage": {"prompt_tokens": 2, "completion_tokens": 2}})
    assert merged(first, last) == last
    assert merged(first, None) == first


def test_of_googles_pieces_each_later_figure_counts() -> None:
    pieces = [{"promptTokenCount": 3, "thoughtsTokenCount": 4}, {"promptTokenCount": 3, "candidatesTokenCount": 5}]
    usage = said([{"usageMetadata": piece} for piece in pieces])
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (3, 9, 4)


def test_an_answer_of_another_dialect_takes_the_place_of_an_earlier_one() -> None:
    first, last = find({"usageMetadata": GEMINI}), find({"usage": {"prompt_tokens": 1}})
    found = merged(first, last)
    assert found is not None
    assert found[0] is of_openai


@pytest.mark.parametrize(
    "result",
    [
        {"kind": "task", "metadata": {"usage": 5}},
        {"kind": "task", "metadata": {"usage": {}}},
        {"kind": "task", "metadata": []},
        {"kind": "task", "status": [], "artifact": 5},
        {"task": {"status": {"message": []}}},
        [],
        None,
    ],
)
def test_an_a2a_result_without_figures_says_nothing(result: Any) -> None:
    assert said({"jsonrpc": "2.0", "id": 1, "result": result}) == Usage()
