"""What the figures were measured on and with, in neutral words.

Knows nothing of measuring.
"""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version

import attrs

from tests.bench.processes import Cores, files_allowed
from tests.bench.rivals import RIVALS, release

__all__ = ["Machine"]

_BUSY_LOAD = 0.5
_LIBRARIES = ("aiohttp", "httptools", "uvloop")


@attrs.frozen(kw_only=True)
class Machine:
    """Cores, limits and versions."""

    cores: int
    gateway_alone_on_its_core: bool
    load_average_before: float
    open_files: int
    python: str
    versions: Mapping[str, str]

    @classmethod
    def this(cls, cores: Cores, gateways: Sequence[str]) -> "Machine":
        """Return what is known of this machine; ``gateways`` are those whose versions matter."""
        rivals = {name: release(name) for name in gateways if name in RIVALS}
        return cls(
            cores=len(cores.gateway | cores.load),
            gateway_alone_on_its_core=cores.apart,
            load_average_before=round(os.getloadavg()[0], 2),
            open_files=files_allowed(),
            python=platform.python_version(),
            versions={**{name: version(name) for name in _LIBRARIES}, **rivals},
        )

    def facts(self) -> Mapping[str, str]:
        """Return lines for people."""
        alone = "one for the gateway alone" if self.gateway_alone_on_its_core else "shared by all"
        libraries = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return {"machine": f"{self.cores} cores, {alone}", "versions": f"Python {self.python}, {libraries}"}

    def warnings(self) -> Iterator[str]:
        """Yield what makes the figures less sure."""
        if self.load_average_before > _BUSY_LOAD:
            yield f"the machine is busy (load {self.load_average_before}); delays will show it"
        if not self.gateway_alone_on_its_core:
            yield "one core only; the gateway shares it with agent and load generator"
