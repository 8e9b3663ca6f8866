"""The table of all faults, by name. The names stand in users' scripts, so they are promises."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from loomwire.testing.faults.body import BODY
from loomwire.testing.faults.connection import CONNECTION
from loomwire.testing.faults.content import CONTENT
from loomwire.testing.faults.heads import HEADS
from loomwire.testing.faults.kinds import FaultType
from loomwire.testing.faults.outside import OUTSIDE

FAULTS: Mapping[str, FaultType] = MappingProxyType(
    {each.name: each for each in (*CONNECTION, *BODY, *HEADS, *CONTENT, *OUTSIDE)}
)
"""Every fault: what `Fault` plays on an answer, and what `setup` says how to bring about."""
