"""What the tests of the job table share: a ledger with jobs of every kind, and a stand-in for a front end."""

from __future__ import annotations

from typing import Any

from foregsyte_kaggle import JobStatus, Workspace


def seed(workspace: Workspace, jobs: int = 57) -> None:
    """Add jobs of all statuses, of two pipelines and sources; 5 of them made by hand, so without a position."""
    with workspace.database.transaction() as connection:
        connection.execute(
            """
            INSERT INTO jobs (job_id, status, pipeline_id, source, input_path, attempts, position, created_at,
                              updated_at, started_at, finished_at, error_type, error_message)
            SELECT md5(i::VARCHAR)::UUID,
                   (['completed', 'failed', 'completed', 'pending', 'running'])[i % 5 + 1]::job_status_enum,
                   if(i % 3 = 0, 'ocr', 'video_info'), if(i % 2 = 0, 'night', 'day'),
                   'clip-' || lpad(i::VARCHAR, 3, '0') || '.mp4', 1, if(i > $jobs - 5, NULL, i * 3),
                   TIMESTAMP '2026-01-01' + to_seconds(i), TIMESTAMP '2026-01-02', TIMESTAMP '2026-01-01',
                   TIMESTAMP '2026-01-01 00:00:01.5', if(i % 5 = 1, 'ValueError', NULL),
                   if(i % 5 = 1, 'bad frame ' || i, NULL)
            FROM generate_series(1, $jobs) AS numbers(i)
            """,
            {"jobs": jobs},
        ).fetchall()


def plain_rows(workspace: Workspace, **wanted: Any) -> list[str]:
    """Return the paths that plain SQL gives for a filter, in order."""
    statuses = [one.value for one in wanted.get("statuses") or JobStatus]
    with workspace.database.reading() as cursor:
        rows = cursor.execute(
            "SELECT input_path FROM jobs WHERE status::VARCHAR IN (SELECT unnest($statuses))"
            " AND ($pipeline_id IS NULL OR pipeline_id = $pipeline_id)"
            " AND ($source IS NULL OR source = $source) ORDER BY position NULLS LAST, created_at",
            {
                "statuses": statuses,
                "pipeline_id": wanted.get("pipeline_id"),
                "source": wanted.get("source"),
            },
        ).fetchall()
    return [path for (path,) in rows]


class Published:
    """Stands for IPython's display: keeps what was shown, and its updates."""

    def __init__(self) -> None:
        self.shown: list[dict[str, Any]] = []
        self.updates: list[dict[str, Any]] = []

    def __call__(self, data: dict[str, Any], **_kwargs: Any) -> Published:
        self.shown.append(data)
        return self

    def display(self, data: dict[str, Any], **kwargs: Any) -> None:
        assert kwargs == {"raw": True}
        self.shown.append(data)

    def update(self, data: dict[str, Any], **kwargs: Any) -> None:
        assert kwargs == {"raw": True}
        self.updates.append(data)


def widgets_alive() -> dict[str, Any]:
    """Return ipywidgets' own list of widgets that have a comm."""
    from ipywidgets.widgets import widget

    if hasattr(widget, "_instances"):
        return dict(widget._instances)
    return dict(widget.Widget.widgets)  # until ipywidgets 7
