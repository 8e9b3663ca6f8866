"""Asking something in a forked child."""

from __future__ import annotations

import os
from collections.abc import Callable


def is_true_in_child(work: Callable[[], bool]) -> bool:
    """Fork, run `work` in the child, and return what it returned; False when it raised."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0
