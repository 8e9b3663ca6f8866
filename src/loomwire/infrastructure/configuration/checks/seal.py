"""`end: true` as the last key of a file: whoever ends one file so is told of every file that is cut off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loomwire.domain.reports.problems import Problem
from loomwire.infrastructure.configuration.documents import Document
from loomwire.infrastructure.configuration.yaml_tree import Table

_MISSING = "`end: true` is missing here and stands in another file: this one may be cut off"


def is_sealed_file(document: Document) -> bool:
    """Tell whether a file says that it ends where it ends."""
    root = document.root
    return isinstance(root, Table) and root.plain.get("end") is True


def seal_problems(documents: Sequence[Document]) -> Iterator[Problem]:
    """Yield every file without the key where another file has it, and every key that is not the last of its file."""
    sealed = [document for document in documents if is_sealed_file(document)]
    for document in documents if sealed else ():
        root = document.root
        if document not in sealed:
            hint = "Restore the rest of the file, or put `end: true` last in it."
            if not isinstance(root, Table):
                hint = "Restore the rest, or write the list below `rules:` (or `script:`) and `end: true` last."
            yield Problem("missing_key", _MISSING, "end", file=document.name, hint=hint)
        elif isinstance(root, Table) and next(reversed(root.plain)) != "end":
            yield document.problem("out_of_range", "`end` must be the last key of its file", ("end",), at="key")
