"""One thing that an operator has stopped, until when and why. Knows nothing of where it is kept or who obeys it."""

import re
from typing import Any, Final, Literal, Self

import attrs
import orjson

from aiogate.errors import Refusal, refusal
from aiogate.exchange import Principal

__all__ = ["TARGETS", "Halt", "Kind", "duration"]

Kind = Literal["kill", "pause"]
TARGETS: Final = ("agent", "principal", "department", "key", "request")
"""What a kill may name; where it names several an exchange has to be all of it."""
_MOST_CHARACTERS: Final = 256
_DURATION: Final = re.compile(r"(?P<number>[0-9]{1,9})\s*(?P<unit>[smhd]?)")
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_SECONDS: Final = 10 * 366 * 86400
_RETRY_SECONDS: Final = 60.0
"""When to ask again where nobody knows how long it will last."""
_DO_NOT_RETRY: Final = (("x-should-retry", "false"),)
"""For SDKs that would ask again by themselves within a second."""


def duration(text: str) -> float:
    """Return the seconds that ``90s``, ``10m``, ``2h``, ``7d`` or ``600`` are; raises ``ValueError``."""
    match = _DURATION.fullmatch(text.strip())
    seconds = int(match["number"]) * _SECONDS[match["unit"]] if match else 0
    if not 0 < seconds <= _LONGEST_SECONDS:
        msg = f"expected a duration such as 90s, 10m, 2h or 7d, got {text!r}"
        raise ValueError(msg)
    return float(seconds)


def _is_short(_halt: object, attribute: "attrs.Attribute[Any]", value: str | None) -> None:
    if value is not None and not (1 <= len(value) <= _MOST_CHARACTERS and value.isprintable()):
        msg = f"{attribute.name}: expected 1 to {_MOST_CHARACTERS} printable characters"
        raise ValueError(msg)


@attrs.frozen(kw_only=True)
class Halt:
    """A kill or a pause.

    Args:
        id: what it is lifted by.
        since: wall seconds; likewise ``until``, None: until it is lifted.
        lifted: it is in force no more, and kept so that no gateway that was away brings it back.
    """

    id: str
    kind: Kind = "kill"
    agent: str | None = attrs.field(default=None, validator=_is_short)
    principal: str | None = attrs.field(default=None, validator=_is_short)
    department: str | None = attrs.field(default=None, validator=_is_short)
    key: str | None = attrs.field(default=None, validator=_is_short)
    request: str | None = attrs.field(default=None, validator=_is_short)
    reason: str = attrs.field(validator=_is_short)
    actor: str = attrs.field(validator=_is_short)
    since: float
    until: float | None = None
    lifted: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse what would stop everything."""
        if not self.targets:
            msg = f"name what to stop: one or more of {', '.join(TARGETS)}"
            raise ValueError(msg)

    @property
    def targets(self) -> dict[str, str]:
        """What is stopped, by the kind of name."""
        return {name: value for name in TARGETS if (value := getattr(self, name)) is not None}

    @property
    def is_of_agent(self) -> bool:
        """Whether it is about an agent, whoever calls it."""
        return self.agent is not None and len(self.targets) == 1

    def has_passed(self, wall: float) -> bool:
        """Tell whether it is in force no more."""
        return self.lifted or (self.until is not None and self.until <= wall)

    def is_about(self, caller: Principal | None, request_id: str, agent_id: str | None) -> bool:
        """Tell whether an exchange of this caller with this agent is to stop; None: it has no agent yet."""
        if self.request is not None and self.request != request_id:
            return False
        if self.agent is not None and self.agent != agent_id:
            return False
        if self.principal is None and self.department is None and self.key is None:
            return True
        return (
            caller is not None
            and (self.principal is None or self.principal == caller.id)
            and (self.department is None or self.department == caller.department)
            and (self.key is None or self.key == caller.key_id)
        )

    def refusal(self, wall: float) -> Refusal:
        """Return what callers are told: 503 where an agent is stopped for all, 403 where it is they who are."""
        said = self.reason if self.reason[-1] in ".!?" else f"{self.reason}."
        members = {"halt": self.id}
        if not self.is_of_agent:
            detail = f"stopped by an operator: {said}"
            return refusal("killed", detail, rule="kill", members=members, headers=_DO_NOT_RETRY)
        seconds = _RETRY_SECONDS if self.until is None else max(1.0, self.until - wall)
        if self.kind == "pause":
            detail = f"agent {self.agent!r} is paused by an operator: {said}"
            return refusal("agent_paused", detail, rule="pause", members=members, retry_after_seconds=seconds)
        detail = f"agent {self.agent!r} is stopped by an operator: {said}"
        facts: dict[str, Any] = {"members": members, "headers": _DO_NOT_RETRY, "retry_after_seconds": seconds}
        return refusal("agent_killed", detail, rule="kill", **facts)

    def encode(self) -> bytes:
        """Return what the board and the file keep."""
        return orjson.dumps({name: value for name, value in attrs.asdict(self).items() if value is not None})

    @classmethod
    def decode(cls, line: bytes) -> Self:
        """Return what was encoded; names of later versions are passed over. Raises ``ValueError``."""
        said = orjson.loads(line)
        names = {field.name for field in attrs.fields(Halt)}
        try:
            return cls(**{name: value for name, value in said.items() if name in names})
        except (AttributeError, TypeError) as error:
            msg = f"no kill and no pause: {error}"
            raise ValueError(msg) from error
