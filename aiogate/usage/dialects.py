"""Where the figures stand in a JSON answer of each dialect: OpenAI, Anthropic, Gemini, Ollama.

For ``recognise``. What a ``find_`` function finds is judged by an ``of_`` function once the answer has ended.
Knows nothing of HTTP, of chunks or of prices. The shapes are those of the public API references:
OpenAI "chat completion object", "response object" and their streaming events; Anthropic "Messages" and "Streaming
messages"; Google "GenerateContentResponse.UsageMetadata"; Ollama "docs/api.md".
"""

import reprlib
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final

from aiogate.exchange import Usage
from aiogate.usage.figures import AbsurdError, count, judged

__all__ = [
    "Found",
    "Judge",
    "find_anthropic",
    "find_gemini",
    "find_ollama",
    "find_openai",
    "of_anthropic",
    "of_gemini",
    "of_message_start",
    "of_ollama",
    "of_openai",
]

Judge = Callable[[Mapping[str, Any], object], Usage]
"""Makes a usage of figures and a model; raises ``AbsurdError``."""
Found = tuple[Judge, Mapping[str, Any], object]
"""Who judges the figures, the figures, the model."""

# Tuples, since what stands there may be a list, which no set can be asked for.
_ENDS_OF_RESPONSES: Final = ("response.completed", "response.incomplete", "response.failed")
_ANTHROPIC: Final = ("message", "message_delta")
_AUDIO: Final = "AUDIO"
_SHOWN_FIGURES: Final = 10


def of_openai(figures: Mapping[str, Any], model: object) -> Usage:
    """Judge figures of chat completions, completions, embeddings, responses and transcriptions."""
    if "prompt_tokens" in figures:
        whole_in, whole_out = figures["prompt_tokens"], figures.get("completion_tokens")
        details, more = figures.get("prompt_tokens_details"), figures.get("completion_tokens_details")
    else:
        whole_in, whole_out = figures.get("input_tokens"), figures.get("output_tokens")
        details = figures.get("input_tokens_details") or figures.get("input_token_details")
        more = figures.get("output_tokens_details") or figures.get("output_token_details")
    cached = written = audio_in = reasoning = audio_out = None
    if type(details) is dict:
        cached, audio_in = details.get("cached_tokens"), details.get("audio_tokens")
        written = details.get("cache_write_tokens")
    elif "prompt_cache_hit_tokens" in figures:  # DeepSeek
        cached = figures["prompt_cache_hit_tokens"]
    if type(more) is dict:
        reasoning, audio_out = more.get("reasoning_tokens"), more.get("audio_tokens")
    total = figures.get("total_tokens")
    if total is not None and (
        type(total) is not int
        or type(whole_in) is not int
        or (whole_out is not None and type(whole_out) is not int)
        or total != whole_in + (whole_out or 0)
    ):
        surplus = count(total) - count(whole_in) - count(whole_out)
        if surplus:
            whole_out, reasoning = _with_surplus(figures, model, (whole_out, reasoning, surplus))
    return judged(model, whole_in, whole_out, cached, written, None, reasoning, audio_in, audio_out)


def _with_surplus(figures: Mapping[str, Any], model: object, output: tuple[Any, Any, int]) -> tuple[int, int]:
    """Return output and reasoning where the total is not the sum; raises ``AbsurdError`` when nothing explains it.

    xAI leaves the reasoning out of the output, Google's endpoint for OpenAI's clients leaves it out altogether.
    """
    whole_out, reasoning, surplus = output
    left_out = (reasoning is None or reasoning == 0) and type(model) is str and "gemini" in model
    if surplus < 0 or not (reasoning == surplus or left_out):
        msg = f"total_tokens is not the sum in {_short(figures)}"
        raise AbsurdError(msg)
    return count(whole_out) + surplus, surplus


def find_openai(said: Mapping[str, Any]) -> Found | None:
    """Return OpenAI's figures in an answer or in an event that ends one, or None."""
    if said.get("type") in _ENDS_OF_RESPONSES and type(said.get("response")) is dict:
        said = said["response"]
    figures = said.get("usage")
    if type(figures) is dict and ("prompt_tokens" in figures or "input_tokens" in figures):
        return of_openai, figures, said.get("model")
    return None


