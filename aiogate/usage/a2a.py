"""Where A2A agents (0.3 and 1.0) say what they used: in the metadata of a task, of a message or of an update.

For the readers. The protocol gives metadata no names, so that those in use are known: ``usage``, ``token_usage`` with
the names of OpenAI, Anthropic or ours, ``usageMetadata``, ``adk_usage_metadata`` with Google's. A2A 1.0 is protobuf as
JSON: its metadata may have numbers with a point, and a result has a member for what it is where 0.3 has a ``kind``.
Of several updates in a stream the last word counts. Earlier turns (``history``) were charged with their own answers.
"""

from collections.abc import Mapping
from typing import Any, Final

from aiogate.exchange import Usage
from aiogate.usage.dialects import Found, of_anthropic, of_gemini, of_openai
from aiogate.usage.figures import judged

__all__ = ["find_a2a"]

_MEMBERS: Final = ("task", "message", "statusUpdate", "artifactUpdate", "msg")
_NAMES: Final = ("model", "model_name", "modelName", "modelVersion", "model_version")


def find_a2a(said: Mapping[str, Any]) -> Found | None:
    """Return the figures in a JSON-RPC result, in a stream's event, or in what the HTTP binding answers; else None."""
    result = said.get("result", said)
    if type(result) is not dict:
        return None
    for name in _MEMBERS:
        if type(result.get(name)) is dict:
            result = result[name]
            break
    return _in_metadata(result) or _in_status(result) or _in_artifact(result)


def _in_status(result: Mapping[str, Any]) -> Found | None:
    status = result.get("status")
    message = status.get("message") if type(status) is dict else None
    return _in_metadata(message) if type(message) is dict else None


def _in_artifact(result: Mapping[str, Any]) -> Found | None:
    artifact = result.get("artifact")
    return _in_metadata(artifact) if type(artifact) is dict else None


def _in_metadata(thing: Mapping[str, Any]) -> Found | None:
    metadata = thing.get("metadata")
    if type(metadata) is not dict:
        return None
    for name, value in metadata.items():
        if type(value) is dict and "usage" in name.lower():
            found = _by_names(value, metadata)
            if found is not None:
                return found
    return None


def _by_names(said: Mapping[str, Any], metadata: Mapping[str, Any]) -> Found | None:
    figures: dict[str, Any] = _whole(said)
    model = next((names[name] for names in (said, metadata) for name in _NAMES if name in names), None)
    if "promptTokenCount" in figures or "candidatesTokenCount" in figures:
        return of_gemini, figures, model
    if "cache_read_input_tokens" in figures or "cache_creation_input_tokens" in figures:
        return of_anthropic, figures, model
    if "prompt_tokens" in figures or "input_tokens" in figures or "output_tokens" in figures:
        return (of_openai if "total_tokens" in figures or "prompt_tokens" in figures else _of_names), figures, model
    if "inputTokens" in figures or "outputTokens" in figures:
        return _of_camels, figures, model
    return None


def _of_names(figures: Mapping[str, Any], model: object) -> Usage:
    """Judge figures by the names that this gateway has for them, or OpenAI's details."""
    if "input_tokens_details" in figures or "output_tokens_details" in figures:
        return of_openai(figures, model)
    return judged(
        model,
        figures.get("input_tokens"),
        figures.get("output_tokens"),
        figures.get("cached_input_tokens", figures.get("cached_tokens")),
        figures.get("cache_write_tokens"),
        None,
        figures.get("reasoning_tokens"),
    )


def _of_camels(figures: Mapping[str, Any], model: object) -> Usage:
    return judged(model, figures.get("inputTokens"), figures.get("outputTokens"), figures.get("cachedInputTokens"))


def _whole(value: Any, depth: int = 2) -> Any:  # noqa: ANN401 - parsed JSON
    """Return figures with 12.0 as 12, in details as well; 12.5 stays what it is and is found absurd."""
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is dict and depth:
        return {name: _whole(item, depth - 1) for name, item in value.items()}
    return value
