"""The orders that jobs are shown in, as SQL, and two bounds in one, which jobs come before, between or after."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["KEYS", "POSITION", "Bound", "Bounds", "Order"]

#: A key and a position, which jobs come before or not.
Bound = tuple[Any, int]

#: What each of ``page.SORTS`` compares; ``$now`` is the moment of the page.
KEYS = {
    "registered": "jobs.position",
    "status": "enum_code(jobs.status)",
    "input": "jobs.input_path",
    "pipeline": "jobs.pipeline_id",
    "attempts": "jobs.attempts",
    "took": "(epoch_us(CASE WHEN jobs.status = 'running' THEN $now ELSE jobs.finished_at END)"
    " - epoch_us(jobs.started_at))",
    "changed": "jobs.updated_at",
}

#: Jobs made by hand have no position until they are numbered; they come last.
POSITION = f"coalesce(jobs.position, {2**63 - 1})"


@dataclass(frozen=True)
class Order:
    """An order of jobs: those without a key come last either way, and equal ones as they were registered.

    Attributes
    ----------
    key : str
        What is compared, as SQL.
    descending : bool
        Whether the largest key comes first.
    backwards : bool
        Whether all this is read from its end.
    parameters : dict
        The values of the key's parameters.
    """

    key: str
    descending: bool = False
    backwards: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def falls(self) -> bool:
        """Whether keys get smaller as it is read."""
        return self.descending != self.backwards

    def clause(self) -> str:
        """Return what follows ORDER BY."""
        way = "DESC" if self.backwards else "ASC"
        return f"{self.clause_of_bounds()}, jobs.created_at {way}, jobs.job_id {way}"

    def clause_of_bounds(self) -> str:
        """Do the same for bounds, of which jobs without a position are one."""
        nulls, way = ("FIRST", "DESC") if self.backwards else ("LAST", "ASC")
        key_way = "DESC" if self.falls else "ASC"
        return f"{self.key} {key_way} NULLS {nulls}, jobs.position {way} NULLS {nulls}"

    def before(self, bound: str, key: object) -> str:
        """Return the condition that a job comes before a bound; for some that do not, it is NULL.

        Parameters
        ----------
        bound
            Which: its parameters are ``<bound>_key``, unless that is None, and ``<bound>_position``.
        key
            The bound's key.
        """
        lower = ">" if self.falls else "<"
        tied = f"{POSITION} {'>' if self.backwards else '<'} ${bound}_position"
        if key is None:
            joined = "IS NULL AND" if self.backwards else "IS NOT NULL OR"
            return f"({self.key} {joined} {tied})"
        # The first comparison is one that DuckDB can skip ranges of rows by; the second is the cheapest.
        passed = (
            f"({self.key} {lower}= ${bound}_key AND ({tied} OR {self.key} {lower} ${bound}_key))"
        )
        return f"({self.key} IS NULL OR {passed})" if self.backwards else passed


@dataclass(frozen=True)
class Bounds:
    """Two bounds in an order.

    Attributes
    ----------
    order : Order
        Which.
    low, high : tuple or None
        The key and the position of each; None where it is open, so that all jobs lie on that side.
    """

    order: Order
    low: Bound | None = None
    high: Bound | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The values of the parameters of what the methods return."""
        named: dict[str, Any] = {}
        for name, bound in (("low", self.low), ("high", self.high)):
            if bound is not None:
                key, position = bound
                named |= self.order.parameters | {f"{name}_position": position}
                named |= {} if key is None else {f"{name}_key": key}
        return named

    def before_low(self) -> str:
        """Return the condition that a job comes before both; for some that do not, it is NULL."""
        return "false" if self.low is None else self.order.before("low", self.low[0])

    def before_high(self) -> str:
        """Do the same for before or between them."""
        return "true" if self.high is None else self.order.before("high", self.high[0])

    def between(self) -> str:
        """Return the condition that a job comes between them."""
        conditions = f"{self.before_low()} IS NOT TRUE AND {self.before_high()}"
        if {"low_key", "high_key"} <= self.parameters.keys():
            # It follows from the others, but DuckDB can skip ranges of rows by it.
            names = ["$low_key", "$high_key"]
            least, most = reversed(names) if self.order.falls else names
            conditions += f" AND {self.order.key} BETWEEN {least} AND {most}"
        return conditions

    def side(self) -> str:
        """Return where a job comes, as SQL: -1 before both, 0 between them, 1 after both."""
        return f"CASE WHEN {self.before_low()} THEN -1 WHEN {self.before_high()} THEN 0 ELSE 1 END"
