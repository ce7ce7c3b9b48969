"""The end of an adapter: by a call, or at the end of a block. Mix-ins: each stands first among the bases of a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from stowfast.adapters.opener import Opener

__all__ = ["WithAclose", "WithBothCloses", "WithClose", "WithSyncClose"]


class WithClose:
    """For an interface with await alone: `await adapter.close()` or `async with adapter`."""

    _opener: Opener

    async def close(self) -> None:
        """Let go of the stores. The last user of a URL closes its backend, and stores given open stay open.

        A later call opens the stores again.
        """
        await self._opener.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class WithAclose:
    """For an interface whose methods with await begin with an `a`: `await adapter.aclose()` or `async with adapter`."""

    _opener: Opener

    async def aclose(self) -> None:
        """Let go of the stores. The last user of a URL closes its backend, and stores given open stay open.

        A later call opens the stores again.
        """
        await self._opener.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class WithSyncClose:
    """For an interface without await: `adapter.close()` or `with adapter`."""

    _opener: Opener

    def close(self) -> None:
        """Let go of the stores. The last user of a URL closes its backend, and stores given open stay open.

        A later call opens the stores again.
        """
        self._opener.close_sync()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class WithBothCloses(WithAclose, WithSyncClose):
    """For both faces: `await adapter.aclose()`, `adapter.close()`, and blocks of both kinds."""
