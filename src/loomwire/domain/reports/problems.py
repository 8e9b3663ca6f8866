"""What is wrong with a configuration, with its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from loomwire.domain.faults import FAULTS


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration, and where.

    Attributes:
        reason: A reason of `FAULTS`.
        message: What is wrong, without any value that might be a secret.
        path: The dotted key path, such as `providers.openai.api_key`; "" for a whole file.
        file: The file as the operator named it, or None (environment, constructors).
        line: Line from 1; 0 when unknown.
        column: Column from 1; 0 when unknown.
        excerpt: The source line, or "" where it may hold a secret.
        width: How many characters the caret underlines.
        suggestion: A name or value that was probably meant, or None.
        hint: What to do, when the table's remedy is too general.
        severity: Warnings do not keep a configuration from coming into force.
    """

    reason: str
    message: str
    path: str = ""
    file: str | None = None
    line: int = 0
    column: int = 0
    excerpt: str = ""
    width: int = 1
    suggestion: str | None = None
    hint: str | None = None
    severity: Literal["error", "warning"] = "error"

    @property
    def code(self) -> str:
        """The stable code, such as CFG010."""
        return FAULTS[self.reason].code

    @property
    def place(self) -> str:
        """`file:line:column` as far as it is known, or the key path."""
        if self.file is None:
            return self.path or "<root>"
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def render(self) -> str:
        """Return the problem as a block with the source line and a caret."""
        title = f"{self.severity}[{self.code}]: {self.message}" + (f" in {self.path}" if self.path else "")
        hint = self.hint or (f"did you mean `{self.suggestion}`?" if self.suggestion else FAULTS[self.reason].remedy)
        if not self.excerpt:
            return f"{title}\n  --> {self.place}\n   = {hint}"
        gutter = " " * len(str(self.line))
        caret = " " * (self.column - 1) + "^" * max(1, self.width)
        return f"{title}\n  --> {self.place}\n{self.line} | {self.excerpt}\n{gutter} | {caret} {hint}"
