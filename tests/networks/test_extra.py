"""What is said where a package is missing that a network needs."""

import subprocess
import sys

import pytest

# Modules that are None cannot be imported, as if they were not installed.
_WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None
from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network
try:
    build_network({"name": sys.argv[2], sys.argv[3]: sys.argv[4], **eval(sys.argv[5])})
except UsageError as error:
    print(error)
"""


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("package", "network", "option", "file", "others"),
    [
        ("onnx", "onnx", "path", "model.onnx", "{}"),
        ("h5py", "keras", "path", "model.keras", "{}"),
        ("safetensors", "chain", "weights", "w.safetensors", "{'layers': 'Dense(1, 1)'}"),
    ],
)
def test_missing_package_is_named_with_its_extra(package, network, option, file, others, tmp_path):
    path = tmp_path / file
    path.write_bytes(b"")
    command = [sys.executable, "-c", _WITHOUT, package, network, option, str(path), others]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    extra = "safetensors" if network == "chain" else network
    assert said == f"this network needs the package {package}: pip install 'hyperdiag[{extra}]'\n"
