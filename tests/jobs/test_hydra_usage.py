"""What who knows Hydra tries: interpolations, experiments, configurations of one's own, flags."""

import os
import subprocess
import sys

import pytest
import yaml

from hyperdiag.jobs._arguments import hydra_arguments
from hyperdiag.jobs._command import CONFIG_DIR

NOWHERE = {
    "derive": ["output.path=out/${oc.env:NOPE}"],
    "plan": ["cost.currency=${oc.env:NOPE}"],
    "submit": ["submit.address=${oc.env:NOPE}"],
    "status": ["output.path=${oc.env:NOPE}"],
    "verify": ["output.path=out", "rows=${oc.env:NOPE}"],
    "report": ["output.path=${oc.env:NOPE}"],
    "networks": ["network=chain", "network.layers=${oc.env:NOPE}"],
    "bench": ["output.path=${oc.env:NOPE}"],
    "schedule": ["action=list", "schedule.state=${oc.env:NOPE}"],
}


@pytest.mark.one_in(4)
@pytest.mark.parametrize("job", NOWHERE)
def test_interpolation_that_leads_nowhere_is_one_sentence_in_every_command(job, invoke):
    done = invoke(job, *NOWHERE[job])
    key = NOWHERE[job][-1].partition("=")[0]
    assert done.stderr == (
        f"hyperdiag: {key} needs the environment variable NOPE, which is not set; "
        "${oc.env:NOPE,other} takes other where it is not\n"
    )
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["log.level=${oc.env:NOPE}"], "log.level needs the environment variable NOPE"),
        (["run.date=${when}"], "run.date refers to when, and there is no such key"),
        (["hydra.run.dir=${oc.env:NOPE}"], "hydra.run.dir needs the environment variable NOPE"),
        (["-m", "hydra.sweep.dir=${x.y}"], "hydra.sweep.dir refers to x.y"),
        (["--cfg", "job", "--resolve", "output.path=${oc.env:NOPE}"], "variable NOPE"),
    ],
)
def test_interpolation_of_a_setting_that_is_not_the_jobs_is_one_sentence_too(
    arguments, complaint, invoke
):
    done = invoke("derive", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1


CHAIN = "Chain(Dense(2, 2, tanh), Dense(2, 1))"
BOX = "{x1: [0, 1], x2: [0, 1]}"


@pytest.fixture
def mine(tmp_path):
    """A folder of configuration of a person's own."""
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/small.yaml").write_text(
        "# @package _global_\n"
        "defaults:\n  - override /network: chain\n  - override /cluster: inline\n"
        f"network: {{layers: '{CHAIN}'}}\ndataset: {{rows: 7, ranges: {BOX}}}\n"
    )
    (tmp_path / "mine/task.yaml").write_text(
        "defaults: [derive, override network: chain, _self_]\ndataset: {rows: 5}\n"
    )
    return tmp_path / "mine"


def _composed(done):
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("job", ["derive", "plan"])
@pytest.mark.parametrize("choice", ["+experiment=small", "+experiment=[small]"])
def test_experiment_chooses_options_and_the_command_line_overrides_it(job, choice, mine, invoke):
    flags = ("--cfg", "job", f"--config-dir={mine}")
    composed = _composed(invoke(job, *flags, choice, "dataset.rows=9", "network.seed=3"))
    assert composed["network"] == {**composed["network"], "name": "chain", "layers": CHAIN}
    assert (composed["network"]["seed"], composed["cluster"]["name"]) == (3, "inline")
    assert composed["dataset"]["rows"] == 9
    done = invoke(job, *flags, choice, "network.sed=3")
    assert "unknown key 'network.sed' (closest: 'network.seed')" in done.stderr


