"""deploy/local-cluster.sh: a real cluster, a run on it, and nothing left of it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from tests.ray_head import free_port

SCRIPT = Path(__file__).parents[2] / "deploy/local-cluster.sh"
NETWORK = [
    *("network=chain", "network.layers='Chain(Dense(2,3,tanh), Dense(3,1))'"),
    *("dataset.ranges={x1: [0,1], x2: [0,1]}", "dataset.rows=400", "dataset.shard_rows=100"),
    *("derivatives.method=hyperdual", "derivatives.tile=8"),
]


@pytest.fixture
def cluster():
    """Call the script, with a folder and ports of its own."""
    folder = Path(tempfile.mkdtemp(prefix="hd-"))  # short, since it holds sockets
    settings = {
        "HYPERDIAG_CLUSTER_DIR": str(folder / "c"),
        "HYPERDIAG_CLUSTER_PORT": str(free_port(neighbours=3)),
        "HYPERDIAG_CLUSTER_DASHBOARD_PORT": str(free_port()),
        "RAY": str(Path(sys.executable).with_name("ray")),
    }

    def call(command, **more):
        return subprocess.run(
            [SCRIPT, command],
            env=os.environ | settings | more,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    call.settings = settings
    yield call
    call("down")
    shutil.rmtree(folder, ignore_errors=True)


def _those_of(cluster):
    """Return the processes whose command line names the cluster's folder."""
    folder = cluster.settings["HYPERDIAG_CLUSTER_DIR"]
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(folder in word for word in process.info["cmdline"] or ()):
            found.append(process.pid)
    return found


@pytest.mark.slow
def test_local_cluster_derives_and_goes_without_a_trace(cluster, hyperdiag, invoke, tmp_path):
    # Another's Ray, to all appearances.
    bystander = subprocess.Popen(
        ["bash", "-c", "exec -a 'ray start --head --block' sleep 600"], start_new_session=True
    )
    try:
        up = cluster("up")
        assert up.returncode == 0, up.stderr
        status = cluster("status")
        assert status.returncode == 0
        assert [line.partition(":")[0] for line in status.stdout.splitlines()] == [
            *("head", "node1", "node2")
        ]
        (address,) = [word for word in up.stdout.split() if word.startswith("cluster.address=")]
        done = hyperdiag("derive", *NETWORK, "output.path=out", "cluster=existing", address)
        assert done.returncode == 0, done.stderr
        again = cluster("up")
        assert again.returncode == 2
        assert "a cluster of yours is up" in again.stderr
        assert _those_of(cluster)

        down = cluster("down")
        assert down.returncode == 0, down.stderr
        assert _those_of(cluster) == []
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert cluster("status").returncode == 1
    assert not Path(cluster.settings["HYPERDIAG_CLUSTER_DIR"]).exists()

    done = invoke("derive", *NETWORK, "output.path=here", "cluster=inline")
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "here/data").iterdir())
    assert len(files) == 4
    for file in files:
        assert file.read_bytes() == (tmp_path / "out/data" / file.name).read_bytes()


def test_local_cluster_that_does_not_start_says_why_and_leaves_nothing(cluster, tmp_path):
    ray = tmp_path / "ray"
    ray.write_text("#!/bin/sh\necho 'no room on this machine'\nexit 1\n")
    ray.chmod(0o755)
    up = cluster("up", RAY=str(ray))
    assert up.returncode == 1
    assert "node head did not start" in up.stderr
    assert "no room on this machine" in up.stderr
    assert not Path(cluster.settings["HYPERDIAG_CLUSTER_DIR"]).exists()


def test_local_cluster_whose_head_ends_after_it_started_says_so(cluster, tmp_path):
    ray = tmp_path / "ray"
    ray.write_text(
        """#!/bin/sh
        case "$*" in
          *--head*) echo 'Ray runtime started'; sleep 1; echo 'no port for me'; exit 1 ;;
          *) exec sleep 600 ;;
        esac
        """
    )
    ray.chmod(0o755)
    up = cluster("up", RAY=str(ray), RAY_AUTH_TOKEN="0" * 64)
    assert up.returncode == 1
    assert "node head did not start" in up.stderr
    assert "no port for me" in up.stderr
    assert not Path(cluster.settings["HYPERDIAG_CLUSTER_DIR"]).exists()


def test_local_cluster_without_ray_or_with_a_wrong_word_says_what_to_do(cluster):
    up = cluster("up", RAY="no-such-ray")
    assert up.returncode == 2
    assert "no command 'no-such-ray'" in up.stderr
    assert cluster("start").returncode == 2


def test_local_cluster_leaves_a_folder_alone_that_it_did_not_make(cluster):
    folder = Path(cluster.settings["HYPERDIAG_CLUSTER_DIR"])
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    # As if of a node, in a file of that name that is another's.
    bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        began = Path(f"/proc/{bystander.pid}/stat").read_text().rpartition(")")[2].split()[19]
        (folder / "head.node").write_text(f"{bystander.pid} {began}\n")
        up = cluster("up")
        assert up.returncode == 2
        assert f"{folder} was not made by this script" in up.stderr
        assert "give another HYPERDIAG_CLUSTER_DIR" in up.stderr
        assert " down" not in up.stderr
        down = cluster("down")
        assert down.returncode == 2
        assert f"{folder} is no folder of this script" in down.stderr
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert (folder / "thesis.tex").read_text() == "years of work"
    assert cluster("status").returncode == 1


def test_local_cluster_whose_up_was_killed_at_once_goes_down(cluster, tmp_path):
    ray = tmp_path / "ray"
    ray.write_text("#!/bin/sh\nkill -KILL $PPID\n")
    ray.chmod(0o755)
    # It asks for a token before it starts anything.
    home = {"HOME": str(tmp_path), "RAY_AUTH_TOKEN": "", "RAY_AUTH_TOKEN_PATH": ""}
    assert cluster("up", RAY=str(ray), **home).returncode == -signal.SIGKILL
    folder = Path(cluster.settings["HYPERDIAG_CLUSTER_DIR"])
    assert folder.exists()
    assert "First: " in cluster("up").stderr
    assert cluster("down").returncode == 0
    assert not folder.exists()


def test_what_local_cluster_starts_finds_the_commands_beside_ray(cluster, tmp_path):
    """A submitted job says `python`, and means that of the cluster's environment."""
    bin = tmp_path / "an environment/bin"
    bin.mkdir(parents=True)
    (bin / "python").write_text("#!/bin/sh\necho this is the one beside ray\n")
    (bin / "ray").write_text("#!/bin/sh\npython --version\nexit 1\n")
    for command in bin.iterdir():
        command.chmod(0o755)
    up = cluster("up", RAY=str(bin / "ray"), RAY_AUTH_TOKEN="0" * 64)
    assert "this is the one beside ray" in up.stderr


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck here")
def test_shellcheck_finds_nothing():
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True, check=False)
    assert done.stdout == ""
