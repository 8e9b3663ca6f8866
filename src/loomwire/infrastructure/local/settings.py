"""What a model file is served with, and what can be said against it before anything is started."""

from __future__ import annotations

import importlib.util
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError
from loomwire.domain.values import JSON
from loomwire.infrastructure.local.refusals import refused

PACKAGE: Final = "xllamacpp"
INSTALL: Final = 'pip install "loomwire[llama]"'
LOCAL_OPTIONS: Final = ("model_path", "context", "parallel", "threads", "gpu_layers")
_MAGIC = b"GGUF"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """One model file and how it is served. Equal settings share one server in a process.

    Attributes:
        model_path: The GGUF file, absolute.
        context: Tokens of one conversation, answer included; each of the `parallel` calls has that many.
        parallel: Calls at once, 256 at most; further ones wait in the server.
        threads: For computing, 512 at most; 0 takes half of the processors, at least one.
        gpu_layers: Layers that a graphics card computes; 0 takes none.
        serves: What the server is for; a server for vectors or ranks is one of its own.
    """

    model_path: str
    context: int = 4096
    parallel: int = 4
    threads: int = 0
    gpu_layers: int = 0
    serves: Literal["chat", "vectors", "ranks"] = "chat"


_INT32: Final = 2**31 - 1
# llama.cpp ends the process when it cannot start as many threads as it was told to.
_BOUNDS: Final[Mapping[str, tuple[int, int]]] = {
    "context": (16, _INT32),
    "parallel": (1, 256),
    "threads": (0, 512),
    "gpu_layers": (0, _INT32),
}


def local_settings(config: LLMConfig) -> LocalSettings:
    """Return how a target of type `local` is served; touches no file.

    Raises:
        ConfigError: `model_path` is missing, or an option has no sensible value; `metadata` names the key.
    """
    path = config.options.get("model_path")
    if not isinstance(path, str) or not path:
        says = f"type {config.type} needs a model_path"
        raise refused(config, says, "Name a GGUF file.", needs=("model_path",))
    numbers = {name: _number(config, name) for name in _BOUNDS if name in config.options}
    unsaid = LocalSettings(model_path=str(Path(path).absolute()))
    settings = replace(
        unsaid,
        context=numbers.get("context", unsaid.context),
        parallel=numbers.get("parallel", unsaid.parallel),
        threads=numbers.get("threads", unsaid.threads),
        gpu_layers=numbers.get("gpu_layers", unsaid.gpu_layers),
    )
    if settings.context * settings.parallel > _INT32:
        says = f"`context` of {settings.context} tokens is too large for {settings.parallel} calls at once"
        raise refused(config, says, "Lower `context` or `parallel`; their product is what is kept.", key=("context",))
    return settings


def local_problems(config: LLMConfig, package: str = PACKAGE) -> Iterator[ConfigError]:
    """Yield everything that keeps a target of type `local` from being served; reads the file's first four bytes.

    Args:
        config: The target.
        package: What has to be installed.
    """
    if importlib.util.find_spec(package) is None:
        says = f"type {config.type} needs the package {package}, which is not installed"
        yield refused(config, says, INSTALL, key=("type",))
    if config.base_url is not None:
        says = f"type {config.type} serves the model itself and takes no base_url"
        yield refused(config, says, "Remove it; for a server of your own use type llamacpp.", key=("base_url",))
    try:
        path = local_settings(config).model_path
    except ConfigError as error:
        yield error
        return
    if complaint := file_complaint(path):
        hint = "Name a GGUF file; a relative path counts from the configuration's folder."
        yield refused(config, complaint, hint, key=("model_path",))


def file_complaint(path: str) -> str | None:
    """Return what is wrong with a model file as far as its first bytes tell, or None. Blocks on the file."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            magic = file.read(len(_MAGIC)) if regular else b""
    except FileNotFoundError:
        return "there is no such model file"
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        return f"the model file cannot be read ({why or 'not a path'})"
    return None if magic == _MAGIC else "the model file is not GGUF"


def _without_waiting(path: str, flags: int) -> int:
    # A named pipe would wait for somebody to write.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _number(config: LLMConfig, name: str) -> int:
    least, most = _BOUNDS[name]
    value: JSON = config.options[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        says = f"`{name}` must be a whole number, {least} " + ("or more" if most == _INT32 else f"to {most}")
        raise refused(config, says, "Correct or remove it.", key=(name,))
    return value
