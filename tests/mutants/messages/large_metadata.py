"""Broken metadata that no head carries."""

from __future__ import annotations

from stowfast import Messages
from stowfast.stores.messages.metadata import is_message
from stowfast.testing.messages import compaction, large_metadata, recency
from stowfast.wrappers import Wrapper
from tests.mutants import breaks, ignores
from tests.mutants.stores import Alters, ForgetsOpIds

breaks(large_metadata.a_lost_answer_doubles_no_large_metadata)(ForgetsOpIds)
ignores(Messages, "add_messages", "metadata", large_metadata.metadata_of_any_size_are_kept)


@breaks(large_metadata.metadata_of_any_size_are_kept)
class CutsLargeMetadata(Messages):
    async def set_metadata(self, context_id, metadata, **options):
        small = {key: value for key, value in metadata.items() if len(str(value)) < 65_536}
        await super().set_metadata(context_id, small, **options)


@breaks(large_metadata.large_metadata_are_no_messages)
class CountsMetadata(Messages):
    async def count(self, context_id):
        (head,) = await self._backend.heads([f"messages/{context_id}"])
        return head.length if head else 0


@breaks(large_metadata.large_metadata_are_no_messages)
class CutsMetadata(Alters):
    def altered(self, change):
        return change if change.cut_from is None and change.drop_before is None else change._replace(entries=())


@breaks(large_metadata.large_metadata_are_no_messages)
class ShowsMetadata(Wrapper):
    async def read(self, stream, window=None):
        found = await (super().read(stream) if window is None else super().read(stream, window))
        is_asked = window is not None and window.start is not None and window.stop == window.start + 1
        shown = [
            one if is_asked or is_message(one) else type(one)(one.position, b"{}", 0, None) for one in found.entries
        ]
        return found._replace(entries=shown)


@breaks(recency.a_list_by_recency_is_ordered_by_messages)
class RenamesAloud(Alters):
    def altered(self, change):
        return change._replace(quiet=False) if change.labels is not None else change


@breaks(compaction.a_fork_keeps_the_summary_of_dropped_messages)
class ForksWithoutASummary(Alters):
    def altered(self, change):
        return change._replace(base=0) if change.expect == 0 else change
