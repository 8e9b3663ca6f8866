"""What an error can say about where it happened."""

from __future__ import annotations

from typing import Literal, TypeAlias, TypedDict

Phase: TypeAlias = Literal["connect", "headers", "body", "stream_before_token", "stream_after_token"]


class ErrorContext(TypedDict, total=False):
    """What an error can say about where it happened.

    Attributes:
        reason: A stable word of the fault table; it decides code, category and disposition.
        provider: The provider's name in the configuration.
        model: The model's name at the provider.
        endpoint: Scheme, host and port; never a path's query.
        status: The HTTP status, or the one a body spoke of.
        request_id: The provider's id of the request.
        attempt: Which attempt of the call this was, from 1.
        phase: How far the attempt came.
        retry_after: Seconds the provider asks to wait.
        provider_code: The provider's own code.
        provider_message: The provider's own words; like its code and id cut to 500 characters, without control ones.
        hint: What to do, in a sentence; the fault table's remedy unless given.
    """

    reason: str | None
    provider: str | None
    model: str | None
    endpoint: str | None
    status: int | None
    request_id: str | None
    attempt: int | None
    phase: Phase | None
    retry_after: float | None
    provider_code: str | None
    provider_message: str | None
    hint: str | None
