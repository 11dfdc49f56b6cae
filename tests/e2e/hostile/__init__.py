"""Requests that mean harm, as bytes: the corpus. Each file holds one kind of them; ``ALL`` is all of them."""

from tests.e2e.hostile import chunks, fields, framing, spoofs, targets
from tests.e2e.hostile.request import Hostile

__all__ = ["ALL", "Hostile"]

ALL: tuple[Hostile, ...] = (*framing.REQUESTS, *chunks.REQUESTS, *fields.REQUESTS, *targets.REQUESTS, *spoofs.REQUESTS)
