"""Reads one YAML text into plain values, and beside them a tree that knows where every key and value stands.

PyYAML's event stream with our own builder, because none of its loaders says where a value stands, refuses a key that
stands twice, or keeps `no` a text. Scalars follow the YAML 1.2 core schema. Refused are tags, a second document,
nesting below 32 levels, and aliases that blow up. One pass, linear in the length of the text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn, Protocol, TypeAlias

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

from loomwire.domain.values import JSON
from loomwire.infrastructure.configuration.scalars import (
    TYPED_FIRST,
    CoreScalar,
    Flaw,
    KeyPath,
    PlainReference,
    Reference,
    core_scalar,
    end_of,
)

MAX_DEPTH: Final = 32
MAX_NODES: Final = 500_000
"""Values of one file, those behind an alias counted as often as they are used."""

Marks: TypeAlias = tuple[int, int, int, int, int, int]
"""Line and column, from 0, of a key, of its value, and of the value's end. In a list the key is the value."""


class Items:
    """A list.

    Attributes:
        plain: Its values.
        marks: Where each value stands.
        below: The collections among them, by place.
        dirty: A `Reference` is in it, at any depth.
        size: Values in it, aliases expanded, itself included.
        height: Levels below it.
    """

    __slots__ = ("below", "dirty", "height", "marks", "plain", "size")

    def __init__(self) -> None:
        """Begin an empty list."""
        self.plain: list[JSON] = []
        self.marks: list[Marks] = []
        self.below: dict[str | int, Branch] = {}
        self.dirty = False
        self.size = 1
        self.height = 0


class Table:
    """A mapping; its attributes are those of `Items`, by key."""

    __slots__ = ("below", "dirty", "height", "marks", "plain", "size")

    def __init__(self) -> None:
        """Begin an empty mapping."""
        self.plain: dict[str, JSON] = {}
        self.marks: dict[str, Marks] = {}
        self.below: dict[str | int, Branch] = {}
        self.dirty = False
        self.size = 1
        self.height = 0


Branch: TypeAlias = Items | Table
Value: TypeAlias = Items | Table | CoreScalar


class IEventSource(Protocol):
    """A YAML parser, as PyYAML has two."""

    def get_event(self) -> Event | None:
        """Return the next event, or None after the last."""


class _StopReadingError(Exception):
    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.message)
        self.flaw = flaw


def fastest_parser(text: str) -> IEventSource:
    """Return libyaml's parser, or PyYAML's own where it was built without."""
    if yaml.__with_libyaml__:
        return yaml.CSafeLoader(text)
    return yaml.SafeLoader(text)


def read_tree(text: str, parser: Callable[[str], IEventSource] = fastest_parser) -> tuple[Value, list[Flaw]]:
    """Return what stands in a text, and everything wrong with it.

    What is returned is never changed afterwards, so it may be kept and shared by threads. After a fatal flaw, always
    the last, it is None.
    """
    builder = _Builder()
    try:
        builder.read(parser(text))
    except _StopReadingError as stop:
        return None, [*builder.flaws, stop.flaw]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = (mark.line, mark.column) if mark else end_of(text)
        message = error.problem or "the text breaks off"
    except yaml.YAMLError:
        at, message = end_of(text), "the text is no YAML"
    else:
        return builder.root, builder.flaws
    return None, [*builder.flaws, Flaw("not_yaml", message[:200], *at, builder.path, fatal=True)]


class _Frame:
    """A collection that is being read, and the key whose value comes next."""

    __slots__ = ("anchor", "drops", "key", "key_mark", "merges", "merging", "node", "place", "table")

    def __init__(self, node: Branch, event: CollectionStartEvent | None) -> None:
        self.node = node
        self.table = node if isinstance(node, Table) else None
        self.place = _place(event)
        self.anchor = None if event is None else event.anchor
        self.key: str | None = None
        self.key_mark = None if event is None else event.start_mark
        self.drops = False
        self.merging = False
        self.merges: list[Table] | None = None

    def put(self, value: JSON, place: tuple[int, int], end: tuple[int, int]) -> str | int | None:
        """Store a collection as the next value and return its key, or None when it is not to be kept."""
        node = self.node
        if isinstance(node, Items):
            node.plain.append(value)
            node.marks.append((*place, *place, *end))
            return len(node.plain) - 1
        key, self.key = self.key, None
        if key is None or self.drops or self.key_mark is None:
            self.drops = self.merging = False
            return None
        node.plain[key] = value
        node.marks[key] = (self.key_mark.line, self.key_mark.column, *place, *end)
        return key


