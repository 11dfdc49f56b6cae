"""State: everything that is counted, behind one primitive, ``State``; its nouns are in ``aiogate/claims.py``."""

from aiogate.claims import State

__all__ = ["State"]