@pytest.mark.slow
def test_experiment_is_derived(mine, invoke, tmp_path):
    done = invoke("derive", "--config-dir", mine, "+experiment=small", "output.path=out")
    assert done.returncode == 0, done.stderr
    assert "7 rows read: 7 derived" in done.stdout
    assert (tmp_path / "out/_SUCCESS").exists()


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ("+experiment=smal", "experiment=smal: no such experiment (closest: 'small')"),
        ("experiment=small", "To append to your default list use +experiment=small"),
        ("+experiment=[small,big]", "experiment=big: no such experiment"),
        ("~experiment", "Could not delete 'experiment'"),
    ],
)
def test_experiment_that_cannot_be_chosen_is_said(choice, complaint, mine, invoke):
    done = invoke("derive", "--config-dir", mine, choice)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_keys_of_mappings_of_ones_own_are_set_one_by_one(invoke):
    composed = _composed(
        invoke(
            *("derive", "--cfg", "job", "network=python", "network.target=mine:build"),
            *("network.kwargs={a: 1, b: {c: 2}}", "network.kwargs.k=3", "network.kwargs.b.d=[4]"),
            *("+network.kwargs.plus=5", "++network.kwargs.a=6", "dataset.levels.x1=2"),
            *("dataset.ranges.x1=[0,1]", "network.ranges.x2=[2,3]"),
        )
    )
    assert composed["network"]["kwargs"] == {"a": 6, "b": {"c": 2, "d": [4]}, "k": 3, "plus": 5}
    assert composed["network"]["ranges"] == {"x2": [2, 3]}
    assert composed["dataset"]["ranges"] == {"x1": [0, 1]}
    assert composed["dataset"]["levels"] == {"x1": 2}


def test_mapping_that_an_option_does_not_have_is_an_unknown_key(invoke):
    done = invoke("derive", "network=chain", "network.kwargs.k=3")
    assert done.returncode == 2
    assert "unknown key 'network.kwargs' (a key of network=python)" in done.stderr


def test_flags_may_stand_between_overrides(mine, invoke):
    done = invoke(
        *("derive", "dataset.rows=3", "--config-dir", mine, "+experiment=small", "--cfg", "job"),
        *("network.seed=2", "--resolve"),
    )
    composed = _composed(done)
    assert (composed["dataset"]["rows"], composed["network"]["seed"]) == (3, 2)


PLAIN = f"""
network: {{name: chain, layers: '{CHAIN}', inputs: [a, 'b c']}}
dataset:
  rows: 11
  ranges: {{a: [0, 1.5], 'b c': [-1e-3, 2]}}
cluster: inline
derivatives: {{wrt: [a], tolerance: null}}
output.path: "it's/${{oc.env:HERE}}/\\\\x"
notify: {{'on': [failure]}}
"""


@pytest.mark.parametrize("flag", [["--config", "run.yaml"], ["--config=run.yaml"]])
@pytest.mark.parametrize("job", ["derive", "plan"])
def test_plain_file_is_what_its_keys_say_and_the_command_line_overrides_it(
    job, flag, invoke, tmp_path, monkeypatch
):
    monkeypatch.setenv("HERE", "there")
    (tmp_path / "run.yaml").write_text(PLAIN)
    composed = _composed(invoke(job, "dataset.rows=2", *flag, "--cfg", "job", "--resolve"))
    network = composed["network"]
    assert (network["name"], network["layers"]) == ("chain", CHAIN)
    assert network["inputs"] == ["a", "b c"]
    assert composed["dataset"] == {
        **composed["dataset"],
        **{"name": "design", "rows": 2, "ranges": {"a": [0, 1.5], "b c": [-1e-3, 2]}},
    }
    assert composed["cluster"]["name"] == "inline"
    assert composed["derivatives"]["wrt"] == ["a"]
    assert composed["derivatives"]["tolerance"] is None
    assert composed["output"]["path"] == "it's/there/\\x"
    assert composed["notify"]["on"] == ["failure"]


