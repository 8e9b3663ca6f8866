"""Loads a configuration: a folder of YAML files becomes one immutable snapshot, or every problem with it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final, final

from pydantic import ValidationError

from loomwire.domain.config import LLMConfig, Snapshot
from loomwire.domain.errors import ConfigError, ConfigRejectedError
from loomwire.domain.ports.config import ConfigReading
from loomwire.domain.reports.problems import Problem
from loomwire.infrastructure.configuration.checks.caches import cache_problems
from loomwire.infrastructure.configuration.checks.catalogues import CatalogueCheck, catalogue_problems
from loomwire.infrastructure.configuration.checks.complaints import (
    problems_of,
    reserved_problems,
    said_once,
)
from loomwire.infrastructure.configuration.checks.controls import control_problems
from loomwire.infrastructure.configuration.checks.references import reference_problems
from loomwire.infrastructure.configuration.checks.replays import replay_problems
from loomwire.infrastructure.configuration.checks.seal import is_sealed_file, seal_problems
from loomwire.infrastructure.configuration.checks.sharing import sharing_problems
from loomwire.infrastructure.configuration.checks.targets import TargetCheck, TargetReader
from loomwire.infrastructure.configuration.documents import MAX_BYTES
from loomwire.infrastructure.configuration.environment import Overrides, find_overrides, overlay, read_dotenv
from loomwire.infrastructure.configuration.files import (
    CONFIG_SUFFIXES,
    NO_FILE,
    UnreadableError,
    absolute,
    read_regular,
)
from loomwire.infrastructure.configuration.injection import Injector
from loomwire.infrastructure.configuration.options import OPTIONS, OptionCheck, OptionReader
from loomwire.infrastructure.configuration.reading.keeping import CacheReader, memory_policy
from loomwire.infrastructure.configuration.reading.memory import Memory
from loomwire.infrastructure.configuration.reading.tuning import health_policy
from loomwire.infrastructure.configuration.reading.words import Words
from loomwire.infrastructure.configuration.scalars import Plain
from loomwire.infrastructure.configuration.schema.control import control_socket
from loomwire.infrastructure.configuration.schema.secrecy import without_controls
from loomwire.infrastructure.configuration.schema.settings import Settings
from loomwire.infrastructure.configuration.snapshot import detection_policy, resolved_clients, resolved_models
from loomwire.infrastructure.configuration.tree import ConfigTree

MAX_PROBLEMS: Final = 500
"""Of one kind in one error."""


@final
class ConfigLoader:
    """Reads configurations. It keeps nothing between loads and may be used from any thread; a load blocks on files.

    Args:
        known_types: What `type` of a provider may be.
        known_dialects: What `dialect` of a provider may be.
        option_checks: By option (`rules`, `script`), what is wrong with a value: pairs of the way into it and a
            sentence. The value is frozen: mappings are `FrozenDict`, lists are tuples.
        environ: The process environment; read again at every load.
        target_check: What keeps a provider or model from being asked, such as a missing key; None looks at none.
        catalogue_check: What is wrong with a folder that `catalogue.path` names; None takes any.

    Raises:
        ValueError: A check for an option that does not exist.
    """

    def __init__(
        self,
        known_types: Collection[str],
        known_dialects: Collection[str],
        option_checks: Mapping[str, OptionCheck],
        environ: Mapping[str, str],
        target_check: TargetCheck | None = None,
        catalogue_check: CatalogueCheck | None = None,
    ) -> None:
        """Read nothing yet."""
        if unknown := option_checks.keys() - OPTIONS.keys():
            raise ValueError(f"option_checks knows {', '.join(OPTIONS)}, not {', '.join(sorted(unknown))}")
        self._known_types = known_types
        self._known_dialects = known_dialects
        self._option_checks = option_checks
        self._environ = environ
        self._target_check = target_check or _nothing
        self._catalogue_check = catalogue_check or _fine

    def load(self, root: Path) -> Snapshot:
        """Return what a folder, or a single file, says.

        Every `*.yaml` and `*.yml` directly in the folder is read and merged in name order; hidden files are not.

        Args:
            root: The folder; problems name files below it as it is written here.

        Returns:
            The snapshot; what is odd but not wrong is in its `warnings`.

        Raises:
            ConfigRejectedError: With every problem, in the order of files and lines.
        """
        reading = self.read(root)
        if reading.snapshot is None:
            # Raised from here, so that no frame of its traceback has a value of the configuration among its locals.
            raise rejected(root, reading.problems)
        return reading.snapshot

    def read(self, root: Path, memory: Memory | None = None, before: Snapshot | None = None) -> ConfigReading:
        """Return what a folder, or a single file, says; also when it is not valid.

        Args:
            root: As for `load`.
            memory: Of the reading before, which spares parsing what is the same; for one reading at a time.
            before: What is in force; models and clients that are the same are its very objects.
        """
        memory = memory or Memory()
        memory.begin(before)
        problems: list[Problem] = []
        words = self._gathered(root, memory, problems)
        settings = self._judged(words, problems) if words.documents else None
        problems += _first(replay_problems(words.tree, words.values, words.folder, memory.complaint))
        problems += catalogue_problems(words.tree, words.values, words.folder, self._catalogue_check)
        problems += control_problems(words.tree, words.values, words.folder)
        problems += _first(cache_problems(words.tree, words.values, words.folder))
        known = {problem.path for problem in problems if problem.severity == "error"}
        targets = TargetReader(words.tree, self._target_check, known)
        problems += _first(targets.problems(settings, words.values, words.options.values))
        found = tuple(sorted(map(without_controls, problems), key=_order))
        digest = words.digest(memory)
        watched = tuple(sorted({absolute(path) for path in (root, *words.files(memory))}))
        if settings is None or any(problem.severity == "error" for problem in found):
            # What keeps a file from being read is no content, and is news all the same.
            return ConfigReading(_with_problems(digest, found), None, found, watched)
        snapshot = _snapshot(settings, words, memory)
        shared = map(without_controls, sharing_problems(words.tree, words.values, snapshot.clients))
        found = tuple(sorted([*found, *_first(shared)], key=_order))
        snapshot = replace(snapshot, digest=digest, warnings=found)
        memory.keep()
        return ConfigReading(digest, snapshot, found, watched)

    def _gathered(self, root: Path, memory: Memory, problems: list[Problem]) -> Words:
        documents = [memory.document(name, data) for name, data in _files(root, problems)]
        folder = root.parent if _is_file(root) else root
        dotenv = read_dotenv(folder)
        environ = _copied(self._environ)
        injector = Injector(environ, dotenv, folder)
        tree = ConfigTree(documents, injector)
        overrides = find_overrides((environ, dotenv), tree.values, injector)
        tree.origins = overrides.origins
        values = _merged(tree, overrides)
        reader = OptionReader(tree, folder, injector, self._option_checks, memory.document)
        options = reader.read(values.get("providers"))
        cut = seal_problems([*documents, *options.documents])
        problems += [*_first(tree.problems), *cut, *_first(options.problems)]
        return Words(folder, documents, injector, tree, overrides, values, options)

    def _judged(self, words: Words, problems: list[Problem]) -> Settings | None:
        """Return the settings, or None when they are not valid; everything wrong with them is added."""
        tree, overrides, values = words.tree, words.overrides, words.values
        if not tree.is_broken:
            problems += overrides.problems
        reserved = list(_first(reserved_problems(tree, values)))
        problems += _first(reference_problems(tree, values, self._known_types, self._known_dialects))
        try:
            settings = Settings.read([*overrides.layers, tree.values])
        except ValidationError as error:
            problems += said_once(reserved, list(_first(problems_of(error, tree, values))))
            return None
        problems += reserved
        return settings


def _files(root: Path, problems: list[Problem]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file; what cannot be read is a problem."""
    try:
        found = sorted(path for path in root.iterdir() if _is_config(path)) if root.is_dir() else [root]
    except OSError:
        hint = "Check its mode, and those of the folders above it."
        problems.append(Problem("not_yaml", "the folder cannot be read", file=str(root), hint=hint))
        return
    if not found:
        hint = "Write one, for example config/loomwire.yaml."
        problems.append(Problem("unknown_name", "there is no *.yaml or *.yml file in it", file=str(root), hint=hint))
    for path in found:
        try:
            yield str(path), read_regular(path, MAX_BYTES)
        except UnreadableError as error:
            if os.path.lexists(path):
                problems.append(Problem("not_yaml", f"the file cannot be read ({error})", file=str(path), hint=NO_FILE))
            else:
                hint = "Give the folder with your YAML files."
                problems.append(Problem("unknown_name", "there is no such folder or file", file=str(path), hint=hint))


