"""The FastAPI app: of one workspace as ``serve`` makes it, or of whichever ``get_db`` gives."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from foregsyte_kaggle.errors import MissingExtraError

try:
    from fastapi import FastAPI
except ImportError as error:
    raise MissingExtraError(
        "the HTTP face needs FastAPI: pip install 'foregsyte-kaggle[api]'"
    ) from error

from sqlalchemy.orm import Session

from foregsyte_kaggle.api.guard import LOOPBACK, Guard
from foregsyte_kaggle.api.problems import answer_problems
from foregsyte_kaggle.api.routes import router
from foregsyte_kaggle.database import get_db
from foregsyte_kaggle.surroundings import package_version
from foregsyte_kaggle.workspace import Workspace, active_workspace

__all__ = ["app", "create_app"]


def create_app(
    workspace: Workspace | None = None,
    *,
    token: str | None = None,
    hosts: Collection[str] = LOOPBACK,
    any_address: bool = False,
) -> FastAPI:
    """Return an app for a ledger.

    Parameters
    ----------
    workspace
        The one to answer from; by default that of the session that the dependency ``get_db`` gives.
    token
        What changes need; without one it is read-only.
    hosts
        The names that it is reached by; a request that names another is refused.
    any_address
        Whether it may also be reached by any IP address.
    """
    # No page of FastAPI's own: they load scripts from the internet.
    made = FastAPI(
        title="foregsyte_kaggle",
        version=package_version() or "unknown",
        description="The job ledger of a notebook's kernel.",
        docs_url=None,
        redoc_url=None,
    )
    made.state.workspace = workspace
    made.state.read_only = token is None
    made.add_middleware(Guard, hosts=hosts, any_address=any_address, token=token)
    answer_problems(made)
    made.include_router(router)
    if workspace is not None:

        def sessions() -> Iterator[Session]:
            with Session(active_workspace(workspace).engine) as session:
                yield session

        made.dependency_overrides[get_db] = sessions
    return made


#: Of the active workspace, read-only; "testserver" is what FastAPI's TestClient calls itself.
app: FastAPI = create_app(hosts={*LOOPBACK, "testserver"})
