"""Which candidates a request can be sent to at all, and what is in the way of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from loomwire.application.selection.options import Option
from loomwire.domain.config import LLMConfig
from loomwire.domain.estimates.tokens import input_tokens
from loomwire.domain.requests import LLMRequest


@dataclass(frozen=True, slots=True)
class Unfit:
    """A candidate that cannot serve a request.

    Attributes:
        option: The candidate.
        reason: capability or context_length.
        words: Why, in words.
    """

    option: Option
    reason: str
    words: str


class Needs:
    """What one request needs, measured once and only when somebody asks. Lives as long as the call.

    Args:
        request: What is asked.
        streamed: As a stream.
    """

    __slots__ = ("_bare", "_input", "_request", "_streamed")

    def __init__(self, request: LLMRequest, *, streamed: bool) -> None:
        """Measure nothing yet."""
        self._request = request
        self._streamed = streamed
        self._input: int | None = None
        self._bare: LLMRequest | None = None

    @property
    def input_tokens(self) -> int:
        """The estimated input in tokens."""
        if self._input is None:
            self._input = input_tokens(self._request)
        return self._input

    def unmet_by(self, config: LLMConfig) -> str | None:
        """Return in words what a target is known not to do, or None."""
        can = config.capabilities
        request = self._request
        if request.tools and can.supports_tools is False and config.emulate_tools:
            request = self._toolless(request)
        unmet = can.unmet(request, streamed=self._streamed)
        if unmet is not None:
            return f"cannot do what the request needs: {unmet}"
        if config.catalogue.strict and (unsure := can.unsure(request)):
            return f"nobody knows whether it can do what the request needs: {unsure[0]}"
        return None

    def too_long_for(self, config: LLMConfig) -> str | None:
        """Return in words why the request probably does not fit the window of a target, or None."""
        window = config.capabilities.context_window
        if window is None:
            return None
        answer = self._request.parameters.max_tokens or config.parameters.max_tokens or 0
        needed = self.input_tokens + answer
        return f"about {needed} tokens are more than its window of {window}" if needed > window else None

    def _toolless(self, request: LLMRequest) -> LLMRequest:
        if self._bare is None:
            self._bare = replace(request, tools=(), tool_choice="auto")
        return self._bare


def narrowed(options: Sequence[Option], needs: Needs) -> tuple[tuple[Option, ...], tuple[Unfit, ...]]:
    """Part the candidates that can serve a request from those that cannot, with the reasons.

    What a target is known not to do is certain; how long a request is, is an estimate. When it fits no window, those
    with the largest one are kept, because a wrong estimate must not refuse a call. When nobody can serve the request,
    the first candidate of all is kept, so that its own refusal says what is missing.
    """
    unable = [Unfit(option, "capability", why) for option in options if (why := needs.unmet_by(option.config))]
    able = _without(options, unable)
    if not able:
        return tuple(options[:1]), tuple(unable[1:])
    long = [Unfit(option, "context_length", why) for option in able if (why := needs.too_long_for(option.config))]
    if len(long) == len(able):
        largest = max(_window(option) for option in able)
        long = [unfit for unfit in long if _window(unfit.option) < largest]
    return _without(able, long), (*unable, *long)


def _without(options: Sequence[Option], unfit: Sequence[Unfit]) -> tuple[Option, ...]:
    if not unfit:
        return tuple(options)
    left_out = {id(one.option) for one in unfit}
    return tuple(option for option in options if id(option) not in left_out)


def _window(option: Option) -> int:
    return option.config.capabilities.context_window or 0
