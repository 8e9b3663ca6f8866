"""LLMNode: a workflow node that finds its client by name through the container. Needs no extra."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.ports.container import IDependencyContainer
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse


@dataclass(frozen=True, slots=True)
class LLMNode:
    """One step of a workflow: a prompt for a named client. Immutable, so it may be shared and pickled.

    Args:
        name: The node's name in the workflow; its answer is filed under it.
        client: The client's name in the configuration.
        prompt: The prompt; `{node}` is replaced by the text filed under that name.
        system: Instructions for the model, or None for the client's own.

    Example:
        >>> node = LLMNode("story", client="storyteller", prompt="Tell of: {plan}")
        >>> node.request({"plan": "Lisbon"}).messages[0].text
        'Tell of: Lisbon'
    """

    name: str
    client: str
    prompt: str
    system: str | None = None

    def request(self, state: Mapping[str, str]) -> LLMRequest:
        """Return the request for a state of the workflow.

        Raises:
            LLMValidationError: The prompt names something the state does not hold.
        """
        try:
            prompt = self.prompt.format_map(state)
        except KeyError as error:
            held = ", ".join(sorted(state)) or "nothing"
            raise LLMValidationError(
                f"node {self.name!r}: the prompt names {error}, the state holds {held}",
                hint="Run the node that files it first, or write literal braces as {{ and }}.",
            ) from None
        except (AttributeError, IndexError, TypeError, ValueError):
            raise LLMValidationError(
                f"node {self.name!r}: the prompt is no template of plain names such as {{plan}}",
                hint="Write literal braces as {{ and }}.",
            ) from None
        return LLMRequest.of(prompt, system=self.system)

    async def run(self, container: IDependencyContainer, state: Mapping[str, str]) -> LLMResponse[str]:
        """Ask the client and return its answer. Raises what `ILLMClient.generate` raises."""
        return await container.resolve(ILLMClient, self.client).generate(self.request(state))

    def stream(
        self, container: IDependencyContainer, state: Mapping[str, str]
    ) -> AbstractAsyncContextManager[LLMStream]:
        """Return the stream of the client's answer. Raises what `ILLMClient.stream` raises."""
        return container.resolve(ILLMClient, self.client).stream(self.request(state))
