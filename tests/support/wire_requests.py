"""Comparing what we write with what another program sent: equal JSON but for the exceptions a test lists."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeGuard

from loomwire.domain.values import JSON
from support.wire_playback import Recording


def differences(wanted: JSON, got: JSON, path: str = "") -> Iterator[str]:
    """Yield where two JSON values differ, as paths such as `messages.*.content`; places in lists are `*`."""
    if isinstance(wanted, Mapping) and isinstance(got, Mapping):
        for key in sorted(wanted.keys() | got.keys()):
            below = f"{path}.{key}" if path else key
            if key in wanted and key in got:
                yield from differences(wanted[key], got[key], below)
            else:
                yield f"+{below}" if key in got else f"-{below}"
    elif _is_list(wanted) and _is_list(got) and len(wanted) == len(got):
        for one, other in zip(wanted, got, strict=True):
            yield from differences(one, other, f"{path}.*")
    elif wanted != got:
        yield path


def check_body(recording: Recording, sent: bytes, exceptions: Mapping[str, str]) -> set[str]:
    """Fail unless a body is what the recording's program sent, but for the exceptions; returns those it needed.

    Args:
        recording: With the other program's request.
        sent: What we write for the same request.
        exceptions: Paths as `differences` yields them, each with the reason: `-stream_options` is a field only they
            sent, `+tool_choice` one only we sent, `model` a value that differs.
    """
    found = set(differences(recording.request, json.loads(sent)))
    unexpected = sorted(found - exceptions.keys())
    assert not unexpected, f"{recording.name}: {unexpected}"
    return found


def _is_list(value: JSON) -> TypeGuard[Sequence[JSON]]:
    return isinstance(value, Sequence) and not isinstance(value, str)
