"""Non-dominated sorting to which vectors are added one by one, and crowding distance. More is better in every component."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from tuner.results.pareto import dominates

Vector = tuple[float, ...]


class ParetoFronts:
    """Vectors by front: the first holds those that no other dominates, the next those that only the first ones dominate, …

    Each vector of a front is dominated by one of the front before, so the front of a new vector is found by bisection (Zhang et
    al. 2015, ENS-BS), and only what it dominates moves back (Li et al. 2017): neither compares it with every vector. Equal
    vectors share a front, and the order of insertion changes nothing.
    """

    def __init__(self, vectors: Iterable[Vector] = ()) -> None:
        self._fronts: list[list[Vector]] = []
        for vector in sorted(vectors, reverse=True):  # so that none dominates one that came before it
            index = self._first_without(vector, _rivals)
            if index == len(self._fronts):
                self._fronts.append([])
            self._fronts[index].append(vector)

    def __len__(self) -> int:
        """Vectors in all fronts."""
        return sum(map(len, self._fronts))

    def __iter__(self) -> Iterator[list[Vector]]:
        """The fronts, the best first."""
        return iter(self._fronts)

    def front(self, index: int) -> list[Vector]:
        """The vectors of a front, from 0; the order has no meaning."""
        return self._fronts[index]

    def index_of(self, vector: Vector) -> int:
        """The front, from 0, that a vector is on or would be on: the first without any that dominates it."""
        return self._first_without(vector, lambda front: front)

    def _first_without(self, vector: Vector, rivals: Callable[[list[Vector]], Iterable[Vector]]) -> int:
        """The first front of whose rivals none dominates a vector; on every front before it one does."""
        return bisect.bisect_left(self._fronts, True, key=lambda front: not _is_dominated(vector, rivals(front)))

    def n_ahead(self, vector: Vector) -> int:
        """Vectors on better fronts than the one that this vector is on or would be on."""
        return sum(map(len, self._fronts[: self.index_of(vector)]))

    def add(self, vector: Vector) -> None:
        """Put a vector on its front. What it dominates there moves to the next front, and so on."""
        index, moving = self.index_of(vector), [vector]
        while moving and index < len(self._fronts):
            dominated = [other for other in self._fronts[index] if _is_dominated(other, moving)]
            remaining = [other for other in self._fronts[index] if not _is_dominated(other, moving)]
            self._fronts[index] = remaining + moving
            index, moving = index + 1, dominated
        if moving:
            self._fronts.append(moving)


def crowding(front: Sequence[Vector]) -> dict[Vector, float]:
    """Crowding distance of each distinct vector of a front (Deb et al. 2002).

    The sum over components of the distance between its two neighbours, as a share of the front's range; infinite at either end.
    """
    distances = dict.fromkeys(front, 0.0)
    for component in range(len(front[0])):
        ordered = sorted(distances, key=lambda vector: (vector[component], vector))
        extent = ordered[-1][component] - ordered[0][component]
        distances[ordered[0]] = distances[ordered[-1]] = math.inf
        for below, vector, above in zip(ordered, ordered[1:], ordered[2:], strict=False):
            distances[vector] += (above[component] - below[component]) / extent if extent else 0.0
    return distances


def _rivals(front: list[Vector]) -> Iterable[Vector]:
    """Vectors of a front, filled in descending order, that may dominate the next one: of two goals the last alone."""
    return front[-1:] if len(front[0]) <= 2 else reversed(front)


def _is_dominated(vector: Vector, others: Iterable[Vector]) -> bool:
    return any(dominates(other, vector) for other in others)
