"""Pickles in weights do not run: the file is refused."""

import io
import pickle
import zipfile

import numpy as np
import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network


class Payload:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return exec, (f"open({str(self.mark)!r}, 'w').close()",)


def _objects(mark):
    """An array of objects, as numpy saves it: by pickle."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([Payload(mark)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def _zipped(mark):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("W1.npy", _objects(mark))
    return buffer.getvalue()


def _pickled(mark):
    return pickle.dumps(Payload(mark))


@pytest.mark.parametrize("make", [_objects, _zipped, _pickled])
def test_weights_with_a_pickle_are_refused_and_it_does_not_run(make, tmp_path):
    mark = tmp_path / "mark"
    path = tmp_path / "w.npz"
    path.write_bytes(make(mark))
    with pytest.raises(UsageError, match=r"w\.npz is not an \.npz of plain arrays"):
        build_network({"name": "chain", "layers": "Chain(Dense(2,1))", "weights": str(path)})
    assert not mark.exists()
    np.load(path, allow_pickle=True)["W1"] if make is _zipped else np.load(path, allow_pickle=True)
    assert mark.exists()  # it would have
