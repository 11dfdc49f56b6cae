"""The soak: everything at once for minutes, and nothing left of it. ``python -m tests.bench.soak --help`` says how."""