def of_anthropic(figures: Mapping[str, Any], model: object) -> Usage:
    """Judge figures of messages: what was read from a cache or written to one stands beside the input, not in it."""
    fresh, read = figures.get("input_tokens"), figures.get("cache_read_input_tokens")
    written, kinds = figures.get("cache_creation_input_tokens"), figures.get("cache_creation")
    hour = None
    if type(kinds) is dict:
        hour, minutes = kinds.get("ephemeral_1h_input_tokens"), kinds.get("ephemeral_5m_input_tokens")
        by_kind = count(hour) + count(minutes)
        if written is not None and written != by_kind:
            msg = f"cache_creation is not cache_creation_input_tokens in {_short(figures)}"
            raise AbsurdError(msg)
        written = by_kind
    told = fresh is not None or read is not None or written is not None
    whole_in = count(fresh) + count(read) + count(written) if told else None
    return judged(model, whole_in, figures.get("output_tokens"), read, written, hour)


def of_message_start(figures: Mapping[str, Any], model: object) -> Usage:
    """Judge what the first event of a message says: all of the input, of the output next to nothing yet."""
    return of_anthropic(figures, model)


def find_anthropic(said: Mapping[str, Any]) -> Found | None:
    """Return Anthropic's figures in a message or in an event of its stream, or None."""
    kind = said.get("type")
    if kind == "message_start" and type(said.get("message")) is dict:
        said = said["message"]
        figures = said.get("usage")
        return (of_message_start, figures, said.get("model")) if type(figures) is dict else None
    figures = said.get("usage")
    if type(figures) is not dict:
        return None
    if kind in _ANTHROPIC or "cache_read_input_tokens" in figures or "cache_creation_input_tokens" in figures:
        return of_anthropic, figures, said.get("model")
    return None


def of_gemini(figures: Mapping[str, Any], model: object) -> Usage:
    """Judge Google's ``usageMetadata``: tools' prompts are input besides the prompt, thoughts output, too.

    Where the total has thoughts in it that are not named, as some adapters have it, it is they that are missing.
    """
    prompt, tools = figures.get("promptTokenCount"), figures.get("toolUsePromptTokenCount")
    answered = figures.get("candidatesTokenCount", figures.get("responseTokenCount"))
    thoughts, total = figures.get("thoughtsTokenCount"), figures.get("totalTokenCount")
    if prompt is None and answered is None:
        return Usage()
    whole_in, whole_out = count(prompt) + count(tools), count(answered) + count(thoughts)
    if total is not None and whole_in + whole_out != count(total):
        if thoughts is None and total > whole_in + whole_out:
            thoughts = total - whole_in - whole_out
            whole_out += thoughts
        elif total == whole_in + count(answered):  # thoughts are among the candidates
            whole_out = count(answered)
        elif total == count(prompt) + whole_out:  # tools are in the prompt
            whole_in = count(prompt)
        else:
            msg = f"totalTokenCount is not the sum in {_short(figures)}"
            raise AbsurdError(msg)
    return judged(
        model,
        None if prompt is None else whole_in,
        None if answered is None and thoughts is None else whole_out,
        figures.get("cachedContentTokenCount"),
        None,
        None,
        thoughts,
        _audio(figures.get("promptTokensDetails")),
        _audio(figures.get("candidatesTokensDetails", figures.get("responseTokensDetails"))),
    )


def _audio(details: object) -> Any:  # noqa: ANN401 - whatever stood in the JSON
    if type(details) is list:
        for part in details:
            if type(part) is dict and part.get("modality") == _AUDIO:
                return part.get("tokenCount")
    return None


def find_gemini(said: Mapping[str, Any]) -> Found | None:
    """Return Google's figures in an answer or in a piece of one, or None."""
    figures = said.get("usageMetadata")
    if type(figures) is dict:
        return of_gemini, figures, said.get("modelVersion")
    return None


def of_ollama(figures: Mapping[str, Any], model: object) -> Usage:
    """Judge Ollama's counters; a prompt that it had in its memory is not counted and not said."""
    return judged(model, figures.get("prompt_eval_count"), figures.get("eval_count"))


def find_ollama(said: Mapping[str, Any]) -> Found | None:
    """Return Ollama's counters in an answer or in the last record of a stream, or None."""
    if ("eval_count" in said or "prompt_eval_count" in said) and said.get("done") is not False:
        return of_ollama, said, said.get("model")
    return None


def _short(figures: Mapping[str, Any]) -> str:
    parts = (f"{name} {reprlib.repr(figure)}" for name, figure in islice(figures.items(), _SHOWN_FIGURES))
    return ", ".join(parts)
