from __future__ import annotations

from dataclasses import dataclass, field

from loomwire.application.memory.garbage import EVERY_S, STALL_S, Garbage


@dataclass
class Heap:
    """A heap of so many blocks."""

    blocks: int = 1000
    enabled: bool = True
    time: float = 0.0
    collected: list[float] = field(default_factory=list)
    generations: list[int] = field(default_factory=list)

    def collect(self, generation: int) -> int:
        self.collected.append(self.time)
        self.generations.append(generation)
        return 0

    def garbage(self) -> Garbage:
        """Return what collects it."""
        return Garbage(lambda: self.time, self.collect, lambda: self.blocks, lambda: self.enabled)


def test_garbage_is_collected_at_most_once_a_minute() -> None:
    heap = Heap()
    garbage = heap.garbage()
    for heap.time in (0.0, 1.0, EVERY_S - 0.1, EVERY_S, EVERY_S + 1):
        garbage.collect()
    assert heap.collected == [0.0, EVERY_S]


def test_of_a_heap_whose_collection_would_hold_everybody_up_only_what_is_young_is_collected() -> None:
    small, large = Heap(blocks=1000), Heap(blocks=1_000_000)
    small.garbage().collect()
    large.garbage().collect()
    assert (small.generations, large.generations) == ([2], [1])


def test_a_host_that_switched_the_collector_off_is_left_alone() -> None:
    heap = Heap(enabled=False)
    assert heap.garbage().collect() is None
    assert heap.collected == []


def test_the_last_full_collection_foretells_the_next() -> None:
    heap = Heap(blocks=1)
    garbage = heap.garbage()
    took = garbage.collect()
    assert took is not None
    for blocks in (3 * STALL_S / took, STALL_S / took / 3):
        heap.time += EVERY_S
        heap.blocks = int(blocks)
        garbage.collect()
    assert heap.generations == [2, 1, 2]


def test_the_real_heap_is_collected_without_holding_anybody_up() -> None:
    took = Garbage(lambda: 0.0).collect()
    assert took is not None
    assert 0 < took < 1
