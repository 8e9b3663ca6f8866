"""ProviderManager: the one owner of provider types and dialects, ours and those of other packages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Final, Generic, TypeAlias, TypeVar, final

from typing_extensions import override

from loomwire.domain.errors import ConfigError
from loomwire.infrastructure.providers.operating.operations import ProviderOperations
from loomwire.infrastructure.providers.rows.kinds import DialectType, ProviderType
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS

R = TypeVar("R")

GROUP: Final = "loomwire.providers"
"""The group of entry points in which other packages offer provider types."""

OURS: Final = "loomwire"
IN_CODE: Final = "this program"
"""Whose a type is that was registered without naming a package."""

Finder: TypeAlias = Callable[[], Sequence[EntryPoint]]


def installed() -> Sequence[EntryPoint]:
    """Return the entry points of all installed packages; reads files, imports none of them."""
    return tuple(entry_points(group=GROUP))


class Rows(Mapping[str, R], Generic[R]):
    """A live view of one table: what is added later is in it.

    Asking for a name that nobody knows looks at the installed packages; a package is imported when its own name is
    asked for, and no other one. Names of packages that were not imported yet are in it too, so going through `values`
    or `items` imports them all.
    """

    def __init__(self, find: Callable[[str], R], names: Callable[[], Sequence[str]], of: Callable[[str], str]) -> None:
        """View what these give."""
        self._find = find
        self._names = names
        self._of = of

    @override
    def __getitem__(self, name: str) -> R:
        return self._find(name)

    @override
    def __contains__(self, name: object) -> bool:
        try:
            return isinstance(name, str) and self._find(name) is not None
        except KeyError:
            return False
        except ConfigError:
            return True  # it is there, and broken: whoever takes it is told why

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    @override
    def __len__(self) -> int:
        return len(self._names())

    def described(self) -> str:
        """Return all names for a hint, those of other packages with the package."""
        whose = ((name, self._of(name)) for name in self._names())
        return ", ".join(name if owner == OURS else f"{name} (of {owner})" for name, owner in whose)


@final
class ProviderManager(ProviderOperations):
    """Knows every provider type and dialect, and works on the providers of an open container. Safe for threads.

    Ours are always there and cannot be replaced. Others come in two ways:

    - A program registers a row with `register_provider`: before opening, on a manager of its own, handed over as
      `LLMContainer.open(..., overrides={"provider_manager": manager})`; or later, on what
      `container.resolve(ProviderManager)` gives: the next reload, and every client built from then on, sees it.
    - A package declares an entry point of the group `loomwire.providers`, whose name is the type's (or the dialect's)
      and whose object is a `ProviderType` or a `Registration`. Nothing else is needed. It is imported when a
      configuration names it, never because it is installed. Other processes and the commands see it too, which is not
      so for what a program registered.

    Args:
        finder: Gives the entry points of installed packages.

    Attributes:
        providers: Every provider type by name.
        dialects: Every dialect by name.
    """

    def __init__(self, finder: Finder = installed) -> None:
        """Know ours; look at no package yet."""
        super().__init__()
        self._finder = finder
        self._lock = threading.RLock()
        self._rows: dict[str, ProviderType] = {}
        self._dialects: dict[str, DialectType] = {}
        self._owners: dict[str, str] = {}
        self._broken: dict[str, ConfigError] = {}
        self._offered: dict[str, tuple[EntryPoint, ...]] | None = None
        self.providers: Rows[ProviderType] = Rows(self._provider, self._type_names, self.package_of)
        self.dialects: Rows[DialectType] = Rows(self._dialect, self._dialect_names, self._brought_by)

    def register_provider(
        self, row: ProviderType, dialects: Mapping[str, DialectType] | None = None, *, package: str = IN_CODE
    ) -> None:
        """Add a provider type, and the dialects that it brings along. Adding the very same again changes nothing.

        Nothing of it is imported before a client is built; reload a container to use it in its configuration.

        Args:
            row: The type.
            dialects: Dialects that are not known yet, by name.
            package: Whose it is, for errors and lists.

        Raises:
            ConfigError: The row cannot work (out_of_range), or a name is taken (defined_twice); the message says by
                whom. Nothing was added.
        """
        # Imported by the first that brings something of its own: few do.
        from loomwire.infrastructure.providers.registering import Registration, check_registration

        given = Registration(row, dialects or {})
        with self._lock:
            check_registration(given, {**self._dialects, **DIALECTS}, package)
            self._refuse_taken(row.name, package, row, {**self._rows, **PROVIDERS})
            for name, dialect in given.dialects.items():
                self._refuse_taken(name, package, dialect, {**self._dialects, **DIALECTS}, "dialect:")
            self._rows[row.name] = row
            self._owners.setdefault(row.name, package)
            for name, dialect in given.dialects.items():
                self._dialects[name] = dialect
                self._owners.setdefault(f"dialect:{name}", package)

    def package_of(self, name: str) -> str:
        """Return whose a provider type is: `loomwire`, a package with its version, or `this program`."""
        if name in PROVIDERS:
            return OURS
        owner = self._owners.get(name)
        if owner is not None:
            return owner
        return " and ".join(map(_package, self._offers().get(name, ()))) or IN_CODE

    def packages(self) -> Mapping[str, str]:
        """Return the provider types that are not ours, with their packages; imports none of them."""
        return {name: self.package_of(name) for name in self._type_names() if name not in PROVIDERS}

    def ignored(self) -> Mapping[str, str]:
        """Return the names of ours that packages offer too, with the packages; ours win, theirs are never imported."""
        offers = self._offers().items()
        return {name: " and ".join(map(_package, points)) for name, points in offers if name in PROVIDERS}

    def _provider(self, name: str) -> ProviderType:
        row = PROVIDERS.get(name) or self._rows.get(name)
        if row is None:
            self._load(name)
            row = self._rows[name]
        return row

    def _dialect(self, name: str) -> DialectType:
        row = DIALECTS.get(name) or self._dialects.get(name)
        if row is None:
            self._load(name)
            row = self._dialects[name]
        return row

    def _load(self, name: str) -> None:
        """Import the one package that offers a name and add what it brings; do nothing when none does.

        Raises:
            ConfigError: It cannot be imported or used, or two packages offer the name.
        """
        if name in PROVIDERS or name in self._rows:
            return
        if self._offered is None or name not in self._offered:
            self._offered = self._scanned()
        points = self._offered.get(name, ())
        if not points:
            return
        known = self._broken.get(name)
        if known is None:
            try:
                self._take(name, points)
            except ConfigError as error:
                self._broken[name] = known = error
        if known is not None:
            raise unfit_again(known)

    def _take(self, name: str, points: Sequence[EntryPoint]) -> None:
        from loomwire.infrastructure.providers.registering import Registration, unfit

        who = " and ".join(map(_package, points))
        if len(points) > 1:
            raise unfit(name, who, "both offer a type of this name", "defined_twice")
        try:
            # Outside the lock: a module may take its time, and the locks of other imports.
            found: object = points[0].load()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # somebody else's module, which may raise anything
            raise unfit(name, who, f"importing it raised {type(error).__name__}") from None
        if isinstance(found, ProviderType):
            found = Registration(found)
        if not isinstance(found, Registration):
            raise unfit(name, who, f"its entry point is a {type(found).__name__}, not a ProviderType or Registration")
        try:
            if name != found.provider.name and name not in found.dialects:
                raise unfit(name, who, f"its entry point brings the type {found.provider.name[:64]!r}")
            self.register_provider(found.provider, found.dialects, package=who)
        except (AttributeError, TypeError, ValueError) as error:
            # Nobody checked the types of its fields.
            problem = f"its row is not what a row must be: reading it raised {type(error).__name__}"
            raise unfit(name, who, problem) from None

    def _refuse_taken(self, name: str, package: str, new: object, taken: Mapping[str, object], kind: str = "") -> None:
        if name in taken and taken[name] != new:
            from loomwire.infrastructure.providers.registering import unfit

            owner = self._owners.get(kind + name, OURS)
            what = "dialect" if kind else "type"
            raise unfit(name, package, f"the {what} {name!r} is there already, of {owner}", "defined_twice")

    def _offers(self) -> Mapping[str, tuple[EntryPoint, ...]]:
        if self._offered is None:
            self._offered = self._scanned()
        return self._offered

    def _scanned(self) -> dict[str, tuple[EntryPoint, ...]]:
        offered: dict[str, tuple[EntryPoint, ...]] = {}
        for point in sorted(self._finder(), key=lambda point: (point.name, _package(point))):
            offered[point.name] = (*offered.get(point.name, ()), point)
        return offered

    def _type_names(self) -> Sequence[str]:
        return list(dict.fromkeys((*PROVIDERS, *self._rows, *self._offers())))

    def _dialect_names(self) -> Sequence[str]:
        return [*DIALECTS, *self._dialects]

    def _brought_by(self, name: str) -> str:
        return OURS if name in DIALECTS else self._owners.get(f"dialect:{name}", IN_CODE)


def unfit_again(error: ConfigError) -> ConfigError:
    """Return the same error without the traceback of the first time."""
    return ConfigError(error.message, reason=error.reason, hint=error.hint, metadata=error.metadata)


def _package(point: EntryPoint) -> str:
    package = point.dist
    return "an unnamed package" if package is None else f"{package.name} {package.version}"
