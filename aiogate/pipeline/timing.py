"""How long plugins take in their hooks, by samples, and how often they fail; for operators.

Once a second the stages of a pipeline are replaced by the same ones with a stop-watch in each step, until so many calls
were timed; at all other times it costs nothing. Time is wall time: what a hook waits for counts. What observers do with
chunks is never timed.
"""

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, Final

import attrs

from aiogate.pipeline.compile import Stages, Step

__all__ = ["HookTimes", "Spent"]

_AT_ONCE: Final = 100
"""So many calls are timed in a second at most."""
_TIMED: Final = ("pre_request", "route", "claims", "response_started", "post_response")


@attrs.define
class Spent:
    """What one hook of one plugin has taken: ``calls`` that were timed, and their ``seconds`` together."""

    calls: int = 0
    seconds: float = 0.0


@attrs.define(eq=False)
class HookTimes:
    """What is known of the plugins of one pipeline, and of those before it that had the same names.

    Args:
        spent: by plugin and hook.
        errors: how often a plugin has raised, by plugin and hook.
    """

    spent: dict[tuple[str, str], Spent] = attrs.field(factory=dict)
    errors: dict[tuple[str, str], int] = attrs.field(factory=dict)
    _left: int = 0
    _rest: Callable[[], None] | None = None
    _stages: Stages | None = None

    def go_on(self, before: "HookTimes", plugins: Mapping[str, object]) -> None:
        """Add to what is known of the plugins that are still there, so that no counter goes back at a reload."""
        self.spent.update({name: known for name, known in before.spent.items() if name[0] in plugins})
        self.errors.update({name: count for name, count in before.errors.items() if name[0] in plugins})

    def failed(self, plugin: str, hook: str) -> None:
        """Count what a plugin has raised."""
        self.errors[plugin, hook] = self.errors.get((plugin, hook), 0) + 1

    def timed(self, stages: Stages, rest: Callable[[], None]) -> Stages:
        """Return the stages of the pipeline with stop-watches; ``rest`` is called when enough calls were timed."""
        self._left, self._rest = _AT_ONCE, rest
        if self._stages is None:
            changed: dict[str, Any] = {
                hook: tuple(self._step(hook, step) for step in getattr(stages, hook)) for hook in _TIMED
            }
            self._stages = attrs.evolve(stages, **changed)
        return self._stages

    def _step(self, hook: str, step: Step) -> Step:
        name, call, awaits = step
        spent = self.spent.setdefault((name, hook), Spent())
        return name, self._awaited(call, spent) if awaits else self._called(call, spent), awaits

    def _note(self, spent: Spent, began: float) -> None:
        spent.calls += 1
        spent.seconds += perf_counter() - began
        self._left -= 1
        if self._left <= 0 and self._rest is not None:
            self._rest()

    def _called(self, call: Callable[[Any], Any], spent: Spent) -> Callable[[Any], Any]:
        def timed(argument: Any) -> Any:  # noqa: ANN401 - whatever the hook takes and gives
            began = perf_counter()
            try:
                return call(argument)
            finally:
                self._note(spent, began)

        return timed

    def _awaited(self, call: Callable[[Any], Any], spent: Spent) -> Callable[[Any], Any]:
        async def timed(argument: Any) -> Any:  # noqa: ANN401 - likewise
            began = perf_counter()
            try:
                return await call(argument)
            finally:
                self._note(spent, began)

        return timed
