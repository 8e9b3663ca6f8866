"""What is said at a control socket: one JSON object a line in each direction, and no line longer than a bound."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loomwire.domain.errors import ConfigError, LLMValidationError, LoomError
from loomwire.domain.faults import FAULTS
from loomwire.domain.values import JSON

SCHEMA: Final = "loomwire/control/1"
"""Names the shape of an answer."""

LONGEST_QUESTION: Final = 16 * 1024
"""Bytes of one question, its line end included."""

LONGEST_ANSWER: Final = 16 * 1024 * 1024
"""Bytes of one answer: thousands of clients fit."""


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that a process is asked.

    Attributes:
        do: The name of the operation.
        values: What it takes.
    """

    do: str
    values: Mapping[str, JSON]

    def line(self) -> bytes:
        """Return the question as a line."""
        return json.dumps({"do": self.do, **self.values}).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one process said.

    Attributes:
        pid: Its process id.
        program: The name of what it runs, without arguments.
        said: What was asked for; None when there is an error.
        error: Why not, or None.
    """

    pid: int
    program: str
    said: Mapping[str, JSON] | None = None
    error: LoomError | None = None

    def line(self) -> bytes:
        """Return the answer as a line."""
        told: dict[str, JSON] = {"schema": SCHEMA, "pid": self.pid, "program": self.program}
        if self.error is not None:
            error = self.error
            told["error"] = {"reason": error.reason, "message": error.message, "hint": error.hint}
        else:
            told["answer"] = dict(self.said or {})
        return json.dumps(told, ensure_ascii=False, default=dict).encode() + b"\n"


def own_answer(*, said: Mapping[str, JSON] | None = None, error: LoomError | None = None) -> Answer:
    """Return an answer of this process."""
    # The name alone: arguments may hold anything.
    path = Path(sys.argv[0])
    program = path.parent.name if path.name == "__main__.py" else path.name
    return Answer(os.getpid(), program or "python", said, error)


def read_question(line: bytes) -> Question:
    """Return what a line asks.

    Raises:
        LLMValidationError: It is no JSON object with a text under `do`; the message quotes nothing of it.
    """
    found = _object(line)
    do = None if found is None else found.pop("do", None)
    if found is None or not isinstance(do, str):
        raise LLMValidationError(
            "a question is one JSON object on one line, with `do`", hint="Such as {'do': 'health'}."
        )
    return Question(do, found)


def read_answer(line: bytes) -> Answer | None:
    """Return what a line answers; None when it is none of ours."""
    found = _object(line)
    if found is None or found.get("schema") != SCHEMA:
        return None
    pid, said, error = found.get("pid"), found.get("answer"), found.get("error")
    if not isinstance(pid, int) or not isinstance(said if error is None else error, dict):
        return None
    told = error if isinstance(error, dict) else None
    return Answer(
        pid,
        str(found.get("program", "")),
        said if isinstance(said, dict) else None,
        None if told is None else _error(told),
    )


def _error(told: Mapping[str, JSON]) -> LoomError:
    reason = str(told.get("reason"))
    # Another release may know more reasons.
    known = reason if reason in FAULTS else "internal"
    kind = ConfigError if FAULTS[known].code.startswith("CFG") else LoomError
    return kind(str(told.get("message")), reason=known, hint=str(told.get("hint")))


def _object(line: bytes) -> dict[str, JSON] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
