"""Looks at a wiring before anything is built: what is missing, what has the wrong type, what goes in a circle.

dependency-injector's own `check_dependencies()` sees undefined dependencies only. This reports every problem at once,
each with the path that leads to it.
"""

from __future__ import annotations

import difflib
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from dependency_injector import containers, providers
from typing_extensions import get_protocol_members, is_protocol

from loomwire.domain.errors import WiringError

# By class and not by attribute: a Configuration provider has every attribute there is.
_CALLING = (providers.BaseSingleton, providers.Factory, providers.Callable, providers.Resource)


class WiringGraph:
    """The parts of a container and who needs whom, overrides included.

    Args:
        wiring: The container; nothing in it is built.
        needs: What whoever uses the container takes from it, by name.
    """

    def __init__(self, wiring: containers.Container, needs: Mapping[str, type]) -> None:
        """Read the container's providers as they stand now."""
        self._wanted = needs
        self._names: dict[int, str] = {}
        self._parts: dict[str, providers.Provider[Any]] = {}
        for name, provider in wiring.providers.items():
            self._parts[name] = _effective(provider)
            self._names[id(provider)] = self._names[id(_effective(provider))] = name

    def problems(self) -> Iterator[str]:
        """Deliver every problem as one line: code, path, what."""
        for name, part in self._parts.items():
            yield from self._unsupplied(name, part)
            yield from self._missing(name, part)
            yield from self._misnamed(name, part)
            yield from self._misfits(name, part)
        yield from self._taken()
        yield from self._cycles()

    def edges(self) -> Iterator[tuple[str, str]]:
        """Deliver (who, needs whom) for every need of a named part."""
        for name, part in self._parts.items():
            for needed in _needs(part).values():
                yield name, self._name(needed)

    def mermaid(self) -> str:
        """Return the graph as a Mermaid flow chart."""
        lines = ["flowchart LR", *(f"    {name}" for name in self._parts)]
        return "\n".join([*lines, *(f"    {who} --> {whom}" for who, whom in self.edges())])

    def _name(self, provider: providers.Provider[Any]) -> str:
        return self._names.get(id(provider)) or self._names.get(id(_effective(provider)), "(unnamed)")

    def _unsupplied(self, name: str, part: providers.Provider[Any]) -> Iterator[str]:
        if isinstance(part, providers.Dependency) and not part.is_defined:
            users = [who for who, whom in self.edges() if whom == name]
            yield f"WIR001 {' <- '.join([name, *users])}: is not supplied"

    def _missing(self, name: str, part: providers.Provider[Any]) -> Iterator[str]:
        made_by = _made_by(part)
        if made_by is None or _positional(part):
            return
        for parameter in _parameters(made_by).values():
            if _is_required(parameter) and parameter.name not in _arguments(part):
                yield f"WIR001 {name} -> {parameter.name}: nothing is supplied for this argument"

    def _misnamed(self, name: str, part: providers.Provider[Any]) -> Iterator[str]:
        made_by = _made_by(part)
        takes = {} if made_by is None else _parameters(made_by)
        if not takes or any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values()):
            return
        for argument in sorted(_arguments(part).keys() - takes.keys()):
            yield f"WIR002 {name} -> {argument}: {getattr(made_by, '__name__', made_by)} takes no such argument"

    def _misfits(self, name: str, part: providers.Provider[Any]) -> Iterator[str]:
        made_by = _made_by(part)
        hints = {} if made_by is None else _hints(made_by)
        for argument, supplier in _arguments(part).items():
            supplied, path = self._supplied(supplier, argument)
            allowed = _allowed(hints.get(argument))
            if supplied is not None and allowed and not any(fits(supplied, port) for port in allowed):
                yield f"WIR002 {name} -> {path}: needs {_either(allowed)}, gets {supplied.__name__}"

    def _supplied(self, supplier: object, argument: str) -> tuple[type | None, str]:
        if isinstance(supplier, providers.Provider):
            return _supplies(_effective(supplier)), self._name(supplier)
        return type(supplier), argument

    def _taken(self) -> Iterator[str]:
        used = {whom for _, whom in self.edges()}
        for name, port in self._wanted.items():
            part = self._parts.get(name)
            supplied = None if part is None else _supplies(part)
            if part is None:
                yield f"WIR001 container -> {name}: there is no such part"
            elif supplied is not None and name not in used and not fits(supplied, port):
                yield f"WIR002 container -> {name}: needs {port.__name__}, gets {supplied.__name__}"

    def _cycles(self) -> Iterator[str]:
        needs: dict[str, list[str]] = {}
        for who, whom in self.edges():
            needs.setdefault(who, []).append(whom)
        done: set[str] = set()

        def walk(name: str, path: tuple[str, ...]) -> Iterator[str]:
            if name in path:
                yield f"WIR003 {' -> '.join([*path[path.index(name) :], name])}: a circle"
            elif name not in done:
                for needed in needs.get(name, ()):
                    yield from walk(needed, (*path, name))
                done.add(name)

        for name in needs:
            yield from walk(name, ())


