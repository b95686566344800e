"""The identity of a job: the same in every session, on every machine, on every DuckDB.

A job's id is the MD5 of the canonical JSON of ``[1, pipeline_id, source name, path, params]``, read as a
UUID. ``job_identity`` is the definition; ``IDENTITY_SQL`` computes the same for many rows at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from foregsyte_kaggle.errors import InvalidArgumentError

__all__ = [
    "IDENTITY_SQL",
    "SHARD_SQL",
    "canonical_json",
    "canonical_params",
    "decode_path",
    "decode_paths",
    "encode_path",
    "encode_paths",
    "identity_prefix",
    "job_identity",
    "shard_of",
]

IDENTITY_VERSION = 1
ENCODED = "percent-encoded:"

#: The id of a row with the columns ``path`` and ``params`` (canonical JSON, never NULL); takes
#: ``identity_prefix`` as ``$prefix``. Exact because stored paths hold no control characters, the only
#: ones that DuckDB's JSON and Python's write differently.
IDENTITY_SQL = "md5($prefix || to_json(path) || ',' || params || ']')::UUID"

#: The shard, from 1 to ``$shards``, of a row with the column ``job_id``, as ``shard_of`` has it.
SHARD_SQL = "('0x' || left(job_id::VARCHAR, 8))::BIGINT % $shards + 1"

_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode
_needs_encoding = re.compile(r"[\x00-\x1f\ud800-\udfff]").search
_has_surrogate = re.compile(r"[\ud800-\udfff]").search


def job_identity(
    pipeline_id: str, source: str | None, path: str, params: Mapping[str, Any] | None = None
) -> uuid.UUID:
    """Return the id of the job of one input.

    Parameters
    ----------
    pipeline_id
        The pipeline's name.
    source
        The source's name.
    path
        The input's path as it is stored: relative to its source, POSIX form, odd names encoded.
    params
        The job's params; None and an empty mapping are the same.
    """
    text = identity_prefix(pipeline_id, source) + f"{_encode(path)},{canonical_params(params)}]"
    return uuid.UUID(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest())


def shard_of(job_id: uuid.UUID, shards: int) -> int:
    """Return which of so many shards a job is in, from 1; it depends on nothing but its id."""
    return (job_id.int >> 96) % shards + 1


def identity_prefix(pipeline_id: str, source: str | None) -> str:
    """Return the part of the canonical JSON that all jobs of a registration share."""
    return _encode([IDENTITY_VERSION, pipeline_id, source])[:-1] + ","


def canonical_params(params: Mapping[str, Any] | None) -> str:
    """Return params as canonical JSON: sorted keys, no blanks, JSON values only.

    Raises
    ------
    InvalidArgumentError
        If a key is not a string or a value is not a JSON value; says where.
    """
    if params is None:
        return "{}"
    if not isinstance(params, Mapping):
        raise InvalidArgumentError(
            f"params is {params!r:.80} of type {type(params).__name__}; expected a dict of JSON values"
        )
    return canonical_json(dict(params), "params")


def canonical_json(value: Any, where: str = "it") -> str:
    """Return one value as ``canonical_params`` does; ``where`` names it in errors."""
    try:
        _check_json(value, where)
        return _encode(value)
    except RecursionError:
        raise InvalidArgumentError(f"{where} nests too deep, or holds itself") from None


def encode_path(path: str) -> str:
    """Return a path as the ledger stores it.

    Names that DuckDB's text cannot hold (bytes that are not UTF-8) or that hold control characters are
    percent-encoded behind a prefix; all others stay as they are.

    Raises
    ------
    InvalidArgumentError
        If no file can have that name, since it is half a character.
    """
    if not _needs_encoding(path) and not path.startswith(ENCODED):
        return path
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"{path!r} is not valid Unicode text") from None
    return ENCODED + quote_from_bytes(name, safe="/ ()[]{}!#$&'+,;=@^~")


def encode_paths(paths: list[str]) -> list[str]:
    """Return many paths as the ledger stores them; the list itself where none is odd."""
    if all(map(str.isprintable, paths)) and ENCODED not in "\0".join(paths):
        return paths
    return [encode_path(path) for path in paths]


def decode_path(stored: str) -> str:
    """Return the path that ``encode_path`` stored."""
    if stored.startswith(ENCODED):
        return os.fsdecode(unquote_to_bytes(stored.removeprefix(ENCODED)))
    return stored


def decode_paths(stored: Sequence[str]) -> Sequence[str]:
    """Return the paths that ``encode_paths`` stored; the argument itself where none was odd."""
    if ENCODED not in "\0".join(stored):
        return stored
    return [decode_path(path) for path in stored]


def _check_json(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidArgumentError(
                    f"{where} has the key {key!r} of type {type(key).__name__}; expected text, since "
                    "params are stored as JSON"
                )
            _check_text(key, f"a key of {where}")
            _check_json(item, f"{where}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            _check_json(item, f"{where}[{number}]")
    elif isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise InvalidArgumentError(f"{where} is {value!r}, which JSON cannot hold; use None")
    elif not (value is None or isinstance(value, (bool, int))):
        raise InvalidArgumentError(
            f"{where} is {value!r:.80} of type {type(value).__name__}; expected a JSON value (text, "
            "number, true/false, None, list, dict). Convert it first, for example with str(), int() or float()."
        )


def _check_text(value: str, where: str) -> None:
    if not value.isascii() and _has_surrogate(value):
        raise InvalidArgumentError(f"{where} is {value!r:.80}, which is not valid Unicode text")
