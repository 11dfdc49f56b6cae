"""Plugins that have nothing to do, as third parties would ship them: a distribution of its own, found by entry points.

For measuring what a plugin costs that is only there. Knows nothing of gateways.
"""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["idle_plugins"]

_MODULE = "aiogate_bench_idle"
_PLUGIN = '''
class Idle{number}:
    """Is asked about every exchange, before and after, and has nothing to say."""

    @hookimpl
    def pre_request(self, exchange: Exchange) -> None:
        pass

    @hookimpl
    def post_response(self, exchange: Exchange) -> None:
        pass
'''


def idle_plugins(directory: Path, count: int) -> Sequence[str]:
    """Write a distribution with so many plugins for a ``sys.path`` that holds the directory; return their names."""
    if not count:
        return ()
    classes = "\n".join(_PLUGIN.format(number=number) for number in range(count))
    (directory / f"{_MODULE}.py").write_text(f"from aiogate import Exchange, hookimpl\n\n{classes}", encoding="utf-8")
    described = directory / f"{_MODULE}-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {_MODULE}\nVersion: 1.0\n", encoding="utf-8")
    names = [f"idle_{number}" for number in range(count)]
    points = "".join(f"{name} = {_MODULE}:Idle{number}\n" for number, name in enumerate(names))
    (described / "entry_points.txt").write_text(f"[aiogate]\n{points}", encoding="utf-8")
    return names
