"""Looks at a wiring before anything is built: what is missing, what has the wrong type, what goes in a circle.

dependency-injector's own `check_dependencies()` sees undefined dependencies only. This reports every problem at once,
each with the path that leads to it.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping

from dependency_injector import containers, providers
from typing_extensions import get_protocol_members, is_protocol

from loomwire.container.inspection.graph import WiringGraph
from loomwire.container.inspection.parts import Part
from loomwire.domain.errors import WiringError


def check(wiring: containers.Container, needs: Mapping[str, type], misnamed: Iterable[str] = ()) -> None:
    """Raise one `WiringError` with every problem of a container; build nothing.

    Args:
        wiring: The container.
        needs: What whoever uses the container takes from it, by name.
        misnamed: Names of overrides that no part has.
    """
    graph = WiringGraph(wiring)
    unknown = [_no_such_part(name, graph) for name in misnamed]
    problems = list(dict.fromkeys([*unknown, *_problems(graph, needs)]))
    if problems:
        hint = f"Parts that can be overridden: {', '.join(graph.parts)}." if unknown else None
        raise WiringError(f"the container cannot be built: {'; '.join(problems)}", problems=problems, hint=hint)


def fits(supplied: type, port: type) -> bool:
    """Whether a class can serve as a port: by inheritance, or for a Protocol by having its members."""
    if not is_protocol(port):
        return issubclass(supplied, port)
    return port in supplied.__mro__ or all(hasattr(supplied, member) for member in get_protocol_members(port))


def _problems(graph: WiringGraph, needs: Mapping[str, type]) -> Iterator[str]:
    for name, part in graph.parts.items():
        yield from _unsupplied(name, part, graph)
        yield from _missing(name, part)
        yield from _misnamed(name, part)
        yield from _misfits(name, part, graph)
    yield from _taken(graph, needs)
    yield from (f"WIR003 {' -> '.join(circle)}: a circle" for circle in graph.circles())


def _unsupplied(name: str, part: Part, graph: WiringGraph) -> Iterator[str]:
    if isinstance(part.provider, providers.Dependency) and not part.provider.is_defined:
        users = [who for who, whom in graph.edges() if whom == name]
        yield f"WIR001 {' <- '.join([name, *users])}: is not supplied"


def _missing(name: str, part: Part) -> Iterator[str]:
    if not part.positional:
        for argument in part.required:
            if argument not in part.arguments:
                yield f"WIR001 {name} -> {argument}: nothing is supplied for this argument"


def _misnamed(name: str, part: Part) -> Iterator[str]:
    takes = part.parameters
    if not takes or any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in takes.values()):
        return
    for argument in sorted(part.arguments.keys() - takes.keys()):
        yield f"WIR002 {name} -> {argument}: {getattr(part.made_by, '__name__', part.made_by)} takes no such argument"


def _misfits(name: str, part: Part, graph: WiringGraph) -> Iterator[str]:
    classes = part.classes
    for argument, supplier in part.arguments.items():
        if isinstance(supplier, providers.Provider):
            supplied, path = Part(supplier).supplies, graph.name(supplier)
        else:
            supplied, path = type(supplier), argument
        allowed = classes.get(argument, ())
        if supplied is not None and allowed and not any(fits(supplied, port) for port in allowed):
            wanted = " or ".join(port.__name__ for port in allowed)
            yield f"WIR002 {name} -> {path}: needs {wanted}, gets {supplied.__name__}"


def _taken(graph: WiringGraph, needs: Mapping[str, type]) -> Iterator[str]:
    used = {whom for _, whom in graph.edges()}
    for name, port in needs.items():
        part = graph.parts.get(name)
        supplied = None if part is None else part.supplies
        if part is None:
            yield f"WIR001 container -> {name}: there is no such part"
        elif supplied is not None and name not in used and not fits(supplied, port):
            yield f"WIR002 container -> {name}: needs {port.__name__}, gets {supplied.__name__}"


def _no_such_part(name: str, graph: WiringGraph) -> str:
    near = difflib.get_close_matches(name, graph.parts, n=1)
    return f"WIR001 overrides -> {name}: there is no such part{f'; did you mean {near[0]}?' if near else ''}"
