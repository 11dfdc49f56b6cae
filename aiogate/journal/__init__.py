"""The append-only log with one record per exchange: written, read and shown.

The source of truth for who did what and what it cost. Knows nothing of sockets, plugins or any table of the config but
its own.
"""
