"""Samples of rows by their hashes."""

import hashlib

import numpy as np
import pytest

from hyperdiag.statistics.places import Places
from hyperdiag.statistics.sampling import Sample, row_hashes, sampled

_64_BITS = (1 << 64) - 1

MOST = 4096


def _splitmix64(seed, count):
    """Yield the generator's numbers, written with whole numbers of Python."""
    state = seed
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & _64_BITS
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _64_BITS
        yield z ^ (z >> 31)


def test_the_generator_written_here_is_the_published_one():
    # As printed in the description of the task "Pseudo-random numbers/Splitmix64".
    assert [*_splitmix64(1234567, 3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_hashes_are_numbers_of_that_generator():
    seed = int.from_bytes(hashlib.sha256(b"a.parquet").digest()[:8], "little")
    hashes = row_hashes(Places.in_file("a.parquet", np.arange(1, 6)))
    assert hashes.tolist() == [number >> 1 for number in _splitmix64(seed, 5)]


@pytest.mark.parametrize("step", [1, 3, 64])
def test_a_sample_has_its_share_of_many_small_files_too(step):
    files = tuple(f"{number:04}.parquet" for number in range(2000))
    file, row = np.repeat(np.arange(2000), 20), np.tile(np.arange(20), 2000)
    hashes = row_hashes(Places(files, file, row))
    rows = sampled(hashes, step)
    expected = hashes.size / step
    assert abs(rows.size - expected) <= 4 * np.sqrt(expected)
    # Not the first rows of all files: each row has its share.
    of_rows = np.bincount(row[rows], minlength=20)
    assert of_rows.max() <= expected / 20 + 4.5 * np.sqrt(expected / 20)
    assert np.isin(sampled(hashes, 6 * step), rows).all()


def test_the_order_of_parts_is_not_seen():
    hashes = row_hashes(Places.in_file("f", np.arange(50)))
    numbers = np.random.default_rng(0).normal(size=(50, 3))
    parts = [Sample(hashes[at], numbers[at]) for at in np.array_split(np.arange(50), 4)]
    whole, again = Sample.joined(parts, MOST), Sample.joined(parts[::-1], MOST)
    assert np.array_equal(whole.numbers, again.numbers)
    assert sorted(whole.numbers[:, 0]) == sorted(numbers[:, 0])


def test_a_sample_does_not_keep_what_was_read_with_it():
    read = bytearray(10_000)
    arrays = {
        "sample_hashes": np.frombuffer(read, np.int64, 2),
        "sample_numbers": np.frombuffer(read, np.float32, 6, 16).reshape(2, 3),
        "sample_step": np.array(4),
    }
    sample = Sample.of(arrays)
    assert not np.shares_memory(sample.numbers, arrays["sample_numbers"])
    assert not np.shares_memory(sample.hashes, arrays["sample_hashes"])


def test_of_many_rows_a_sample_keeps_some_whatever_was_joined_before():
    hashes = row_hashes(Places.in_file("f", np.arange(20 * MOST)))
    numbers = np.arange(hashes.size, dtype=np.float64)[:, None]
    parts = [Sample(hashes[at], numbers[at]) for at in np.array_split(np.arange(hashes.size), 31)]
    whole = Sample.joined(parts, MOST)
    assert MOST / 2 * 0.9 < whole.hashes.size <= MOST
    # The rows with the smallest hashes, up to a power of two.
    limit = (1 << 63) // 32
    assert sorted(whole.numbers[:, 0]) == np.flatnonzero(hashes < limit).tolist()
    in_turn = parts[0]
    for part in reversed(parts[1:]):
        in_turn = Sample.joined([in_turn, part], MOST)
    assert np.array_equal(in_turn.numbers, whole.numbers)
