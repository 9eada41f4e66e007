"""Seeds are hashes: repeatable, broadcast like numpy, and unrelated for neighbouring inputs."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from model.training import seeds

GOLDEN = 0x9E3779B97F4A7C15
MASK = 2**64 - 1


def splitmix64(*parts: int) -> int:
    """The same hash with Python's unbounded integers."""
    state = 0
    for part in parts:
        z = ((state ^ part) + GOLDEN) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        state = z ^ (z >> 31)
    return state >> 1


def test_first_number_of_splitmix64_is_the_published_one() -> None:
    """The first number of Vigna's splitmix64.c with seed 0."""
    assert int(seeds.mix(0)) == 0xE220A8397B1DCDAF >> 1


@pytest.mark.parametrize("parts", [(1,), (0, 0), (3, 1, 4, 1, 5), (2**31 - 1, 2**40, 7)])
def test_agrees_with_unbounded_integers(parts: tuple[int, ...]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert int(seeds.mix(*parts)) == splitmix64(*parts)


def test_broadcasts() -> None:
    rows, columns = np.arange(3)[:, None], np.arange(4)
    table = seeds.mix(7, rows, 1, columns)
    assert table.shape == (3, 4)
    assert table.dtype == np.uint64
    assert int(table[2, 3]) == splitmix64(7, 2, 1, 3)


def test_neighbours_are_different_and_torch_takes_them() -> None:
    """2^63 is the largest seed of every generator here; 160,000 neighbouring inputs give as many seeds."""
    table = seeds.mix(0, np.arange(400)[:, None], np.arange(400))
    assert len(np.unique(table)) == table.size
    assert int(table.max()) < 2**63


def test_bits_of_neighbours_are_unrelated() -> None:
    """Raising the last part by one flips each of the 63 bits in about half of the cases."""
    table = seeds.mix(0, np.arange(4001))
    flips = table[1:] ^ table[:-1]
    share = np.array([((flips >> np.uint64(bit)) & np.uint64(1)).mean() for bit in range(63)])
    assert np.abs(share - 0.5).max() < 0.05


def test_order_of_the_parts_matters() -> None:
    assert int(seeds.mix(1, 2)) != int(seeds.mix(2, 1))


def test_uses_of_a_seed_share_no_numbers() -> None:
    """Noise of (step, task, example) and dropout of (step, rank, share) start from different seeds for the same numbers."""
    steps, a, b = np.arange(20)[:, None, None], np.arange(4)[:, None], np.arange(64)
    noise = seeds.mix(0, seeds.NOISE, steps, a, b)
    dropout = seeds.mix(0, seeds.DROPOUT, steps, a, b)
    assert not np.intersect1d(noise, dropout).size
