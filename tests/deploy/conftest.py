import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def definitions():
    """The folder of KubeRay's published definitions."""
    folder = os.environ.get("HYPERDIAG_KUBERAY_CRDS")
    if not folder:
        pytest.skip("HYPERDIAG_KUBERAY_CRDS names no folder with KubeRay's definitions")
    return Path(folder)
