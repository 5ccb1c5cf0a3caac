"""What the manifests say of each other, of the container file, and of hyperdiag itself."""

import re
import shlex
import tomllib
import zoneinfo
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hydra import compose, initialize_config_dir

from hyperdiag.config.schema import load_config
from hyperdiag.jobs._command import CONFIG_DIR

from .crd import faults
from .kustomize import render
from .test_crds import FOLDERS, KUBERNETES

ROOT = KUBERNETES.parents[1]
DAY = "2026-11-23"


def _things(folder, kind):
    return [thing for thing in render(KUBERNETES / folder) if thing["kind"] == kind]


def _spec(folder):
    """Return the RayJob's specification, or that of the RayJobs that a RayCronJob makes."""
    for thing in render(KUBERNETES / folder):
        if thing["kind"] == "RayJob":
            return thing["spec"]
        if thing["kind"] == "RayCronJob":
            return thing["spec"]["jobTemplate"]
    raise AssertionError(folder)


def _pods(folder):
    """Yield the name and the specification of every pod there will be."""
    spec = _spec(folder)
    yield "submitter", spec["submitterPodTemplate"]["spec"]
    cluster = spec["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        yield group.get("groupName", "head"), group["template"]["spec"]
    for cron in _things(folder, "CronJob"):
        yield "nightly", cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_pod_is_locked_down_and_takes_no_more_than_it_asks_for(folder):
    (uid,) = re.findall(r"^USER (\d+):\d+$", (ROOT / "deploy/Containerfile").read_text(), re.M)
    for name, pod in _pods(folder):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == int(uid)
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"] == container["resources"]["requests"]
        volumes = [volume["name"] for volume in pod["volumes"]]
        assert sorted(volumes) == sorted(mount["name"] for mount in container["volumeMounts"])


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_a_pod_names_exists(folder):
    maps = {thing["metadata"]["name"] for thing in _things(folder, "ConfigMap")}
    accounts = {thing["metadata"]["name"] for thing in _things(folder, "ServiceAccount")}
    secret = yaml.safe_load((KUBERNETES / "secret.example.yaml").read_text())
    assert set(secret["stringData"].values()) == {"fill-me-in"}
    named = set()
    for _, pod in _pods(folder):
        for volume in pod["volumes"]:
            if "configMap" in volume:
                named.add(volume["configMap"]["name"])
        for source in pod["containers"][0].get("envFrom", []):
            assert source["secretRef"]["name"] == secret["metadata"]["name"]
        assert pod.get("serviceAccountName") in accounts | {None}
    assert named == maps


@pytest.mark.parametrize("folder", FOLDERS)
def test_all_pods_run_one_image_of_the_version_and_with_the_ray_that_is_tested(folder):
    (image,) = {pod["containers"][0]["image"] for _, pod in _pods(folder)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    variant = "-cuda" if folder == "overlays/gpu" else ""
    assert image == f"registry.example.com/hyperdiag:{project['version']}{variant}"
    cluster = _spec(folder)["rayClusterSpec"]
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    assert f"ray=={cluster['rayVersion']}" in constraints
    label = f'org.opencontainers.image.version="{project["version"]}"'
    assert label in (ROOT / "deploy/Containerfile").read_text()


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_idle_is_paid_for(folder):
    spec = _spec(folder)
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] <= 300
    assert spec["activeDeadlineSeconds"] > 0
    cluster = spec["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    if cluster.get("enableInTreeAutoscaling"):
        assert group["replicas"] == group["minReplicas"] == 0 < group["maxReplicas"]
        assert cluster["autoscalerOptions"]["idleTimeoutSeconds"] <= 300
    else:
        assert group["replicas"] == group["minReplicas"] == group["maxReplicas"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_manifest_keeps_the_rules_of_the_operator_that_its_definition_does_not_tell(folder):
    spec = _spec(folder)
    cluster = spec["rayClusterSpec"]
    autoscales = cluster.get("enableInTreeAutoscaling", False)
    if spec.get("suspend"):
        assert spec["shutdownAfterJobFinishes"]
        assert not autoscales  # Kueue takes runs of a fixed size
    groups = (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
    if autoscales and cluster["autoscalerOptions"]["version"] == "v2":
        assert [group["template"]["spec"]["restartPolicy"] for group in groups] == ["Never"] * 2
    # The autoscaler is a container of the head's pod, and talks to the API server.
    head = groups[0]["template"]["spec"]
    assert head["automountServiceAccountToken"] is autoscales
    for thing in render(KUBERNETES / folder):
        name = thing["metadata"]["name"]
        if thing["kind"] in ("RayJob", "RayCronJob"):
            assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
            most = 47 if thing["kind"] == "RayJob" else 36
            assert len(f"{name}-{DAY}") <= most


@pytest.mark.parametrize("folder", FOLDERS)
def test_workers_fit_the_pods(folder):
    group = _spec(folder)["rayClusterSpec"]["workerGroupSpecs"][0]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["cpu"].isdigit()  # a worker for each core: whole ones
    task = yaml.safe_load(_things(folder, "ConfigMap")[0]["data"]["task.yaml"])["cluster"]
    gpus = int(limits.get("nvidia.com/gpu", 0))
    assert task.get("gpus_per_worker", 0) == gpus
    if gpus:  # no core beside a GPU is idle, and a worker fits
        assert task["cpus_per_worker"] * gpus == int(limits["cpu"])
    if task.get("autoscales"):
        assert task["workers"] == group["maxReplicas"]
    head = _spec(folder)["rayClusterSpec"]["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"


_UNITS = {"Mi": 2**20, "Gi": 2**30}


def _bytes(quantity):
    return int(quantity[:-2]) * _UNITS[quantity[-2:]]


def test_object_store_of_gpu_workers_fits_the_shared_memory_of_their_pods():
    group = _spec("overlays/gpu")["rayClusterSpec"]["workerGroupSpecs"][0]
    pod = group["template"]["spec"]
    (container,) = pod["containers"]
    (mount,) = [one for one in container["volumeMounts"] if one["mountPath"] == "/dev/shm"]
    (volume,) = [one["emptyDir"] for one in pod["volumes"] if one["name"] == mount["name"]]
    assert volume["medium"] == "Memory"
    store, shared = int(group["rayStartParams"]["object-store-memory"]), _bytes(volume["sizeLimit"])
    assert 2 * store < shared
    # What is in shared memory counts as the container's.
    limits = container["resources"]["limits"]
    assert shared + int(limits["cpu"]) * 3 * 2**30 < _bytes(limits["memory"])


def test_queued_run_names_its_queue_and_waits():
    (thing,) = _things("overlays/kueue", "RayJob")
    assert thing["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "hyperdiag"
    assert thing["spec"]["suspend"] is True
    # The template of the nightly runs must not be started by a queue.
    (template,) = _things("nightly/cronjob", "RayJob")
    assert template["spec"]["suspend"] is True
    assert "kueue.x-k8s.io/queue-name" not in template["metadata"]["labels"]


def test_gpu_workers_ask_for_a_spot_node_of_any_of_the_platforms():
    group = _spec("overlays/gpu")["rayClusterSpec"]["workerGroupSpecs"][0]
    pod = group["template"]["spec"]
    tolerated = {one["key"] for one in pod["tolerations"]}
    assert "nvidia.com/gpu" in tolerated
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    terms = required["nodeSelectorTerms"]  # alternatives
    asked = {rule["key"] for term in terms for rule in term["matchExpressions"]}
    assert all(len(term["matchExpressions"]) == 1 for term in terms)
    assert tolerated - {"nvidia.com/gpu"} < asked


def test_cronjob_is_sound(definitions):
    (cron,) = _things("nightly/cronjob", "CronJob")
    assert (cron["apiVersion"], set(cron)) == (
        "batch/v1",
        {"apiVersion", "kind", "metadata", "spec"},
    )
    spec = cron["spec"]
    assert set(spec) == {
        *("schedule", "timeZone", "concurrencyPolicy", "startingDeadlineSeconds"),
        *("successfulJobsHistoryLimit", "failedJobsHistoryLimit", "jobTemplate"),
    }
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["timeZone"] in zoneinfo.available_timezones()
    assert len(spec["schedule"].split()) == 5
    job = spec["jobTemplate"]["spec"]
    assert set(job) == {
        *("backoffLimit", "activeDeadlineSeconds", "podFailurePolicy", "template"),
    }
    # The definition of a RayCluster holds that of a pod template.
    cluster = dict(_spec("base")["rayClusterSpec"])
    cluster["workerGroupSpecs"] = [cluster["workerGroupSpecs"][0] | {"template": job["template"]}]
    metadata = {"name": "nightly"}
    thing = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata, "spec": cluster}
    assert faults(thing, definitions) == []
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["restartPolicy"] == "Never"  # as a failure policy demands
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    script = Path(container["command"][1])
    (mount,) = container["volumeMounts"]
    assert str(script.parent) == mount["mountPath"]
    maps = {one["metadata"]["name"]: one["data"] for one in _things("nightly/cronjob", "ConfigMap")}
    assert script.name in maps[pod["volumes"][0]["configMap"]["name"]]
    (template,) = _things("nightly/cronjob", "RayJob")
    assert f"--template={template['metadata']['name']}" in container["command"]
    filled = {one["name"] for one in container["env"]}
    assert set(re.findall(r"\$\((\w+)\)", " ".join(container["command"]))) == filled


def test_nightly_job_may_do_no_more_than_it_needs():
    (account,) = _things("nightly/cronjob", "ServiceAccount")
    (role,) = _things("nightly/cronjob", "Role")
    (binding,) = _things("nightly/cronjob", "RoleBinding")
    assert role["rules"] == [
        {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create", "get"]}
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account["metadata"]["name"]}]


def _entry_point(folder, tmp_path):
    """Return the arguments of a folder's RayJob, its own configuration being in a folder here."""
    (task,) = [
        thing["data"]["task.yaml"]
        for thing in _things(folder, "ConfigMap")
        if thing["metadata"]["name"] == "hyperdiag-task"
    ]
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/task.yaml").write_text(task)
    words = shlex.split(_spec(folder)["entrypoint"])
    # It goes through shells: nothing in it may mean anything to one.
    assert " ".join(words) == _spec(folder)["entrypoint"]
    assert words[0] == "hyperdiag"
    return [str(tmp_path / "etc") if word == "/etc/hyperdiag/task" else word for word in words[1:]]


@pytest.mark.parametrize("folder", FOLDERS)
def test_task_yaml_is_a_valid_configuration(folder, tmp_path):
    _entry_point(folder, tmp_path)
    with initialize_config_dir(str(tmp_path / "etc"), version_base="1.3"):
        ours = f"hydra.searchpath=[file://{CONFIG_DIR.resolve()}]"
        config = load_config(compose("task", [ours, f"run.date={DAY}"]))
    assert config.dataset.name == "parquet"
    assert config.cluster.name == "existing"
    assert config.output.mode == ("update" if folder.startswith("nightly") else "resume")


def test_entry_point_derives_what_task_yaml_says(invoke, tmp_path):
    rows = {name: np.linspace(0.1, 1, 20) for name in ("x1", "x2")}
    (tmp_path / "rows").mkdir()
    pq.write_table(pa.table(rows), tmp_path / "rows/a.parquet")
    done = invoke(
        *(*_entry_point("nightly/run", tmp_path), f"run.date={DAY}"),
        *(f"dataset.path={tmp_path}/rows", "output.path=out/${run.date}", "cluster.name=inline"),
        *("network=chain", "network.layers='Chain(Dense(2,3,tanh), Dense(3,1))'"),
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"out/{DAY}/_SUCCESS").exists()
