"""How the bytes of a valid Parquet file are damaged, each way by a seed."""

import struct
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Rng = np.random.Generator

_MAGIC = b"PAR1"


def _footer_start(content: bytes) -> int:
    return len(content) - 8 - struct.unpack("<I", content[-8:-4])[0]


def _chunks(content: bytes) -> list[tuple[int, int]]:
    """Where each column chunk begins and ends."""
    metadata = pq.read_metadata(pa.BufferReader(content))
    found = []
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            if start:  # there are none without rows
                found.append((start, start + chunk.total_compressed_size))
    return found or [(4, _footer_start(content))]


def _flipped(content: bytes, rng: Rng, low: int, high: int, most: int) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.integers(1, most + 1)):
        place = rng.integers(low, max(high, low + 1))
        kind = rng.integers(4)
        if kind == 0:
            damaged[place] ^= 1 << rng.integers(8)
        elif kind == 1:
            damaged[place] = rng.integers(256)
        elif kind == 2:  # the ends of variable-length integers
            damaged[place] = rng.choice([0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF])
        else:
            damaged[place] = (damaged[place] + rng.choice([-2, -1, 1, 2])) % 256
    return bytes(damaged)


def flip_anywhere(content: bytes, rng: Rng) -> bytes:
    return _flipped(content, rng, 0, len(content), 8)


def flip_magic(content: bytes, rng: Rng) -> bytes:
    low = int(rng.choice([0, len(content) - 4]))
    return _flipped(content, rng, low, low + 4, 2)


def flip_pages(content: bytes, rng: Rng) -> bytes:
    return _flipped(content, rng, 4, _footer_start(content), 8)


def flip_page_header(content: bytes, rng: Rng) -> bytes:
    chunks = _chunks(content)
    start, end = chunks[rng.integers(len(chunks))]
    return _flipped(content, rng, start, min(start + 30, end), 2)


def flip_footer(content: bytes, rng: Rng) -> bytes:
    return _flipped(content, rng, _footer_start(content), len(content) - 8, 3)


def flip_one_bit_of_footer(content: bytes, rng: Rng) -> bytes:
    damaged = bytearray(content)
    damaged[rng.integers(_footer_start(content), len(content) - 8)] ^= 1 << rng.integers(8)
    return bytes(damaged)


def change_a_count(content: bytes, rng: Rng) -> bytes:
    """Change a number of rows, values or bytes, or an offset: 64-bit fields of the footer."""
    damaged, start = bytearray(content), _footer_start(content)
    fields = [i + 1 for i in range(start, len(content) - 9) if content[i] in (0x16, 0x26)]
    for place in rng.choice(fields, rng.integers(1, 3)):
        # Keeps the bit that tells whether another byte follows, and the sign.
        damaged[place] ^= 2 << rng.integers(6)
    return bytes(damaged)


def truncate(content: bytes, rng: Rng) -> bytes:
    return content[: rng.integers(len(content))]


def truncate_keep_footer(content: bytes, rng: Rng) -> bytes:
    """Lose part of the pages: every offset in the footer is wrong from there on."""
    start = _footer_start(content)
    low, high = sorted(rng.integers(4, start + 1, 2))
    return content[:low] + content[high:]


def fill_range(content: bytes, rng: Rng) -> bytes:
    low = rng.integers(len(content))
    size = min(int(rng.integers(1, 1 << rng.integers(1, 14))), len(content) - low)
    return content[:low] + bytes([rng.choice([0, 0, 0xFF])]) * size + content[low + size :]


def fill_range_of_pages(content: bytes, rng: Rng) -> bytes:
    low, high = sorted(rng.integers(4, _footer_start(content) + 1, 2))
    return content[:low] + bytes(high - low) + content[high:]


def duplicate_bytes(content: bytes, rng: Rng) -> bytes:
    low = rng.integers(len(content))
    size = rng.integers(1, 1 << rng.integers(1, 12))
    return content[:low] + content[low : low + size] + content[low:]


def insert_bytes(content: bytes, rng: Rng) -> bytes:
    low = rng.integers(len(content))
    return content[:low] + rng.bytes(rng.integers(1, 1 << rng.integers(1, 10))) + content[low:]


def swap_chunks(content: bytes, rng: Rng) -> bytes:
    """Exchange two column chunks; where they differ in size, all between them moves."""
    chunks = _chunks(content)
    (a, b), (c, d) = sorted(chunks[i] for i in rng.integers(len(chunks), size=2))
    if b > c:
        return flip_pages(content, rng)
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def copy_chunk_over(content: bytes, rng: Rng) -> bytes:
    """Write the start of one column chunk over another: whole pages of the wrong column."""
    chunks = _chunks(content)
    (a, b), (c, d) = (chunks[i] for i in rng.integers(len(chunks), size=2))
    size = min(b - a, d - c)
    return content[:c] + content[a : a + size] + content[c + size :]


def footer_length(content: bytes, rng: Rng) -> bytes:
    true = len(content) - 8 - _footer_start(content)
    near = max(true + int(rng.integers(-20, 21)), 0)
    length = rng.choice([0, 1, near, len(content) - 8, len(content), 2**31 - 1, 2**31, 2**32 - 1])
    return content[:-8] + struct.pack("<I", length) + content[-4:]


def garbage(content: bytes, rng: Rng) -> bytes:
    """Random bytes between the magics, their footer's length right or not."""
    noise = rng.bytes(rng.integers(0, 4000))
    length = rng.choice([len(noise), len(noise) // 2, rng.integers(2**32)])
    return _MAGIC + noise + struct.pack("<I", length) + _MAGIC


def garbage_footer(content: bytes, rng: Rng) -> bytes:
    start = _footer_start(content)
    return content[:start] + rng.bytes(len(content) - 8 - start) + content[-8:]


def encrypted_magic(content: bytes, rng: Rng) -> bytes:
    return b"PARE" + content[4:-4] + b"PARE"


def glue(content: bytes, rng: Rng) -> bytes:
    """Append the file, or part of it, to itself."""
    return content + content[rng.integers(len(content)) * rng.integers(2) :]


MUTATIONS: dict[str, Callable[[bytes, Rng], bytes]] = {
    mutation.__name__: mutation
    for mutation in (
        flip_anywhere,
        flip_magic,
        flip_pages,
        flip_page_header,
        flip_footer,
        flip_one_bit_of_footer,
        change_a_count,
        truncate,
        truncate_keep_footer,
        fill_range,
        fill_range_of_pages,
        duplicate_bytes,
        insert_bytes,
        swap_chunks,
        copy_chunk_over,
        footer_length,
        garbage,
        garbage_footer,
        encrypted_magic,
        glue,
    )
}
# The deep ones more often: the others are found out at once, by their magic or their offsets.
WEIGHTS = {
    "flip_pages": 4,
    "flip_page_header": 4,
    "flip_footer": 5,
    "flip_one_bit_of_footer": 5,
    "change_a_count": 3,
    "fill_range_of_pages": 2,
    "copy_chunk_over": 2,
    "flip_magic": 0.5,
    "encrypted_magic": 0.3,
    "garbage": 0.5,
}


def any_mutation(rng: Rng) -> str:
    names = list(MUTATIONS)
    weights = np.array([WEIGHTS.get(name, 1) for name in names], float)
    return str(rng.choice(names, p=weights / weights.sum()))
