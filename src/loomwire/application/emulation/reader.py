"""What reads an answer apart: visible text at once, calls at the end."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

from loomwire.application.emulation.calls import Found


@dataclass(frozen=True, slots=True)
class Read:
    """What was left at an answer's end.

    Attributes:
        text: The rest of the visible text.
        calls: The calls, in order.
        problem: Why the answer must not be handed out, or None; quotes nothing.
    """

    text: str = ""
    calls: tuple[Found, ...] = ()
    problem: str | None = None


class Reader(Protocol):
    """Reads one answer. Belongs to one task. How the answer is cut into pieces makes no difference."""

    __slots__ = ()

    @abstractmethod
    def feed(self, text: str) -> str:
        """Take the next piece and return what of the visible text is now certain."""

    def thought(self) -> str:
        """Return what of the model's thinking became certain since this was last asked."""
        return ""

    @abstractmethod
    def end(self, *, cut: bool) -> Read:
        """Take the end of the answer.

        Args:
            cut: The model did not stop by itself: the token limit, or a filter.
        """
