"""Writes the contents of a Gemini request: turns of user and model, and the instructions apart from them."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

import msgspec

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMValidationError
from loomwire.domain.messages import Image, Message, Part, Reasoning, Text, ToolResult
from loomwire.domain.values import ToolCall
from loomwire.infrastructure.providers.gemini.kept import ORIGIN, put_back
from loomwire.infrastructure.providers.gemini.quirks import GeminiQuirks
from loomwire.infrastructure.providers.wire.request_body import Body, base64_text

MADE_UP: Final = "loomwire-"
"""Begins the ids that we made up for calls without one; the server never sees them (TRAPS 27)."""

NO_SIGNATURE: Final = "skip_thought_signature_validator"
"""Google's word for a call that another model made, so that nobody has signed it."""

_DEMANDS_SIGNATURES = re.compile(r"gemini-(?:[3-9]|[12]\d)\b")
_TYPES: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
}


def wire_contents(
    messages: Iterable[Message], config: LLMConfig, quirks: GeminiQuirks
) -> tuple[list[Body], list[Body]]:
    """Return the turns, and the parts of the system instruction.

    Neighbouring messages of one role are one turn, and so are the results of one turn's calls. Instructions have no
    place in the conversation: all of them stand before it, in their order.

    Raises:
        LLMValidationError: A tool's result answers no call and names no tool.
    """
    system: list[Body] = []
    turns: list[tuple[str, list[Part]]] = []
    before = ""
    for message in messages:
        role = message.role
        if role == "system":
            system += [_text(part.text) for part in message.parts if isinstance(part, Text)]
        elif role == before:
            turns[-1][1].extend(message.parts)
        else:
            turns.append((role, list(message.parts)))
            before = role
    writer = _Writer(config, quirks)
    return [writer.turn(role, parts) for role, parts in turns], system


class _Writer:
    """Writes turns; knows the calls so far, whose names results need."""

    __slots__ = ("_calls", "_config", "_quirks")

    def __init__(self, config: LLMConfig, quirks: GeminiQuirks) -> None:
        self._config = config
        self._quirks = quirks
        self._calls: dict[str, tuple[int, str]] = {}

    def turn(self, role: str, parts: Sequence[Part]) -> Body:
        """Return one turn."""
        if role == "assistant":
            return {"role": "model", "parts": self._model(parts)}
        if role == "tool":
            results = [part for part in parts if isinstance(part, ToolResult)]
            if len(results) > 1:
                # Without ids a result belongs to the call at its place.
                results.sort(key=lambda result: self._calls.get(result.call_id, (len(self._calls), ""))[0])
            return {"role": "user", "parts": [self._result(result) for result in results]}
        return {"role": "user", "parts": [self._said(part) for part in parts]}

    def _said(self, part: Part) -> Body:
        if isinstance(part, Image):
            return _image(part, self._quirks)
        return _text(part.text if isinstance(part, Text) else "")

    def _model(self, parts: Sequence[Part]) -> list[Body]:
        calls: list[Body] = []
        wire: list[Body] = []
        for part in parts:
            if isinstance(part, ToolCall):
                calls.append(self._call(part))
                wire.append(calls[-1])
            elif isinstance(part, Text) and part.text:
                wire.append(_text(part.text))
        self._sign_first(calls)
        own = _own(parts)
        if own:
            wire = put_back(own, "".join(part.text for part in parts if isinstance(part, Text)), calls)
        return wire or [_text("")]

    def _sign_first(self, calls: Sequence[Body]) -> None:
        if calls and "thoughtSignature" not in calls[0] and self._demands_signatures():
            calls[0]["thoughtSignature"] = NO_SIGNATURE

    def _demands_signatures(self) -> bool:
        return self._quirks.skip_signatures and _DEMANDS_SIGNATURES.search(self._config.model) is not None

    def _call(self, call: ToolCall) -> Body:
        self._calls[call.id] = (len(self._calls), call.name)
        # Arguments that are no object have no place here; their text tells the model what it wrote.
        args = {"arguments": call.raw_arguments} if call.arguments is None else call.arguments
        function: Body = {"name": call.name, "args": args, **self._id(call.id)}
        signature = own_signature(call.signature)
        return {"functionCall": function} if signature is None else _signed(function, signature)

    def _result(self, result: ToolResult) -> Body:
        name = result.name or self._calls.get(result.call_id, (0, ""))[1]
        if not name:
            raise LLMValidationError(
                "a tool's result answers no call of the conversation, and Gemini needs the tool's name",
                hint="Give the call's message back before its result, or name the tool: ToolResult(..., name=...).",
            )
        content: object = result.content
        if result.is_error:
            content = {"error": content}
        elif not isinstance(content, Mapping):
            content = {"output": content}
        return {"functionResponse": {"name": name, "response": content, **self._id(result.call_id)}}

    def _id(self, id: str) -> Body:
        return {"id": id} if id and self._quirks.call_ids and not id.startswith(MADE_UP) else {}


def own_signature(signature: str | None) -> str | None:
    """Return a call's signature if it is Google's, also when it came over the chat dialect, else None."""
    if signature is None or not signature.startswith("{"):
        return signature
    try:
        return _EXTRA.decode(signature).google.thought_signature
    except (ValueError, RecursionError):
        return None


def _own(parts: Sequence[Part]) -> Sequence[Reasoning]:
    return [part for part in parts if isinstance(part, Reasoning) and part.origin == ORIGIN]


class _Google(msgspec.Struct):
    thought_signature: str


class _Extra(msgspec.Struct):
    google: _Google


_EXTRA = msgspec.json.Decoder(_Extra)


def _signed(function: Body, signature: str) -> Body:
    return {"functionCall": function, "thoughtSignature": signature}


def _text(text: str) -> Body:
    return {"text": text}


def _image(image: Image, quirks: GeminiQuirks) -> Body:
    if image.data is not None:
        return _inline(image.media_type, base64_text(image.data))
    url = image.url or ""
    if url.startswith("data:"):
        head, _, data = url.removeprefix("data:").partition(",")
        media, _, form = head.partition(";")
        if not form.endswith("base64"):
            data = b64encode(unquote_to_bytes(data)).decode()
        return _inline(media, data)
    file: Body = {"fileUri": url}
    media_type = _TYPES.get(urlsplit(url).path.rpartition(".")[2].lower())
    if media_type is not None or quirks.url_types or image.media_type != _TYPES["png"]:
        file["mimeType"] = media_type or image.media_type
    return {"fileData": file}


def _inline(media_type: str, data: str) -> Body:
    return {"inlineData": {"mimeType": media_type, "data": data}}