def _is_config(path: Path) -> bool:
    # Editors and Kubernetes keep hidden files beside the real ones.
    return path.suffix.lower() in CONFIG_SUFFIXES and not path.name.startswith(".")


def _first(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yield what somebody can read: a file of 100,000 unknown keys would take minutes to explain."""
    rest = iter(problems)
    yield from islice(rest, MAX_PROBLEMS)
    if next(rest, None) is not None:
        yield Problem("rejected", f"there are more than {MAX_PROBLEMS} problems of one kind; these are the first")


def _merged(tree: ConfigTree, overrides: Overrides) -> Mapping[str, Plain]:
    values: Plain = tree.values
    for layer in reversed(overrides.layers):
        values = overlay(values, layer)
    return values if isinstance(values, Mapping) else tree.values


def _nothing(_: LLMConfig) -> Iterator[ConfigError]:
    return iter(())


def _fine(_: Path) -> None:
    return None


def _order(problem: Problem) -> tuple[bool, str, int, int]:
    return problem.file is None, problem.file or problem.message, problem.line, problem.column


def rejected(root: Path, problems: Sequence[Problem]) -> ConfigRejectedError:
    """Return the error for a configuration that is not in force; not raised."""
    return ConfigRejectedError(_summary(root, problems), problems=problems)


def _summary(root: Path, problems: Sequence[Problem]) -> str:
    first = next((problem for problem in problems if problem.severity == "error"), problems[0])
    where = f" in {first.path}" if first.path else ""
    rest = f" (the first of {len(problems)} problems)" if len(problems) > 1 else ""
    return f"configuration {root} is not in force: {first.place}: {first.message}{where}{rest}"


def _snapshot(settings: Settings, words: Words, memory: Memory) -> Snapshot:
    models = resolved_models(settings, words.options.values, words.values, memory, words.folder)
    return Snapshot(
        digest="",
        clients=resolved_clients(settings, models, words.folder, words.values, memory),
        models=models,
        files=tuple(document.name for document in words.read),
        contents=tuple(document.digest for document in words.read),
        sealed=all(map(is_sealed_file, words.documents)),
        allow_shrink=settings.defaults.reload.allow_shrink,
        detection=detection_policy(settings.catalogue, words.folder),
        health=health_policy(settings.defaults.health, settings.health),
        drain_s=settings.defaults.shutdown.drain,
        control_socket=control_socket(settings.control, words.folder),
        memory=memory_policy(settings.defaults.memory, settings.memory),
        cleanup_s=settings.cache.cleanup,
        cache=CacheReader(settings.defaults.cache, settings.cache, words.folder).usual,
    )


def _with_problems(digest: str, problems: Sequence[Problem]) -> str:
    whole = hashlib.blake2b(digest.encode(), digest_size=16)
    for problem in problems:
        whole.update(f"{problem.reason}:{problem.place}:{problem.message};".encode(errors="surrogatepass"))
    return whole.hexdigest()


def _copied(environ: Mapping[str, str]) -> Mapping[str, str]:
    # One state for the whole reading: other threads may set and remove variables meanwhile.
    return {name: value for name in tuple(environ) if (value := environ.get(name)) is not None}


def _is_file(path: Path) -> bool:
    with suppress(OSError):
        return path.is_file()
    return False
