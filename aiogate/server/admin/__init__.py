"""The admin listener, for operators and their scrapers; never on the public address.

A file for each subject has its handlers and, at its end, its ``ROUTES``; ``table.py`` names them all. A handler gets
the request and asks ``gateway_of(request)`` for the gateway; what it answers it makes with ``answers.py``.
"""

from aiogate.server.admin.app import admin_app

__all__ = ["admin_app"]