def check(wiring: containers.Container, needs: Mapping[str, type], misnamed: Iterable[str] = ()) -> None:
    """Raise one `WiringError` with every problem of a container; build nothing.

    Args:
        wiring: The container.
        needs: What whoever uses the container takes from it, by name.
        misnamed: Names of overrides that no part has.
    """
    parts = list(wiring.providers)
    unknown = [f"WIR001 overrides -> {name}: there is no such part{_near(name, parts)}" for name in misnamed]
    problems = list(dict.fromkeys([*unknown, *WiringGraph(wiring, needs).problems()]))
    if problems:
        hint = f"Parts that can be overridden: {', '.join(parts)}." if unknown else None
        raise WiringError(f"the container cannot be built: {'; '.join(problems)}", problems=problems, hint=hint)


def fits(supplied: type, port: type) -> bool:
    """Whether a class can serve as a port: by inheritance, or for a Protocol by having its members."""
    if not is_protocol(port):
        return issubclass(supplied, port)
    return port in supplied.__mro__ or all(hasattr(supplied, member) for member in get_protocol_members(port))


def _effective(provider: providers.Provider[Any]) -> providers.Provider[Any]:
    while provider.last_overriding is not None:
        provider = provider.last_overriding
    return provider


def _arguments(part: providers.Provider[Any]) -> Mapping[str, object]:
    return dict(part.kwargs) if isinstance(part, _CALLING) else {}


def _positional(part: providers.Provider[Any]) -> bool:
    # Positional arguments of a host's own provider are its business: their names are not known.
    return isinstance(part, _CALLING) and bool(part.args)


def _made_by(part: providers.Provider[Any]) -> Callable[..., Any] | None:
    return part.provides if isinstance(part, _CALLING) else None


def _needs(part: providers.Provider[Any]) -> dict[str, providers.Provider[Any]]:
    given = dict(enumerate(part.args if isinstance(part, _CALLING) else ())) | dict(_arguments(part))
    found = {str(key): value for key, value in given.items() if isinstance(value, providers.Provider)}
    return {key: value() if isinstance(value, providers.Delegate) else value for key, value in found.items()}


def _parameters(made_by: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(made_by).parameters
    except ValueError:  # some builtins do not tell
        return {}


def _is_required(parameter: inspect.Parameter) -> bool:
    open_ended = (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and parameter.kind not in open_ended


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _hints(made_by: Callable[..., Any]) -> Mapping[str, object]:
    try:
        return get_type_hints(getattr(made_by, "__init__") if isinstance(made_by, type) else made_by)  # noqa: B009
    except NameError:  # a host's own annotations may exist for type checkers only
        return {}


def _allowed(hint: object) -> tuple[type, ...]:
    """Return the classes that an annotation allows; none when it cannot be told."""
    if get_origin(hint) in (Union, UnionType):
        options = [_allowed(option) for option in get_args(hint)]
        return tuple(itertools.chain.from_iterable(options)) if all(options) else ()
    plain = get_origin(hint) or hint
    return (plain,) if isinstance(plain, type) else ()


def _supplies(part: providers.Provider[Any]) -> type | None:
    if isinstance(part, providers.Object):
        return type(part.provides)
    made_by = _made_by(part)
    if isinstance(made_by, type):
        return made_by
    made = _allowed(_hints(made_by).get("return")) if made_by is not None else ()
    return made[0] if len(made) == 1 and made[0] is not object else None


def _either(ports: Iterable[type]) -> str:
    return " or ".join(port.__name__ for port in ports)
