"""What a model can do, and who says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from loomwire.domain.requests import LLMRequest, OutputSpec
from loomwire.domain.values import JSON, NO_JSON, FrozenDict, Source

_NO_SOURCES: Mapping[str, Source] = FrozenDict()


@dataclass(frozen=True, slots=True)
class ModelCapabilities:
    """What a model can do. None means unknown: allowed, because a wrong guess would refuse good calls.

    Attributes:
        supports_tools: It can call tools.
        supports_vision: It can read pictures.
        supports_streaming: It can stream.
        supports_json_mode: It can be held to JSON.
        supports_json_schema: It can be held to a JSON Schema.
        supports_system_message: It accepts system messages.
        supports_reasoning: It thinks before it answers.
        max_tokens: Longest answer in tokens.
        context_window: Longest input plus output in tokens.
        custom_capabilities: Free facts of the operator.
        sources: For each known field, who says so.
    """

    supports_tools: bool | None = None
    supports_vision: bool | None = None
    supports_streaming: bool | None = None
    supports_json_mode: bool | None = None
    supports_json_schema: bool | None = None
    supports_system_message: bool | None = None
    supports_reasoning: bool | None = None
    max_tokens: int | None = None
    context_window: int | None = None
    custom_capabilities: Mapping[str, JSON] = NO_JSON
    sources: Mapping[str, Source] = _NO_SOURCES

    def source(self, field: str) -> Source:
        """Return who says so for a field; `unknown` when nobody does."""
        return self.sources.get(field, "unknown")

    def stated_by(self, source: Source) -> ModelCapabilities:
        """Return the same facts, each marked as said by `source`."""
        return replace(self, sources=FrozenDict({name: source for name in _FACTS if self._knows(name)}))

    def over(self, weaker: ModelCapabilities) -> ModelCapabilities:
        """Return these facts with the gaps filled from a weaker source, and who says so with each."""
        gaps = [name for name in _FACTS if not self._knows(name) and weaker._knows(name)]
        sources = {name: source for name, source in self.sources.items() if self._knows(name)}
        sources.update((name, weaker.source(name)) for name in gaps if name in weaker.sources)
        return replace(self, **{name: getattr(weaker, name) for name in gaps}, sources=FrozenDict(sources))

    def common(self, other: ModelCapabilities) -> ModelCapabilities:
        """Return what holds for both: they can only what each of them can, within the smaller of their limits.

        A fact that is known of one of them alone is unknown, unless it is a no or a limit. Free facts are left out.
        """
        held = ModelCapabilities(
            supports_tools=_both(self.supports_tools, other.supports_tools),
            supports_vision=_both(self.supports_vision, other.supports_vision),
            supports_streaming=_both(self.supports_streaming, other.supports_streaming),
            supports_json_mode=_both(self.supports_json_mode, other.supports_json_mode),
            supports_json_schema=_both(self.supports_json_schema, other.supports_json_schema),
            supports_system_message=_both(self.supports_system_message, other.supports_system_message),
            supports_reasoning=_both(self.supports_reasoning, other.supports_reasoning),
            max_tokens=_smaller(self.max_tokens, other.max_tokens),
            context_window=_smaller(self.context_window, other.context_window),
        )
        sources: dict[str, Source] = {}
        for name in filter(held._knows, _FACTS):
            owner = self if getattr(self, name) == getattr(held, name) else other
            if name in owner.sources:
                sources[name] = owner.sources[name]
        return replace(held, sources=FrozenDict(sources))

    def unmet(self, request: LLMRequest, *, streamed: bool = False) -> str | None:
        """Return the first thing the request needs and the model is known not to do, as a word, or None.

        Args:
            request: What is asked, with the target's parameters filled in.
            streamed: The answer is asked for as a stream.
        """
        if streamed and self.supports_streaming is False:
            return "streaming"
        if self.supports_vision is False and request.has_images:
            return "vision"
        if self.supports_tools is False and request.tools and request.tool_choice != "none":
            return "tools"
        return self._unmet_output(request.output) or self._unmet_length(request.parameters.max_tokens)

    def unsure(self, request: LLMRequest) -> tuple[str, ...]:
        """Return what the request needs and nobody knows the model to do, as the words of `unmet`.

        Streams and system messages are no part of it: every dialect has them, so that only a no means something.
        """
        asked: list[str] = []
        if self.supports_vision is None and request.has_images:
            asked.append("vision")
        if self.supports_tools is None and request.tools and request.tool_choice != "none":
            asked.append("tools")
        if request.output is not None:
            by_schema = request.output.schema is not None
            known = self.supports_json_schema if by_schema else self.supports_json_mode
            if known is None:
                asked.append("json_schema" if by_schema else "json_mode")
        return tuple(asked)

    def _unmet_output(self, output: OutputSpec | None) -> str | None:
        if output is None:
            return None
        if output.schema is not None:
            return "json_schema" if self.supports_json_schema is False else None
        return "json_mode" if self.supports_json_mode is False else None

    def _unmet_length(self, wanted: int | None) -> str | None:
        over = wanted is not None and self.max_tokens is not None and wanted > self.max_tokens
        return f"max_tokens above {self.max_tokens}" if over else None

    def _knows(self, name: str) -> bool:
        # Not by truth: False and 0 are facts too.
        return getattr(self, name) not in (None, {})


_FACTS = tuple(f.name for f in fields(ModelCapabilities) if f.name != "sources")


def _both(*facts: bool | None) -> bool | None:
    if False in facts:
        return False
    return None if None in facts else True


def _smaller(one: int | None, other: int | None) -> int | None:
    return min((number for number in (one, other) if number is not None), default=None)
