"""Every custom resource that deploy/kubernetes renders, against KubeRay's published definitions."""

import copy
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from .crd import faults
from .kustomize import render

KUBERNETES = Path(__file__).parents[2] / "deploy/kubernetes"
FOLDERS = sorted(
    str(path.parent.relative_to(KUBERNETES)) for path in KUBERNETES.rglob("kustomization.yaml")
)
CUSTOM = ("RayCluster", "RayJob", "RayCronJob")


def _cluster(thing):
    spec = thing["spec"]["jobTemplate"] if thing["kind"] == "RayCronJob" else thing["spec"]
    metadata = {"name": thing["metadata"]["name"]}
    spec = spec["rayClusterSpec"]
    return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize("folder", FOLDERS)
def test_custom_resources_are_what_their_definitions_say(folder, definitions):
    things = [thing for thing in render(KUBERNETES / folder) if thing["kind"] in CUSTOM]
    assert things
    for thing in things:
        assert faults(thing, definitions) == []
        assert faults(_cluster(thing), definitions) == []


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl here to compare with")
@pytest.mark.parametrize("folder", FOLDERS)
def test_rendering_is_that_of_kubectl(folder):
    done = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES / folder], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert _sorted(yaml.safe_load_all(done.stdout)) == _sorted(render(KUBERNETES / folder))


def _sorted(things):
    return sorted(things, key=lambda thing: (thing["kind"], thing["metadata"]["name"]))


def _run():
    (thing,) = [one for one in render(KUBERNETES / "overlays/gpu") if one["kind"] == "RayJob"]
    return thing


def _misspell(at, right, wrong):
    def spoil(thing):
        for key in at:
            thing = thing[key]
        thing[wrong] = thing.pop(right)

    return spoil


_WORKERS = ("spec", "rayClusterSpec", "workerGroupSpecs", 0)
_POD = (*_WORKERS, "template", "spec")
SPOILT = {
    "a misspelt field": _misspell(("spec",), "shutdownAfterJobFinishes", "shutdownAfterJobFinish"),
    "a misspelt field of a list": _misspell(_WORKERS, "replicas", "replica"),
    "a misspelt field deep in a pod": _misspell((*_POD, "tolerations", 0), "effect", "effects"),
    "a field of another place": lambda one: one["spec"].update(rayVersion="2.60.0"),
    "a word for a number": lambda one: one["spec"].update(ttlSecondsAfterFinished="60"),
    "a number for text": lambda one: one["spec"]["rayClusterSpec"].update(rayVersion=2.60),
    "a value that is none of the known": lambda one: one["spec"]["rayClusterSpec"].update(
        authOptions={"mode": "tokens"}
    ),
    "no head": lambda one: one["spec"]["rayClusterSpec"].pop("headGroupSpec"),
    "a container twice": lambda one: one["spec"]["rayClusterSpec"]["workerGroupSpecs"][0][
        "template"
    ]["spec"]["containers"].append(
        copy.deepcopy(
            one["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][
                0
            ]
        )
    ),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_fault_in_a_manifest_is_found(fault, definitions):
    thing = _run()
    assert faults(thing, definitions) == []
    SPOILT[fault](thing)
    assert len(faults(thing, definitions)) == 1
