"""What one look at a provider found, without asking a model anything."""

from __future__ import annotations

from dataclasses import dataclass

from loomwire.domain.values import JSON

ANY_MODEL = "*"
"""Stands for whatever a request may call the one model that a server has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How a provider answered to a look.

    Attributes:
        answered: It did, and accepted the key; None when nobody could look, because asking costs money or there is
            nothing to ask.
        asked: What was asked, such as `GET /v1/models`; "" when nothing was sent.
        latency_s: Seconds that the first answer took.
        code: The code of the error, such as AUT001, or "".
        message: The error in one line, or "".
        models: What it has, `*` for one model under any name; None when it does not say, or not all of it.
        loaded: What of that is in its memory; None where nobody can tell, or need.
    """

    answered: bool | None = None
    asked: str = ""
    latency_s: float = 0.0
    code: str = ""
    message: str = ""
    models: tuple[str, ...] | None = None
    loaded: tuple[str, ...] | None = None

    def has(self, model: str) -> bool | None:
        """Return whether the provider lists a model; None when it does not list."""
        return None if self.models is None else _is_in(model, self.models)

    def holds(self, model: str) -> bool | None:
        """Return whether a model is in the server's memory; None when nobody can tell."""
        return None if self.loaded is None else _is_in(model, self.loaded)

    def to_dict(self) -> dict[str, JSON]:
        """Return the look as JSON."""
        return {
            "answered": self.answered,
            "asked": self.asked,
            "latency_s": round(self.latency_s, 6),
            "code": self.code,
            "message": self.message,
            "models": None if self.models is None else list(self.models),
            "loaded": None if self.loaded is None else list(self.loaded),
        }


def _is_in(model: str, names: tuple[str, ...]) -> bool:
    # Ollama adds the tag, Gemini the kind.
    return any(name in names for name in (model, f"{model}:latest", f"models/{model}", ANY_MODEL))
