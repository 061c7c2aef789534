"""Enums of v2: a name or a number on input, a name on output, and the word that is stored.

Every name that is written here exists in Google's messages: a client that meets one it does not
know cannot read the rest either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jobrunner.core.documents import Node


@dataclass(frozen=True, slots=True)
class Enum:
    """``words`` are the stored texts of the names; a name that has none is unset."""

    numbers: Mapping[str, int]
    words: Mapping[str, str]

    def read(self, node: Node, key: str) -> str:
        """The stored word; empty for unset, zero and unspecified."""
        value = node.raw(key)
        name = value
        if isinstance(value, int) and not isinstance(value, bool):
            name = next((name for name, number in self.numbers.items() if number == value), None)
        if value is None:
            return ""
        if not isinstance(name, str) or name not in self.numbers:
            node.wrong(node.at(key), value, f"allowed here; allowed: {', '.join(self.words)}")
            return ""
        return self.words.get(name, "")

    def name(self, word: str) -> str:
        """The name of a stored word; empty where it has none."""
        return next((name for name, known in self.words.items() if known == word), "")


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


LAUNCH_STAGE = Enum(
    {
        "LAUNCH_STAGE_UNSPECIFIED": 0,
        "EARLY_ACCESS": 1,
        "ALPHA": 2,
        "BETA": 3,
        "GA": 4,
        "DEPRECATED": 5,
        "UNIMPLEMENTED": 6,
        "PRELAUNCH": 7,
    },
    _same("GA", "BETA", "ALPHA", "EARLY_ACCESS", "PRELAUNCH", "DEPRECATED", "UNIMPLEMENTED"),
)
EXECUTION_ENVIRONMENT = Enum(
    {
        "EXECUTION_ENVIRONMENT_UNSPECIFIED": 0,
        "EXECUTION_ENVIRONMENT_GEN1": 1,
        "EXECUTION_ENVIRONMENT_GEN2": 2,
    },
    {"EXECUTION_ENVIRONMENT_GEN1": "gen1", "EXECUTION_ENVIRONMENT_GEN2": "gen2"},
)
EGRESS = Enum(
    {"VPC_EGRESS_UNSPECIFIED": 0, "ALL_TRAFFIC": 1, "PRIVATE_RANGES_ONLY": 2},
    {"ALL_TRAFFIC": "all-traffic", "PRIVATE_RANGES_ONLY": "private-ranges-only"},
)
OLD_EGRESS = {"all": "all-traffic"}
"""Words of v1 that mean another one."""
MEDIUM = Enum({"MEDIUM_UNSPECIFIED": 0, "MEMORY": 1}, {"MEMORY": "Memory"})

EXECUTION_REASONS = {
    "NonZeroExitCode": "NON_ZERO_EXIT_CODE",
    "Cancelled": "CANCELLED",
    "Cancelling": "CANCELLING",
    "Deleted": "DELETED",
}
COMMON_REASONS = {
    "ContainerMissing": "CONTAINER_MISSING",
    "ContainerPermissionDenied": "CONTAINER_PERMISSION_DENIED",
    "ContainerImageUnauthorized": "CONTAINER_IMAGE_UNAUTHORIZED",
    "SecretsAccessCheckFailed": "SECRETS_ACCESS_CHECK_FAILED",
    "DeadlineExceeded": "PROGRESS_DEADLINE_EXCEEDED",
    "Lost": "INTERNAL",
}
OTHER_REASON = "UNKNOWN"
"""For a reason that Google has no name for; the message says what happened."""
