"""The exit codes of all commands, for scripts: the one table, which ``aiogate --help`` ends with."""

from collections.abc import Mapping
from typing import Final

__all__ = ["EXITS", "EX_CONFIG", "EX_FAILED", "EX_INTERRUPTED", "EX_TAMPERED", "EX_UNWELL", "EX_USAGE"]

EX_FAILED: Final = 1
EX_USAGE: Final = 2
EX_TAMPERED: Final = 3
EX_UNWELL: Final = 4
EX_CONFIG: Final = 78
"""As in sysexits.h."""
EX_INTERRUPTED: Final = 130

EXITS: Final[Mapping[int, str]] = {
    0: "It went well.",
    EX_FAILED: "It did not, and stderr says why; of policy test: a case came out otherwise.",
    EX_USAGE: "The command line is wrong.",
    EX_TAMPERED: "audit verify: somebody has touched the journal.",
    EX_UNWELL: "status: the gateway answers, and something is not well; kill: it holds, and something is missing.",
    EX_CONFIG: "A config has problems, and stderr names each.",
    EX_INTERRUPTED: "Ctrl-C.",
}
