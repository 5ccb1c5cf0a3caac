"""Of a weight file no more is read than is expected, whatever it claims."""

import io
import resource
import struct
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network

_BOMB = 256 << 20  # bytes that a quarter of a megabyte unpacks to


def _npy(header, version=(1, 0), rest=b""):
    length = struct.pack("<H" if version == (1, 0) else "<I", len(header))
    return b"\x93NUMPY" + bytes(version) + length + header + rest


def _described(descr, shape):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()


def _zeros(number):
    """Yield some bytes of zeros, a megabyte at a time."""
    for _ in range(number >> 20):
        yield bytes(1 << 20)


def _array(shape):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(shape))
    return buffer.getvalue()


# What W1 of Dense(2, 1) is, as pieces of bytes.
_HOSTILE = {
    "bomb": lambda: [_npy(_described("'<f8'", (1 << 25,))), *_zeros(_BOMB)],
    "bomb of the right shape": lambda: [_array((1, 2)), *_zeros(_BOMB)],
    "huge shape": lambda: [_npy(_described("'<f8'", (1 << 40,)))],
    "huge number": lambda: [_npy(_described("'|V2147483647'", (1, 2)))],
    "long header": lambda: [_npy(b"(" * 60_000)],
    "header of a quarter of a gigabyte": lambda: [
        b"\x93NUMPY\x02\x00" + struct.pack("<I", _BOMB),
        *_zeros(_BOMB),
    ],
    "no more than claimed": lambda: [_npy(_described("'<f8'", (1, 2)))],
    "objects": lambda: [_npy(_described("'|O'", (1, 2)))],
    "record": lambda: [_npy(_described("[('a', '<f8', (1000000, 1000))]", (1, 2)))],
    "negative shape": lambda: [_npy(_described("'<f8'", (-1, 2)))],
}

_BUILD = """
    import resource, sys
    from hyperdiag.messages.errors import UsageError
    from hyperdiag.networks import build_network
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in sys.argv[1:]:
        try:
            build_network({"name": "chain", "layers": "Chain(Dense(2,1))", "weights": path})
        except UsageError as error:
            print(error.problems[0])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_hostile_weights_are_refused_in_little_memory(tmp_path):
    paths = []
    for name, pieces in _HOSTILE.items():
        paths.append(str(tmp_path / f"{name}.npz"))
        with zipfile.ZipFile(paths[-1], "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            file.writestr("b1.npy", _array((1,)))
            with file.open("W1.npy", "w", force_zip64=True) as stream:
                for piece in pieces():
                    stream.write(piece)
    plain = tmp_path / "plain.npy"
    plain.write_bytes(_npy(_described("'<f8'", (1 << 40,))))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_BUILD), *paths, str(plain)],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    *complaints, kilobytes = done.stdout.splitlines()
    assert len(complaints) == len(paths) + 1, done.stdout + done.stderr
    for path, complaint in zip([*paths, plain], complaints, strict=True):
        assert str(path) in complaint
    assert "unpacks to 268 MB, and 2 numbers are expected" in complaints[0]
    assert int(kilobytes) < 100_000


def test_layers_that_no_machine_has_memory_for_are_refused():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UsageError, match=r"its parameters need 8e\+03 PB, and this"):
        build_network({"name": "chain", "layers": "Chain(Dense(1000000000, 1000000000))"})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize(
    "text", ["(" * 100_000, "-" * 100_000 + "1", "Chain(" + "Dense(" * 1000, "Chain(\0)"]
)
def test_layers_that_no_parser_takes_are_refused(text):
    with pytest.raises(UsageError, match=r"network\.layers reads like Chain"):
        build_network({"name": "chain", "layers": text})