class _Builder:
    """Puts events together. At the bottom of its stack is a list, whose only value is the document."""

    def __init__(self) -> None:
        self.flaws: list[Flaw] = []
        self._documents = Items()
        self._stack: list[_Frame] = [_Frame(self._documents, None)]
        self._anchors: dict[str, Value] = {}
        self._merged = 0

    @property
    def root(self) -> Value:
        """The document, once everything is read."""
        plain = self._documents.plain[0] if self._documents.plain else None
        return self._documents.below.get(0, plain if isinstance(plain, str | int | float) else None)

    @property
    def path(self) -> KeyPath:
        """The keys and places down to the value that is being read."""
        steps = (frame.key if frame.table is not None else len(frame.node.plain) for frame in self._stack[1:])
        return tuple(step for step in steps if step is not None)

    def read(self, source: IEventSource) -> None:
        """Take every event of a source."""
        while (event := source.get_event()) is not None:
            if isinstance(event, ScalarEvent):
                self._scalar(event)
            elif isinstance(event, CollectionStartEvent):
                self._begin(event)
            elif isinstance(event, CollectionEndEvent):
                self._finish(event)
            elif isinstance(event, AliasEvent):
                self._alias(event)
            elif isinstance(event, DocumentStartEvent) and self._documents.plain:
                self._stop("not_yaml", "a second document begins; a file holds one", event)

    def _scalar(self, event: ScalarEvent) -> None:
        frame = self._stack[-1]
        table = frame.table
        if table is not None and frame.key is None:
            text = event.value
            if event.tag is not None or event.anchor is not None:
                self._decorated(event, text)
            if text in table.marks or text == "<<":
                self._special_key(event, frame, table)
            frame.key = text
            frame.key_mark = event.start_mark
            return
        value = self._typed(event)
        if event.tag is not None or event.anchor is not None:
            self._decorated(event, value)
        self._attach_scalar(value, event)

    def _special_key(self, event: ScalarEvent, frame: _Frame, table: Table) -> None:
        key = event.value
        merges = key == "<<" and not event.style
        if (frame.merges is not None) if merges else key in table.marks:
            first = "" if merges else f" (first in line {table.marks[key][0] + 1})"
            frame.key = key
            self._flaw("duplicate_key", f"`{key}` stands twice{first}", event)
            frame.drops = True
        elif merges:
            frame.merges = []
            frame.merging = frame.drops = True

    def _typed(self, event: ScalarEvent) -> CoreScalar:
        text = event.value
        if "${" in text:
            return Reference(text) if event.style else PlainReference(text)
        if event.style or (text and text[0] not in TYPED_FIRST):
            return text
        try:
            return core_scalar(text)
        except ValueError as error:
            self._flaw("out_of_range", str(error), event)
            return None

    def _decorated(self, event: ScalarEvent, value: CoreScalar) -> None:
        if event.tag is not None:
            self._flaw("tag_refused", "a YAML tag stands here", event)
        if event.anchor is not None:
            self._anchors[event.anchor] = value

    def _begin(self, event: CollectionStartEvent) -> None:
        self._refuse_as_key(event)
        if event.tag is not None:
            self._flaw("tag_refused", "a YAML tag stands here", event)
        if len(self._stack) > MAX_DEPTH:
            self._stop("config_too_large", f"more than {MAX_DEPTH} levels", event)
        if event.anchor is not None:
            self._anchors.pop(event.anchor, None)
        self._stack.append(_Frame(Table() if isinstance(event, MappingStartEvent) else Items(), event))

    def _finish(self, event: CollectionEndEvent) -> None:
        frame = self._stack.pop()
        if frame.merges and frame.table is not None:
            self._merge(frame.table, frame.merges, event)
        if frame.anchor is not None:
            self._anchors[frame.anchor] = frame.node
        self._attach_branch(frame.node, event, frame.place)

    def _alias(self, event: AliasEvent) -> None:
        self._refuse_as_key(event)
        name = event.anchor or ""
        if name not in self._anchors:
            if any(frame.anchor == name for frame in self._stack):
                self._stop("cycle", f"`*{name}` stands inside its own anchor", event)
            self._stop("not_yaml", f"no anchor `&{name}` stands before it", event)
        value = self._anchors[name]
        if not isinstance(value, Items | Table):
            self._attach_scalar(value, event)
            return
        if len(self._stack) + value.height > MAX_DEPTH:
            self._stop("config_too_large", f"more than {MAX_DEPTH} levels", event)
        self._attach_branch(value, event, _place(event))

    def _attach_scalar(self, value: CoreScalar, event: NodeEvent) -> None:
        frame = self._stack[-1]
        node = frame.node
        start, end, at = event.start_mark, event.end_mark, frame.key_mark
        if frame.drops:
            self._drop(frame, event)
        elif start is None or end is None:  # marks are optional in the types only
            return
        elif isinstance(node, Items):
            node.marks.append((start.line, start.column, start.line, start.column, end.line, end.column))
            node.plain.append(value)
        elif frame.key is not None and at is not None:
            node.marks[frame.key] = (at.line, at.column, start.line, start.column, end.line, end.column)
            node.plain[frame.key] = value
        frame.key = None
        node.dirty |= isinstance(value, Reference)
        node.size += 1
        if node.size > MAX_NODES:
            self._stop("config_too_large", f"more than {MAX_NODES:,} values", event)

    def _drop(self, frame: _Frame, event: NodeEvent) -> None:
        if frame.merging:
            self._flaw("wrong_type", "`<<` takes mappings only", event)
        frame.drops = frame.merging = False

    def _attach_branch(self, branch: Branch, event: Event, place: tuple[int, int]) -> None:
        frame = self._stack[-1]
        node = frame.node
        if frame.merges is not None and frame.merging:
            self._note_merge(frame.merges, branch, event)
        end = event.end_mark
        key = frame.put(branch.plain, place, (end.line, end.column) if end is not None else place)
        if key is not None:
            node.below[key] = branch
        node.size += branch.size
        node.height = max(node.height, branch.height + 1)
        node.dirty |= branch.dirty
        if node.size > MAX_NODES:
            self._stop("config_too_large", f"more than {MAX_NODES:,} values, aliases expanded", event)

    def _note_merge(self, merges: list[Table], source: Branch, event: Event) -> None:
        tables = [source] if isinstance(source, Table) else list(source.below.values())
        merges += [table for table in tables if isinstance(table, Table)]
        if isinstance(source, Items) and len(source.plain) > len(merges):
            self._flaw("wrong_type", "`<<` takes mappings only", event)

    def _merge(self, table: Table, sources: list[Table], event: Event) -> None:
        for source in sources:
            self._merged += len(source.plain)
            if self._merged > MAX_NODES:
                self._stop("config_too_large", f"`<<` brings more than {MAX_NODES:,} values", event)
            for key in [key for key in source.plain if key not in table.plain]:
                table.plain[key] = source.plain[key]
                table.marks[key] = source.marks[key]
                if key in source.below:
                    table.below[key] = source.below[key]

    def _refuse_as_key(self, event: NodeEvent) -> None:
        frame = self._stack[-1]
        if frame.table is not None and frame.key is None:
            self._stop("wrong_type", "a key must be a word; put it in quotes", event)

    def _flaw(self, reason: str, message: str, event: Event) -> None:
        self.flaws.append(Flaw(reason, message, *_place(event), self.path))

    def _stop(self, reason: str, message: str, event: Event) -> NoReturn:
        raise _StopReadingError(Flaw(reason, message, *_place(event), self.path, fatal=True))


def _place(event: Event | None) -> tuple[int, int]:
    mark = None if event is None else event.start_mark
    return (mark.line, mark.column) if mark is not None else (0, 0)
