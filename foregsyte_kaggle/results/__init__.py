"""The result tables: what pipelines returned, as rows of ``results.<pipeline_id>``.

A column's type follows from the values, or from the schema that the pipeline declares. It widens only
where that is exact; values that differ otherwise, or nest, become JSON. The tables are no part of the
migrations.
"""

from __future__ import annotations

from foregsyte_kaggle.results.conforming import SchemaReader
from foregsyte_kaggle.results.returned import ResultBatch, gather
from foregsyte_kaggle.results.schemas import Schema, declare_table, resolve
from foregsyte_kaggle.results.storing import prepare, write
from foregsyte_kaggle.results.tables import JOB_COLUMN, quote, result_columns, table_name

__all__ = [
    "JOB_COLUMN",
    "ResultBatch",
    "Schema",
    "SchemaReader",
    "declare_table",
    "gather",
    "prepare",
    "quote",
    "resolve",
    "result_columns",
    "table_name",
    "write",
]
