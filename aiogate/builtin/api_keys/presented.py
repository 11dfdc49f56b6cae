"""The key that a caller presents: found in a request's headers, and taken out of what the agent gets."""

from typing import Final

from multidict import CIMultiDict, istr

__all__ = ["MALFORMED", "take_key"]

_PREFIX: Final = "agk_"
_BEARER_KEY: Final = "Bearer agk_"
_BEARER: Final = len("Bearer ")
MALFORMED: Final = _PREFIX
"""A text that is no key, whatever keys there are."""
_AUTHORIZATION: Final = istr("Authorization")
_X_API_KEY: Final = istr("X-API-Key")


def take_key(headers: CIMultiDict[str]) -> str:
    """Take away the headers that hold a key of ours and return the key, ``""`` or a text that is no key.

    A header that holds something else is the agent's and stays.
    """
    values = headers.getall(_AUTHORIZATION, ())
    if len(values) == 1 and _X_API_KEY not in headers and values[0].startswith(_BEARER_KEY):
        del headers[_AUTHORIZATION]
        return values[0][_BEARER:].rstrip()
    bearer = _take_header(headers, _AUTHORIZATION, "bearer ")
    direct = _take_header(headers, _X_API_KEY, "")
    if bearer and direct and bearer != direct:
        return MALFORMED
    return bearer or direct


def _take_header(headers: CIMultiDict[str], name: istr, scheme: str) -> str:
    values = headers.getall(name, None)
    if values is None:
        return ""
    keys = [key for value in values if (key := _key_in(value, scheme))]
    if keys:
        del headers[name]
    if len(values) > 1:
        return MALFORMED
    return keys[0] if keys else ""


def _key_in(value: str, scheme: str) -> str:
    """Return the key in a header's value, ``""`` where it holds none; one in the wrong place must not go on either."""
    key = value[len(scheme) :].strip()
    if key.startswith(_PREFIX) and value[: len(scheme)].lower() == scheme:
        return key
    return MALFORMED if any(word.startswith(_PREFIX) for word in value.split()) else ""
