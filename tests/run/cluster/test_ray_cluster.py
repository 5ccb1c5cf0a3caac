"""A Ray of our own that does not start."""

import pytest
import ray

from hyperdiag.config.schema import ClusterConfig
from hyperdiag.messages.errors import HyperdiagError
from hyperdiag.run.cluster.ray_cluster import start


def test_ray_that_does_not_start_is_said_in_a_sentence(tmp_path):
    folder = tmp_path / ("x" * 100)  # too long for Ray's sockets
    with pytest.raises(HyperdiagError, match=r"Ray does not start .*AF_UNIX.*cluster=inline"):
        start(ClusterConfig(name="local", workers=1), str(folder))
    assert not ray.is_initialized()
