"""Broken artifacts: partial reads."""

from __future__ import annotations

import io

from stowfast import Artifacts, DamagedError, NotFoundError
from stowfast.stores.artifacts.reading.reader import ArtifactReader
from stowfast.testing.artifacts import reads
from tests.mutants import breaks, ignores


class ReadsWith(Artifacts):
    reader = ArtifactReader

    async def _open(self, *args):
        reader = await super()._open(*args)
        reader.__class__ = self.reader
        return reader


@breaks(reads.a_range_is_what_slicing_gives)
class IncludesTheStop(Artifacts):
    def open_reader(self, artifact_id, *, stop=None, **options):
        return super().open_reader(artifact_id, stop=None if stop is None else stop + 1, **options)


@breaks(reads.a_range_is_what_slicing_gives, reads.a_reader_moves_as_a_file_does)
class BeginsAtTheMebibyte(Artifacts):
    def open_reader(self, artifact_id, *, start=0, **options):
        return super().open_reader(artifact_id, start=start - start % 2**20, **options)


@breaks(reads.a_range_is_what_slicing_gives)
class LosesTheLastPiece(ReadsWith):
    class reader(ArtifactReader):  # noqa: N801
        async def __aiter__(self):
            held = None
            async for piece in super().__aiter__():
                if held is not None:
                    yield held
                held = piece


@breaks(reads.a_reader_moves_as_a_file_does)
class CountsFromTheBeginning(ReadsWith):
    class reader(ArtifactReader):  # noqa: N801
        def tell(self):
            return self._position


@breaks(reads.a_reader_moves_as_a_file_does)
class StaysWhereItIs(ReadsWith):
    class reader(ArtifactReader):  # noqa: N801
        async def read(self, size=-1):
            position = self._position
            data = await super().read(size)
            self._position = position + min(size, len(data)) if size < 2**20 else position
            return data


@breaks(reads.a_reader_moves_as_a_file_does)
class KeepsTheWrongChunk(ReadsWith):
    class reader(ArtifactReader):  # noqa: N801
        async def _take(self, first, last):
            wrong = self._kept.get(0)
            for number in range(first, last + 1):
                if wrong is not None and self._kept.get(number) is not None:
                    self._kept.put(number, wrong)
            async for chunk in super()._take(first, last):
                yield chunk


ignores(Artifacts, "open_file", "version", reads.a_version_is_a_file_object)


@breaks(reads.a_version_is_a_file_object)
class MovesAsBytesDo(Artifacts):
    async def open_file(self, artifact_id, *, version=None):
        found = await self.get(artifact_id, version=version)
        return io.BufferedReader(io.BytesIO(found.content if found else b""))


@breaks(reads.what_is_not_there_is_not_read)
class OpensNothing(Artifacts):
    async def open_file(self, artifact_id, *, version=None):
        try:
            return await super().open_file(artifact_id, version=version)
        except NotFoundError:
            return io.BufferedReader(io.BytesIO())


@breaks(reads.what_is_not_there_is_not_read)
class ReadsAnother(Artifacts):
    async def _open(self, artifact_id, version, *args):
        try:
            return await super()._open(artifact_id, version, *args)
        except NotFoundError:
            return await super()._open(artifact_id, None, *args)


@breaks(reads.an_artifact_removed_while_it_is_streamed_gives_no_wrong_byte)
class EndsEarly(ReadsWith):
    class reader(ArtifactReader):  # noqa: N801
        async def __aiter__(self):
            try:
                async for piece in super().__aiter__():
                    yield piece
            except NotFoundError:
                return

        async def read(self, size=-1):
            try:
                return await super().read(size)
            except NotFoundError:
                return b""


@breaks(reads.an_artifact_removed_while_it_is_streamed_gives_no_wrong_byte)
class GoesOnWithTheSuccessor(ReadsWith):
    class reader(ArtifactReader):  # noqa: N801
        async def __aiter__(self):
            number = 0
            async for piece in super().__aiter__():
                number += 1
                yield piece if number == 1 else bytes(len(piece))


@breaks(reads.damage_of_a_part_is_noticed)
class TrustsParts(ReadsWith):
    class reader(ArtifactReader):  # noqa: N801
        def _checked(self, number, chunk, stop, each=True):
            return chunk


@breaks(reads.damage_of_a_part_is_noticed)
class TrustsItsEnd(ReadsWith):
    class reader(ArtifactReader):  # noqa: N801
        async def _take(self, first, last):
            try:
                async for chunk in super()._take(first, last):
                    yield chunk
            except DamagedError:
                yield bytes(2**20)


@breaks(reads.damage_of_a_part_is_noticed)
class TrustsChecksumsAlone(ReadsWith):
    class reader(ArtifactReader):  # noqa: N801
        def _check_digest(self, size, sha256):
            pass
