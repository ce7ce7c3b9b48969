"""The pages of tasks: the list by status, one task with its steps, lease, parts and versions, and one difference."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException
from starlette.routing import Route

from stowfast.view.pages import Site, number, text_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from stowfast.records import TaskState

__all__ = ["routes"]

_LISTED: Final = 50
_VERSIONS: Final = 20
_CHANGES: Final = 6


def routes(site: Site) -> list[Route]:
    """Return the routes of these pages."""
    pages = _Tasks(site)
    return [Route("/tasks", pages.index), Route("/task", pages.show), Route("/changes", pages.changes)]


class _Tasks:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._tasks = site.stores.tasks

    async def index(self, request: Request) -> Response:
        told = request.query_params
        page = await self._tasks.list(
            status=told.get("status") or None, context_id=told.get("context") or None, prefix=told.get("prefix", ""),
            after=told.get("after") or None, limit=_LISTED,
        )  # fmt: skip
        return self._site.page("tasks.html", page=page, told=told, now=datetime.now(UTC))

    async def show(self, request: Request) -> Response:
        name, version = text_of(request, "id"), number(request, "version")
        info = await self._tasks.info(name)
        state = await self._tasks.load(name, version=version)
        if info is None or state is None:
            raise HTTPException(404, "There is no such task or version: it was deleted, pruned, or it expired.")
        history = await self._tasks.history(name, before=number(request, "before"), limit=_VERSIONS + 1)
        lines = [(new, changed(old, new)) for new, old in zip(history, [*history[1:], None], strict=True)]
        parts = await self._tasks.list(parent_task_id=name, limit=_LISTED)
        return self._site.page(
            "task.html", info=info, state=state, lines=lines[:_VERSIONS], more=len(history) > _VERSIONS, parts=parts,
            now=datetime.now(UTC),
        )  # fmt: skip

    async def changes(self, request: Request) -> Response:
        name, old, new = text_of(request, "id"), number(request, "from"), number(request, "to")
        states = [await self._tasks.load(name, version=version) for version in (old, new)]
        if states[0] is None or states[1] is None:
            raise HTTPException(404, "There is no such version.")
        return self._site.page(
            "changes.html", name=name, old=old, new=new, patch=_patch(states[0].data, states[1].data)
        )


def changed(old: TaskState | None, new: TaskState) -> list[str]:
    """Return in short lines the changes from one version to the next."""
    if old is None:
        return []
    lines = [f"status: {old.status} → {new.status}"] if old.status != new.status else []
    lines += [f"step {key} recorded" for key in new.steps if key not in old.steps]
    patch = _patch(old.data, new.data)
    lines += [f"{one['op']} {one['path'] or 'everything'}" for one in patch[:_CHANGES]]
    if len(patch) > _CHANGES:
        lines.append(f"and {len(patch) - _CHANGES} more changes")
    return lines


def _patch(old: Any, new: Any) -> list[dict[str, Any]]:
    import jsonpatch

    if isinstance(old, dict) and isinstance(new, dict):
        return list(jsonpatch.make_patch(old, new))
    return [] if old == new else [{"op": "replace", "path": "", "value": new}]
