"""The port for where a configuration comes from."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Protocol

from loomwire.domain.config import Snapshot
from loomwire.domain.reports.problems import Problem


@dataclass(frozen=True, slots=True)
class ConfigReading:
    """What one reading of a configuration gave, valid or not.

    Attributes:
        digest: Identifies everything that was read, also when it is not valid: equal content, equal digest. That of a
            valid reading is its snapshot's.
        snapshot: The configuration, or None when it may not come into force.
        problems: Every problem found, errors and warnings, in the order of the files.
        watched: Absolute paths of every file it was read from or would have been, whether it exists or not.
    """

    digest: str
    snapshot: Snapshot | None
    problems: tuple[Problem, ...] = ()
    # Unseen: a variable that should name a secret's file may hold the secret itself.
    watched: tuple[str, ...] = field(default=(), repr=False)


class IConfigSource(Protocol):
    """Reads a configuration anew each time it is asked. It blocks, so it is never called on an event loop."""

    @abstractmethod
    def read(self, before: Snapshot | None) -> ConfigReading:
        """Read everything anew. A bad configuration is a reading with problems, never an exception.

        Args:
            before: What is in force. Models and clients that are the same should be its very objects: whoever builds
                from a snapshot keeps the chains of those.
        """
