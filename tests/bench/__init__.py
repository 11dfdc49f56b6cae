"""The bench: what the gateway costs beside a bare aiohttp proxy. ``python -m tests.bench``; see README.md."""
