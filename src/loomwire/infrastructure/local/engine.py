"""llama.cpp's own HTTP server as an object in this process. The one module that knows the package behind it.

What was measured of xllamacpp 2026.10 and decides the shape of this module: starting holds the interpreter lock until
the model is mapped, so what can be done before is done before (`read_ahead`); stopping waits for requests under way
and holds that lock meanwhile, so a server is stopped only when it says that it is idle, and otherwise left alone; in a
forked child its threads are gone, so there it is never stopped at all, and the child should leave by `os._exit`, as
multiprocessing does, because the library's own exit handlers wait for them. A truncated file raises; one whose
metadata is whole and contradicts itself, such as two equal words, can end the process (decision record 0009).
"""

from __future__ import annotations

import atexit
import importlib
import os
import re
import threading
import weakref
from abc import abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from typing_extensions import override

from loomwire.domain.values import Secret
from loomwire.infrastructure.local.settings import PACKAGE, LocalSettings

IDLE_S: Final = 5.0
"""Seconds at most that stopping waits for requests whose clients have gone."""

_POLL_S = 0.02
_BUSY = re.compile(r"^llamacpp:requests_(?:processing|deferred) (?!0\b)", re.MULTILINE)
_PIECE = 4 * 2**20


class LoadError(Exception):
    """The model cannot be served; the words are fit for an error message."""


class Engine(Protocol):
    """A running server.

    Attributes:
        base_url: Where its OpenAI API stands.
        key: Without it the server answers nobody.
    """

    base_url: str
    key: Secret

    @abstractmethod
    def stop(self) -> None:
        """Stop it, or leave it when it is not idle within `IDLE_S`. Blocks; never on an event loop's thread."""

    @abstractmethod
    def abandon(self) -> None:
        """Never stop it: its threads are not here, or nobody knows what they do."""


class _Server(Protocol):
    """What we use of the package's class `Server`. Deleting the last reference stops it."""

    listening_address: str

    @abstractmethod
    def handle_metrics(self) -> str:
        """Return the server's numbers in Prometheus' text format."""


class LlamaEngine(Engine):
    """Owns one server of the package.

    Args:
        server: Nobody else may hold it.
        key: The key it was started with.
        patience_s: Seconds at most that stopping waits.
    """

    def __init__(self, server: _Server, key: Secret, patience_s: float = IDLE_S) -> None:
        """Take over a running server."""
        self._rounds = int(patience_s / _POLL_S)
        self.base_url = f"{server.listening_address}/v1"
        self.key = key
        self._server: _Server | None = server
        _engines.add(self)

    @override
    def stop(self) -> None:
        waiting = threading.Event()
        for _ in range(self._rounds):
            # A little first: whoever was the last to go closes its connection in the next round of its loop.
            waiting.wait(_POLL_S)
            if self._idle():
                self._server = None
                return
        self.abandon()

    @override
    def abandon(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            import ctypes

            # One reference that nothing ever gives back, not even the interpreter's end.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(server))

    def _idle(self) -> bool:
        return self._server is None or _BUSY.search(self._server.handle_metrics()) is None


_engines: weakref.WeakSet[LlamaEngine] = weakref.WeakSet()


def start_engine(settings: LocalSettings) -> Engine:
    """Load a model and serve it on a free port of the loopback, with a random key. Blocks until it is ready.

    Raises:
        LoadError: The package is missing, or llama.cpp refuses the file or the settings.
    """
    # Here, so that a container without a local model does not pay for them; `abandon` may come too late to import.
    importlib.import_module("ctypes")
    import secrets

    key = secrets.token_urlsafe(32)
    read_ahead(settings.model_path)
    try:
        library = importlib.import_module(PACKAGE)
    except ImportError:
        raise LoadError(f"the package {PACKAGE} cannot be imported") from None
    params = library.CommonParams()
    params.model.path = settings.model_path
    # What answers call the model; otherwise it would be the whole path.
    params.model_alias = {Path(settings.model_path).stem}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.n_ctx = settings.context * settings.parallel
    params.n_parallel = settings.parallel
    params.n_gpu_layers = settings.gpu_layers
    params.cpuparams.n_threads = settings.threads or max(1, (os.cpu_count() or 1) // 2)
    params.use_jinja = True
    # Its log goes to the host's streams otherwise.
    params.verbosity = 0
    params.endpoint_metrics = params.endpoint_slots = True
    params.ui = params.warmup = False
    if settings.serves != "chat":
        params.embedding = True
        # A text that is embedded is computed in one piece.
        params.n_batch = params.n_ubatch = settings.context
    if settings.serves == "ranks":
        params.pooling_type = library.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    try:
        server: _Server = library.Server(params)
    except RuntimeError:
        raise LoadError("llama.cpp cannot load the model file; is it whole, and is there memory for it?") from None
    return LlamaEngine(server, Secret(key))


def read_ahead(path: str) -> None:
    """Read a file once and keep nothing, so that mapping it waits for no disk while the interpreter lock is held."""
    with suppress(OSError), open(path, "rb", buffering=0) as file:  # noqa: PTH123  # as a plain path
        piece = bytearray(_PIECE)
        while file.readinto(piece):
            pass


@atexit.register
def _abandon_all() -> None:
    for engine in tuple(_engines):
        engine.abandon()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_abandon_all)
