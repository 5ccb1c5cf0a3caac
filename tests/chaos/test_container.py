"""The image of deploy/Containerfile: built step by step, and run as KubeRay runs it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from .container import ROOT, build_script, in_namespaces, run_script

pytestmark = pytest.mark.chaos
TEXT = (ROOT / "deploy/Containerfile").read_text()


def _can_be_done_here():
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        script = (
            f"cd {folder} && mkdir u w r && mount -t overlay o -o lowerdir=/,upperdir=u,workdir=w r"
        )
        return in_namespaces(script, False, 20).returncode == 0


@pytest.fixture(scope="module")
def image():
    """What the container file's last stage says, its steps having been carried out."""
    if sys.platform != "linux" or os.geteuid() != 0 or not _can_be_done_here():
        pytest.skip("needs Linux, root, and overlays in a mount namespace")
    folder = Path(tempfile.mkdtemp(prefix="hd-image-", dir="/var/tmp"))
    script, settings = build_script(folder, TEXT)
    try:
        done = in_namespaces(script, True, 1500)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        yield settings
    finally:
        shutil.rmtree(folder)


def _run(image, command, seconds=300):
    done = in_namespaces(run_script(image, command), False, seconds)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_image_says_how_it_is_run(image):
    assert image["USER"] == "10001:10001"
    assert image["ENTRYPOINT"] == '["hyperdiag"]'
    assert "python:${PYTHON}-slim" in TEXT
    said = _run(image, "id -u; ! touch /x ~hyperdiag/x 2>/dev/null; hyperdiag --help")
    assert said.startswith("10001\nusage: hyperdiag <job>")


def test_image_holds_what_the_constraints_pin_and_nothing_that_writes_or_hides(image):
    lister = (
        "import importlib.metadata as m, re;"
        "[print(re.sub('[-_.]+', '-', d.name).lower(), d.version) for d in m.distributions()]"
    )
    held = dict(line.split() for line in _run(image, f'python -c "{lister}"').splitlines())
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        pinned[re.sub("[-_.]+", "-", name).lower()] = version
    assert held.pop("hyperdiag")
    assert "pip" not in held
    loose = {name: version for name, version in held.items() if pinned.get(name) != version}
    assert loose == {}
    # Nothing in it can be written by the one who runs it, nor has a secret's name.
    found = _run(
        image, r"find /opt/hyperdiag -writable ! -type l -o -name '.env*' -o -name '*.key'"
    )
    assert found == ""


def test_image_derives_by_itself(image):
    said = _run(
        image,
        "hyperdiag derive dataset.rows=2000 cluster.workers=1 output.path=/tmp/out && "
        "test -e /tmp/out/_SUCCESS",
    )
    assert "2,000 rows read: 2,000 derived, 0 quarantined" in said


def test_image_is_what_kuberay_needs(image):
    """Head, probe, submitter and entry point, with the commands that KubeRay makes."""
    task = (ROOT / "deploy/kubernetes/base/task.yaml").read_text()
    task = task.replace("dataset: parquet", "dataset: design").replace(
        "s3://example-bucket", "/tmp"
    )
    task = re.sub(r"dataset:\n  path: .*", "dataset:\n  rows: 2000", task)
    probe = (
        'python -c "import urllib.request; '
        "r=urllib.request.urlopen('http://127.0.0.1:{}', timeout=5); "
        "exit(0 if b'success' in r.read() else 1)\""
    )
    said = _run(
        image,
        f"""
        set -e
        export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=0123456789abcdef0123456789abcdef
        mkdir /tmp/etc; cat > /tmp/etc/task.yaml <<'SITE'
{task}
SITE
        # The login shell of an operator that is told to use one.
        bash -lc 'command -v ray hyperdiag'
        ulimit -n 4096; ray start --head --num-cpus=1 --object-store-memory=200000000 \
            --dashboard-host=0.0.0.0 --dashboard-agent-listen-port=52365
        ray health-check --address 127.0.0.1:6379
        until {probe.format("52365/api/healthz")}; do sleep 1; done
        until {probe.format("8265/api/gcs_healthz")}; do sleep 1; done
        ray job submit --address http://127.0.0.1:8265 --submission-id once -- \
            hyperdiag derive --config-dir /tmp/etc --config-name task run.date=2026-11-23
        test -e /tmp/derivatives/_SUCCESS
        """,
        seconds=400,
    )
    assert "/opt/hyperdiag/bin/ray" in said
    assert "2,000 rows read: 2,000 derived, 0 quarantined" in said
    assert "Job 'once' succeeded" in said


def test_cuda_variant_can_be_resolved_with_the_constraints(tmp_path):
    # Its wheels are gigabytes: which they would be is asked, not more.
    (wanted,) = re.findall(r"--build-arg EXTRAS=(\S+)", TEXT)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "v"], check=True)
    done = subprocess.run(
        [
            *(tmp_path / "v/bin/python", "-m", "pip", "install", "--dry-run", "--quiet"),
            *("--report", tmp_path / "report.json", "-c", ROOT / "constraints.txt"),
            f"{ROOT}[{wanted}]",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "jax-cuda13-plugin" in (tmp_path / "report.json").read_text()