def test_file_with_a_defaults_list_is_composed_by_it(mine, invoke):
    composed = _composed(invoke("derive", "--config", mine / "task.yaml", "--cfg", "job"))
    assert (composed["network"]["name"], composed["dataset"]["rows"]) == ("chain", 5)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "--config run.yaml: there is no such file"),
        ("a: [", "--config run.yaml cannot be read: "),
        ("- a", "--config run.yaml must hold keys and values"),
        ("outptu: {path: x}", "unknown key 'outptu.path' (closest: 'output')"),
        ("network: {name: chian}", "network=chian: no such network (closest: 'chain')"),
        ("dataset: {rows: many}", 'dataset.rows must be an integer; got "many"'),
    ],
)
def test_file_that_cannot_be_used_is_said(content, complaint, invoke, tmp_path):
    if content is not None:
        (tmp_path / "run.yaml").write_text(content)
    done = invoke("derive", "--config", "run.yaml")
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_plan_takes_its_own_keys_beside_a_configuration_made_for_derive(mine, invoke):
    flags = ("--cfg", "job", "--config-dir", mine, "--config-name", "task")
    own = ("cost.per_worker_hour=1.5", "cost.currency=EUR", "format=json")
    composed = _composed(invoke("plan", *flags, *own))
    assert composed["cost"] == {"per_worker_hour": 1.5, "currency": "EUR"}
    assert composed["format"] == "json"
    done = invoke("plan", *flags[2:], "cost.per_hour=1")
    assert (done.returncode, done.stderr) == (2, "hyperdiag: cost.per_hour is no key here\n")


def test_version_of_a_job_is_that_of_the_program(invoke):
    whole = invoke("--version").stdout
    assert whole.startswith("hyperdiag ")
    for job in ("derive", "verify", "schedule"):
        assert invoke(job, "--version").stdout == whole


def test_option_that_a_job_does_not_have_is_said_with_those_it_has(invoke):
    done = invoke("status", "cluster=inline", "output.path=out")
    assert done.returncode == 2
    assert done.stderr == "hyperdiag: status takes no cluster=...; there are: log, output, format\n"
    done = invoke("verify", "cluster=local", "output.path=out")
    assert done.returncode == 2
    assert "cluster must be inline: this process derives the few rows" in done.stderr


@pytest.mark.parametrize(
    ("line", "choices"),
    [
        ("hyperdiag de", {"derive"}),
        ("hyperdiag s", {"schedule", "status", "submit"}),
        ("hyperdiag derive cluster=", {"cluster=existing", "cluster=inline", "cluster=local"}),
        (
            "hyperdiag  derive dataset.rows=5 limits.max_",
            {"limits.max_attempts=", "limits.max_bad_fraction="},
        ),
        ("hyperdiag verify sha", {"shards="}),
        ("hyperdiag nothing x", set()),
    ],
)
def test_tab_completes_jobs_and_their_overrides(line, choices, invoke, monkeypatch):
    monkeypatch.setenv("COMP_LINE", line)
    done = invoke("-sc", "query=bash")
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == choices


@pytest.mark.slow
def test_bash_completes_what_was_typed(hyperdiag, tmp_path):
    """As bash does it: with the function that it is given, which asks the program."""
    for job in ([], ["derive"]):
        script = hyperdiag(*job, "--shell-completion", "install=bash").stdout
        assert script.splitlines()[-1].endswith(" -F hydra_bash_completion hyperdiag")
    (tmp_path / "hyperdiag").write_text(f'#!/bin/sh\nexec {sys.executable} -m hyperdiag "$@"\n')
    (tmp_path / "hyperdiag").chmod(0o755)
    script += 'COMP_LINE="hyperdiag derive network=ch" COMP_POINT=27 COMP_CWORD=2\n'
    script += 'hydra_bash_completion; printf "%s\\n" "${COMPREPLY[@]}"\n'
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout == "network=chain\n"


@pytest.mark.slow
@pytest.mark.parametrize("arguments", ["derive --help", "networks", "derive --cfg job", "--help"])
def test_reader_that_goes_away_is_no_fault_of_this_program(arguments):
    command = f"{sys.executable} -m hyperdiag {arguments} | head -c 0; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout in ("0\n", "141\n")  # 0 where all of it was in the pipe by then


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("a=1 --info searchpath -cd x b=2", "--info searchpath -cd x a=1 b=2"),
        ("--info a=1 --cfg job b=2 -m", "--info --cfg job -m a=1 b=2"),
        (
            "network.kwargs.k=3 +dataset.ranges.q=4 -m",
            "-m ++network.kwargs.k=3 +dataset.ranges.q=4",
        ),
    ],
)
def test_flags_come_first_with_their_values(typed, taken):
    assert hydra_arguments(CONFIG_DIR, typed.split()) == taken.split()
