"""The environment that Ray is imported in, which reads it then and never again."""

import subprocess
import sys

_CODE = """
import os, sys
import hyperdiag.run.derive, hyperdiag.run.forecast.forecast
from hyperdiag.run.cluster.ray_environment import prepare_ray
prepare_ray()
names = ("RAY_gcs_rpc_server_reconnect_timeout_s", "RAY_gcs_server_request_timeout_seconds")
print("ray" in sys.modules, *(os.environ[name] for name in names))
"""


def test_ray_waits_a_day_for_its_gcs_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "77")
    monkeypatch.delenv("RAY_gcs_server_request_timeout_seconds", raising=False)
    said = subprocess.run(
        [sys.executable, "-c", _CODE], stdout=subprocess.PIPE, text=True, check=True, timeout=60
    ).stdout
    assert said == "False 77 86400\n"
