"""The columns of a dataset whose files do not all have the same ones."""

import logging
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from hyperdiag.messages.errors import listed

from .column_types import always_fits, unified_type

log = logging.getLogger("hyperdiag")


class UsedColumns(NamedTuple):
    """Which columns a run asks for; of the others nothing is required.

    Attributes:
        names: these columns are asked for: inputs, what a filter reads, what passes through.
        every: whether all others pass through as well.
    """

    names: Collection[str]
    every: bool

    def __contains__(self, name: object) -> bool:
        # Filters name columns in their compatibility form.
        return (
            self.every
            or name in self.names
            or unicodedata.normalize("NFKC", str(name)) in self.names
        )


EVERY_COLUMN = UsedColumns((), every=True)


@dataclass
class FileKind:
    """Files of one schema: of a million files, few are held.

    Attributes:
        schema: theirs.
        encrypted: columns that no key is at hand for; not in the schema.
        first: the path of the first of them.
        files: how many they are.
        wrong: why they cannot be used; empty if they can.
    """

    schema: pa.Schema
    encrypted: Sequence[str]
    first: str
    files: int = 0
    wrong: str = ""
    types: dict[str, pa.DataType] = field(init=False)

    def __post_init__(self) -> None:
        self.types = {column.name: column.type for column in self.schema}


class Columns:
    """The columns of a dataset, and which kinds of its files have what is used of them.

    Each file must have the used columns that most files have. A column has one type, which holds
    the values of all files: `unified_type`. What nobody uses is read as well, for rows that end in
    quarantine, but never stands in the way: it is null where a file lacks it, and left out where
    its types do not fit together.

    Args:
        kinds: of files, the first file's first; `wrong` is set for those that cannot be used.
        used: the columns that the run asks for.
        before: the columns of an earlier run over the dataset, whose types and order are kept as
            long as they hold what is there now; None where there is none.

    Attributes:
        usual: the kind that most files are of, as to the used columns; None if none can be used.
    """

    def __init__(self, kinds: Iterable[FileKind], used: UsedColumns, before: pa.Schema | None):
        self._used, self._before = used, before
        self._types_before = {column.name: column.type for column in before or ()}
        self._types: dict[str, pa.DataType] = {}
        self._kinds = list(kinds)
        for kind in self._kinds:
            hidden = [name for name in kind.encrypted if name in used]
            if hidden:
                mend = "" if set(hidden) & set(used.names) else "; output.columns can leave it out"
                kind.wrong = f"column {_quoted(hidden)} is encrypted, and there is no key{mend}"
        readable = [kind for kind in self._kinds if not kind.wrong]
        self.usual = self._usual(readable) if readable else None
        if self.usual is None:
            return
        self._types = {name: t for name, t in self.usual.types.items() if name in used}
        for kind in sorted(readable, key=lambda kind: -kind.files):
            self._take(kind, self.usual)

    def _usual(self, kinds: Sequence[FileKind]) -> FileKind:
        """Return the first kind of those whose used columns most files have."""
        counts: Counter[frozenset[tuple[str, str]]] = Counter()
        firsts: dict[frozenset[tuple[str, str]], FileKind] = {}
        for kind in kinds:
            columns = frozenset((n, str(t)) for n, t in kind.types.items() if n in self._used)
            counts[columns] += kind.files
            firsts.setdefault(columns, kind)
        return firsts[counts.most_common(1)[0][0]]

    def _take(self, kind: FileKind, usual: FileKind) -> None:
        """Let the types hold what files of this kind do; or say what is wrong with them."""
        types = dict(self._types)
        for name, before in self._types.items():
            if name not in kind.types:
                kind.wrong = f"has no column '{name}', unlike {usual.first}"
                break
            unified = unified_type(before, kind.types[name])
            if unified is None:
                kind.wrong = (
                    f"column '{name}' is {kind.types[name]}, not {usual.types[name]}, unlike "
                    f"{usual.first}"
                )
                break
            types[name] = unified
        else:
            extra = [name for name in kind.types if name in self._used and name not in types]
            if not extra:
                self._types = types
                return
            name = extra[0]
            kind.wrong = f"has an extra column '{name}', unlike {usual.first}"
        if name not in self._used.names:
            kind.wrong += "; output.columns can leave it out"

    def schema(self, keys: pa.Schema) -> pa.Schema:
        """Return the columns of every row: of the files, then the partition keys.

        Where files have a column that is called like a key, the key counts.
        """
        assert self.usual is not None
        key_names = set(keys.names)
        good = [kind for kind in self._kinds if not kind.wrong]
        types = {name: self._type_before(name, kind, good) for name, kind in self._types.items()}
        fields = {field.name: field for field in self.usual.schema}
        left_out = {name for kind in good for name in kind.encrypted}
        for kind in good:
            for column in kind.schema:
                fields.setdefault(column.name, column)
        for name in fields:
            if name in types or name in key_names:
                continue
            unified = self._unused(name, good)
            if unified is None or name in left_out:
                left_out.add(name)
            else:
                types[name] = unified
        for column in self._before or ():
            present = column.name in fields or column.name in key_names
            if not present and column.name not in self._used:
                types[column.name] = column.type
                fields[column.name] = column
        if left_out:
            log.info(
                "dataset.path: column %s is used by nothing and not read: files hold it in types "
                "that do not fit together, or encrypted, or an earlier run did not know it",
                _quoted(sorted(left_out)),
            )
        own = [
            # What one file declares free of nulls, another may not.
            column.with_type(types[name]).with_nullable(True)
            for name, column in fields.items()
            if name in types and name not in key_names
        ]
        return self._in_order_before(pa.schema([*own, *keys]).remove_metadata())

    def _type_before(
        self, name: str, unified: pa.DataType, kinds: Sequence[FileKind]
    ) -> pa.DataType:
        before = self._types_before.get(name)
        if before is None:
            return unified
        same = all(always_fits(kind.types[name], before) for kind in kinds if name in kind.types)
        return before if same else unified

    def _unused(self, name: str, kinds: Sequence[FileKind]) -> pa.DataType | None:
        """Return a type that always holds what files have in a column; None if there is none."""
        if self._before is not None and name not in self._types_before:
            return None  # it would make another plan
        types = [kind.types[name] for kind in kinds if name in kind.types]
        unified: pa.DataType | None = types[0]
        for other in types[1:]:
            unified = unified and unified_type(unified, other)
        if unified is None or not all(always_fits(kind, unified) for kind in types):
            return None
        return self._type_before(name, unified, kinds)

    def _in_order_before(self, schema: pa.Schema) -> pa.Schema:
        """Files may have their columns in any order, and a new one may come first."""
        before = self._before
        same = before is not None and sorted(map(str, before)) == sorted(map(str, schema))
        return before if same else schema


def _quoted(names: Iterable[str]) -> str:
    return listed([f"'{name}'" for name in names])
