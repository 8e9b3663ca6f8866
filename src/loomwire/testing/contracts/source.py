"""The contract of `IConfigSource`."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import PurePath
from typing import ClassVar

from loomwire.domain.config import Snapshot
from loomwire.domain.ports.config import ConfigReading, IConfigSource
from loomwire.testing.contracts.contract import Contract, SeenError, claim, expect, same

_ONE: Mapping[str, str] = {"steady": "m-1", "moving": "m-2"}
_TWO: Mapping[str, str] = {"steady": "m-1", "moving": "m-3", "added": "m-4"}


class ConfigSourceContract(Contract):
    """Claims what `loomwire.domain.ports.config` promises; subclass it as `TestMySource` and say how it is edited.

    It is read as the store reads it: on a thread, one reading at a time.
    """

    port: ClassVar[str] = "loomwire.domain.ports.config.IConfigSource"

    @abstractmethod
    def source(self) -> IConfigSource:
        """Return a fresh source; `say` or `spoil` is called before it is read."""
        raise self.unwritten("source")

    @abstractmethod
    def say(self, source: IConfigSource, clients: Mapping[str, str]) -> None:
        """Have the source say that there are these clients and no other: the name of each, and its model's id.

        The same clients are the same content, and every client has a model of its own. May block.
        """
        raise self.unwritten("say")

    @abstractmethod
    def spoil(self, source: IConfigSource) -> None:
        """Have the source say what is no valid configuration. May block."""
        raise self.unwritten("spoil")

    @claim
    async def test_a_valid_configuration_is_a_snapshot(self) -> None:
        """A valid configuration is a snapshot of all it says, with the digest of the reading, and has no errors."""
        source = self.source()
        snapshot, reading = await self._said(source, _ONE)
        found = {name: client.targets[0].model for name, client in snapshot.clients.items()}
        same(found, dict(_ONE), "the model of each client")
        same(sorted(client.name for client in snapshot.clients.values()), sorted(_ONE), "what the clients are called")
        same(snapshot.digest, reading.digest, "the snapshot's digest")
        errors = [problem.message for problem in reading.problems if problem.severity == "error"]
        same(errors, [], "the errors among its problems")

    @claim
    async def test_it_is_read_anew_each_time(self) -> None:
        """Every reading tells what the source says by then: other content, another digest."""
        source = self.source()
        one, _ = await self._said(source, _ONE)
        two, _ = await self._said(source, _TWO, one)
        same(sorted(two.clients), sorted(_TWO), "the clients after an edit")
        expect(one.digest != two.digest, "other content has the same digest")

    @claim
    async def test_equal_content_has_an_equal_digest(self) -> None:
        """Equal content has an equal digest, whatever is in force and whatever was read meanwhile."""
        source = self.source()
        one, first = await self._said(source, _ONE)
        same((await _read(source, one)).digest, first.digest, "the digest when it is read again")
        two, _ = await self._said(source, _TWO, one)
        _, back = await self._said(source, _ONE, two)
        same(back.digest, first.digest, "the digest when it says the same again")

    @claim
    async def test_a_bad_configuration_is_a_reading_with_problems(self) -> None:
        """A bad configuration is a reading with an error and without a snapshot, never an exception."""
        source = self.source()
        await asyncio.to_thread(self.spoil, source)
        first = await _read(source, None)
        expect(first.snapshot is None, "it has a snapshot")
        expect(any(problem.severity == "error" for problem in first.problems), "no error is named")
        one, _ = await self._said(source, _ONE)
        await asyncio.to_thread(self.spoil, source)
        expect((await _read(source, one)).snapshot is None, "it has a snapshot when another one is in force")

    @claim
    async def test_a_bad_configuration_has_a_digest_too(self) -> None:
        """The digest of a bad configuration is as good as another: equal for equal content, and never a valid one's."""
        source = self.source()
        one, _ = await self._said(source, _ONE)
        await asyncio.to_thread(self.spoil, source)
        bad = await _read(source, one)
        same((await _read(source, one)).digest, bad.digest, "the digest when the same is read again")
        expect(bad.digest != one.digest, "it has the digest of the valid one before")

    @claim
    async def test_a_bad_configuration_is_forgotten_when_it_is_mended(self) -> None:
        """What is valid again is read as if nothing had happened."""
        source = self.source()
        one, first = await self._said(source, _ONE)
        await asyncio.to_thread(self.spoil, source)
        await _read(source, one)
        _, mended = await self._said(source, _ONE, one)
        same(mended.digest, first.digest, "the digest when it is mended")

    @claim
    async def test_what_is_the_same_is_the_same_object(self) -> None:
        """Models and clients that are the same are the very objects of what is in force, and the others are not."""
        source = self.source()
        one, _ = await self._said(source, _ONE)
        two, _ = await self._said(source, _TWO, one)
        expect(two.clients["steady"] is one.clients["steady"], "a client that is the same is another object")
        expect(two.clients["moving"] is not one.clients["moving"], "a client that changed is the object of before")
        anew = [name for name, model in two.models.items() if one.models.get(name) == model is not one.models[name]]
        same(anew, [], "the models that are the same and other objects")

    @claim
    async def test_what_is_in_force_counts_and_not_what_was_read_last(self) -> None:
        """What is in force may be older than what was read last, and it is its objects that are kept."""
        source = self.source()
        one, _ = await self._said(source, _ONE)
        two, _ = await self._said(source, _TWO, one)
        three, _ = await self._said(source, {**_TWO, "moving": "m-2"}, one)
        expect(three.clients["moving"] is one.clients["moving"], "a client that is the same is another object")
        again, _ = await self._said(source, _TWO, three)
        expect(again.clients["moving"] is not three.clients["moving"], "a client that changed is the object of before")
        same(again.clients["moving"], two.clients["moving"], "a client that was there before")

    @claim
    async def test_what_to_watch_is_absolute(self) -> None:
        """`watched` are absolute paths, also of what is bad."""
        source = self.source()
        _, reading = await self._said(source, _ONE)
        await asyncio.to_thread(self.spoil, source)
        for path in (*reading.watched, *(await _read(source, None)).watched):
            expect(PurePath(path).is_absolute(), f"{path!r} is not absolute")

    async def _said(
        self, source: IConfigSource, clients: Mapping[str, str], before: Snapshot | None = None
    ) -> tuple[Snapshot, ConfigReading]:
        await asyncio.to_thread(self.say, source, clients)
        reading = await _read(source, before)
        if reading.snapshot is None:
            said = [problem.message for problem in reading.problems]
            raise SeenError(f"what `say` wrote is refused: {said}")
        return reading.snapshot, reading


async def _read(source: IConfigSource, before: Snapshot | None) -> ConfigReading:
    return await asyncio.to_thread(source.read, before)
