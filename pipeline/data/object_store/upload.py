"""Uploads to object stores, which appear whole or not at all."""

import ctypes
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from pyarrow import fs

from .conditional import ConditionalStore

_PIECE_BYTES = 20 << 20  # two of pyarrow's parts: what an upload holds in memory, twice


def upload(filesystem: fs.FileSystem, path: str, content: IO[bytes]) -> None:
    """Write the rest of an open file to an object, which appears once all of it has arrived.

    Raises:
        OSError: if it has not; an object that was there before is still there then.
    """
    # In a thread, which no signal's exception can leave between the first byte and the last.
    uploader = ThreadPoolExecutor(1)
    try:
        uploader.submit(_upload, filesystem, path, content).result()
    finally:
        uploader.shutdown(wait=False)


def _upload(filesystem: fs.FileSystem, path: str, content: IO[bytes]) -> None:
    if filesystem.type_name == "abfs":  # where a stream's file appears when it is opened
        ConditionalStore(filesystem, path).put(path, content)
        return
    stream = filesystem.open_output_stream(path)
    try:
        while piece := content.read(_PIECE_BYTES):
            stream.write(piece)
            stream.flush()  # or all parts of a large file would wait in memory
    except BaseException:
        # pyarrow 26.0.1 has no way to abort an upload, and completes it whenever its stream is
        # closed, by the garbage collector too: a torn one is never to be collected, not even at the
        # very end.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(stream))
        raise
    stream.close()
