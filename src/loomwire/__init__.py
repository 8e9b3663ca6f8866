"""loomwire: one typed layer between a workflow engine and every LLM.

This is the front door. Importing it does no I/O, starts no thread and reads no environment; whatever needs pydantic,
aiohttp or dependency-injector is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import (
    AllTargetsFailedError,
    CapabilityError,
    ConfigError,
    ConfigRejectedError,
    LLMError,
    LLMRateLimitError,
    LLMTimeoutError,
    LLMValidationError,
    LoomError,
    OutputInvalidError,
    StreamInterruptedError,
)
from loomwire.domain.events import Finished, ReasoningDelta, StreamEvent, TextDelta, ToolCallEnd
from loomwire.domain.faults import ErrorCategory
from loomwire.domain.messages import Image, Message, ToolResult
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory, LLMStream
from loomwire.domain.ports.container import IDependencyContainer
from loomwire.domain.pricing import Cost, Unpriced, Usage
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.responses import LLMResponse
from loomwire.domain.tools import Tool
from loomwire.domain.values import Secret, ToolCall

if TYPE_CHECKING:
    from loomwire.application.clients.typed import TypedLLMClient
    from loomwire.application.sync import SyncLLMClient
    from loomwire.container.facade import LLMContainer
    from loomwire.hosts.node import LLMNode

__version__ = "0.1.0"

__all__ = [
    "AllTargetsFailedError",
    "CapabilityError",
    "ConfigError",
    "ConfigRejectedError",
    "Cost",
    "ErrorCategory",
    "Finished",
    "IDependencyContainer",
    "ILLMClient",
    "ILLMClientFactory",
    "Image",
    "LLMConfig",
    "LLMContainer",
    "LLMError",
    "LLMNode",
    "LLMRateLimitError",
    "LLMRequest",
    "LLMResponse",
    "LLMStream",
    "LLMTimeoutError",
    "LLMValidationError",
    "LoomError",
    "Message",
    "ModelCapabilities",
    "OutputInvalidError",
    "OutputSpec",
    "Parameters",
    "ReasoningDelta",
    "Secret",
    "StreamEvent",
    "StreamInterruptedError",
    "SyncLLMClient",
    "TextDelta",
    "Tool",
    "ToolCall",
    "ToolCallEnd",
    "ToolResult",
    "TypedLLMClient",
    "Unpriced",
    "Usage",
]

_LAZY = {
    "LLMContainer": "loomwire.container.facade",
    "LLMNode": "loomwire.hosts.node",
    "SyncLLMClient": "loomwire.application.sync",
    "TypedLLMClient": "loomwire.application.clients.typed",
}


def __getattr__(name: str) -> object:
    """Import the heavier public names when they are first used."""
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'loomwire' has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(module), name)
    globals()[name] = found
    return found
