"""What the HTTP server under the admin listener may log: nothing of what is no HTTP, for that may hold a token."""

import logging
from typing import Final

from aiohttp.http import HttpProcessingError

__all__ = ["LISTENER_LOG"]

LISTENER_LOG: Final = logging.getLogger("aiogate.server.admin.listener")


def _is_no_quotation(entry: logging.LogRecord) -> bool:
    """Tell whether an entry is no complaint of the parser, which quotes the line that it complains of."""
    return entry.exc_info is None or not isinstance(entry.exc_info[1], HttpProcessingError)


LISTENER_LOG.addFilter(_is_no_quotation)
