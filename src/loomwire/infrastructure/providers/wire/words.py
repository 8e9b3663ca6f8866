"""What of a server's words may be shown: never a key, never the prompt, never more than fits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import MAX_PROVIDER_MESSAGE, LoomError
from loomwire.domain.messages import Text, ToolResult
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import JSON, ToolCall

MOST_LABEL = 128
"""Characters of a name or id that a server chooses."""

SHARED_RUN = 24
"""Characters of a run that a provider's words share with the request, from which it counts as quoted."""

MOST_COMPARED = 16_000_000
"""Characters of a request that are searched for quotations; the words about a larger one are not shown."""

_KEYS = re.compile(
    r"\b[Bb]earer\s+\S+"
    r"|\b(?:sk|pk|rk|gsk|xai|pplx|nvapi|hf|tgp|key)[-_][\w*.-]{6,}"
    r"|\bAIza[\w-]{10,}"
    r"|[^\s*]{0,64}\*{3,}\S{0,64}"  # what vendors leave of a key when they mask it themselves
)
_HIDDEN, _PROMPT = "[redacted]", "[prompt]"
_SHORTEST_HEADER_SECRET = 6
# More than an error shows, so that no key is cut before it is found.
_MOST_QUOTED = 4 * MAX_PROVIDER_MESSAGE
# Every run of SHARED_RUN characters holds one whole block of this size that begins at a multiple of it.
_BLOCK = SHARED_RUN // 2


def redacted(text: str, config: LLMConfig) -> str:
    """Return a provider's words without keys: those of the configuration, and whatever looks like one."""
    return _KEYS.sub(_HIDDEN, _without_secrets(text[:_MOST_QUOTED], config))


def label(text: str, config: LLMConfig) -> str:
    """Return a name or id that a server chose: without the configuration's keys, printable, `MOST_LABEL` at most."""
    if config.keys or config.headers:
        text = _without_secrets(text[:_MOST_QUOTED], config)
    if len(text) > MOST_LABEL:
        text = text[:MOST_LABEL]
    return text if text.isprintable() else "".join(c for c in text if c.isprintable())


def conceal_prompt(error: LoomError, request: LLMRequest) -> None:
    """Take out of an error's provider words what they quote of the request; linear in both."""
    conceal(error, _said(request))


def conceal(error: LoomError, said_by_caller: Iterable[str]) -> None:
    """Take out of an error's provider words what they quote of some texts; looks at these only if it must."""
    said, code = error.provider_message or "", error.provider_code or ""
    if max(len(said), len(code)) < SHARED_RUN:
        return
    texts = list(said_by_caller)
    error.provider_message = without_quotes(said, texts) or error.provider_message
    error.provider_code = without_quotes(code, texts) or error.provider_code


def without_quotes(words: str, texts: list[str]) -> str:
    """Return words with every run of `SHARED_RUN` characters that stands in one of the texts as `[prompt]`.

    Args:
        words: At most a few hundred characters.
        texts: Of any length; of more than `MOST_COMPARED` in all nothing is left of the words.
    """
    if len(words) < SHARED_RUN or not texts:
        return words
    if sum(map(len, texts)) > MOST_COMPARED:
        return _PROMPT
    quoted = bytearray(len(words))
    for start in range(0, len(words) - _BLOCK + 1, _BLOCK):
        block = words[start : start + _BLOCK]
        holding = [text for text in texts if block in text]
        if holding:
            _mark_runs(quoted, words, start, holding)
    return _marked(words, quoted)


def _mark_runs(quoted: bytearray, words: str, block: int, texts: list[str]) -> None:
    for at in range(max(0, block - _BLOCK), min(block, len(words) - SHARED_RUN) + 1):
        run = words[at : at + SHARED_RUN]
        if any(run in text for text in texts):
            quoted[at : at + SHARED_RUN] = b"\1" * SHARED_RUN


def _marked(words: str, quoted: bytearray) -> str:
    if not any(quoted):
        return words
    runs = re.finditer(rb"\x01+|\x00+", quoted)
    return "".join(_PROMPT if run.group()[0] else words[slice(*run.span())] for run in runs)


def _said(request: LLMRequest) -> Iterator[str]:
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, Text):
                yield part.text
            elif isinstance(part, ToolResult):
                yield from _texts(part.content)
            elif isinstance(part, ToolCall):
                yield part.raw_arguments
                yield from _texts(part.arguments)


def _texts(value: JSON) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        return
    inner: Iterable[JSON] = ()
    if isinstance(value, Mapping):
        inner = value.values()
    elif isinstance(value, Sequence):
        inner = value
    for each in inner:
        yield from _texts(each)


def _without_secrets(text: str, config: LLMConfig) -> str:
    for key in config.keys:
        text = text.replace(key.reveal(), _HIDDEN)
    for value in config.headers.values():
        for word in value.split():
            text = text.replace(word, _HIDDEN) if len(word) >= _SHORTEST_HEADER_SECRET else text
    return text
