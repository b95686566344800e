"""A table's columns as params of its rows: canonical JSON, put together column by column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.errors import InvalidArgumentError, SourceError
from foregsyte_kaggle.identity import canonical_json, canonical_params
from foregsyte_kaggle.registry import RowValues

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["is_text", "row_params"]


def is_text(kind: pa.DataType) -> bool:
    """Return whether an Arrow type is one of those for text."""
    import pyarrow as pa

    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def row_params(
    table: pa.Table, params: Mapping[str, Any] | None, label: str
) -> tuple[pa.Array | None, dict[str, RowValues]]:
    """Return each row's params as canonical JSON, and the values of those that some row has of its own.

    None and no values where the table has no column.

    Parameters
    ----------
    params
        Params of every row; a row's own values come on top, and what it misses is left to them.
    label
        How messages call the table.

    Raises
    ------
    SourceError
        If a value is not a JSON value; says which.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    own: dict[str, RowValues] = {}
    if not table.num_columns:
        return None, own
    canonical_params(params)
    pieces: dict[str, Any] = {
        key: pa.scalar(f",{canonical_json(key)}:{canonical_json(value)}", pa.string())
        for key, value in (params or {}).items()
    }
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        values = _json_values(column, f"params[{name!r}]", label)
        if values.null_count < len(values):
            own[name] = RowValues(values, of_one_type=not pa.types.is_nested(column.type))
        piece = pc.binary_join_element_wise(f",{canonical_json(name)}:", values, "")
        pieces[name] = pc.fill_null(piece, pieces.get(name, ""))
    # Each piece brings its comma: joining with commas and skipping NULL drops rows of NULL only.
    inside = pc.binary_join_element_wise(*(pieces[key] for key in sorted(pieces)), "")
    return pc.binary_join_element_wise("{", pc.utf8_ltrim(inside, ","), "}", ""), own


def _json_values(column: pa.Array, where: str, label: str) -> pa.Array:
    """Return a column's values as JSON text; NULL where they are missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return column.cast(pa.string())
    if is_text(column.type):
        found = column.cast(pa.string()).dictionary_encode()
        distinct = [canonical_json(text) for text in found.dictionary.to_pylist()]
        return pa.array(distinct, pa.string()).take(found.indices)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        if column.null_count and _is_whole(column):
            # pandas turns whole numbers with a gap into floats; in the CSV they came from they are whole.
            return column.cast(pa.int64()).cast(pa.string())
        if pc.all(pc.is_finite(column)).as_py():
            # One call for all: the text of numbers holds no comma.
            numbers = pc.fill_null(column, 0).to_numpy(zero_copy_only=False).tolist()
            texts = canonical_json(numbers)[1:-1].split(",")
            return pc.if_else(pc.is_valid(column), pa.array(texts, pa.string()), None)
    return _json_one_by_one(column, where, label)


def _is_whole(column: pa.Array) -> bool:
    import pyarrow.compute as pc

    found = column.drop_null()
    exact = pc.and_(pc.equal(found, pc.trunc(found)), pc.less_equal(pc.abs(found), 2.0**53))
    return len(found) > 0 and bool(pc.all(exact).as_py())


def _json_one_by_one(column: pa.Array, where: str, label: str) -> pa.Array:
    import pyarrow as pa

    texts = []
    for number, value in enumerate(column.to_pylist()):
        try:
            texts.append(None if value is None else canonical_json(value, where))
        except InvalidArgumentError as error:
            raise SourceError(f"row {number} of {label}: {error}") from error
    return pa.array(texts, pa.string())
