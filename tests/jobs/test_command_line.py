import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from hyperdiag.jobs.__main__ import job_names
from hyperdiag.jobs.derive import main

ROOT = Path(__file__).parents[2]


def test_command_without_a_job_lists_them(hyperdiag):
    done = hyperdiag()
    assert done.returncode == 0
    for name in job_names():
        assert f"\n  {name} " in done.stdout


def test_command_with_a_misspelt_job_suggests_the_closest(invoke):
    done = invoke("dervie")
    assert done.returncode == 2
    assert "no job 'dervie' (closest: 'derive')" in done.stderr


def test_version_is_that_of_the_package_and_of_what_it_stands_on(hyperdiag):
    done = hyperdiag("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"hyperdiag {version('hyperdiag')} (Python 3.")
    assert f"jax {version('jax')}" in done.stdout


def test_help_shows_groups_and_every_key(invoke):
    done = invoke("derive", "--help")
    assert done.returncode == 0
    for part in (
        "network: chain, keras, onnx, python, qlknn",
        "max_bad_fraction",
        "--multirun",
        "dtype",
    ):
        assert part in done.stdout


def test_cfg_job_prints_the_composed_configuration(invoke):
    done = invoke("derive", "--cfg", "job", "network=chain", "derivatives.wrt=[x1]")
    assert done.returncode == 0
    shown = yaml.safe_load(done.stdout)
    assert shown["network"]["name"] == "chain"
    assert shown["derivatives"]["wrt"] == ["x1"]
    assert set(shown) == {
        *("network", "dataset", "derivatives", "derived", "output", "cluster", "limits"),
        *("run", "summary", "notify", "report", "log"),
    }


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("module", "folder"),
    [
        (["jobs.derive"], ROOT),
        (["hyperdiag", "derive"], None),
    ],
)
def test_module_of_a_job_runs_by_itself(module, folder, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", *module, "dataset.rows=0"],
        cwd=folder or tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "hyperdiag: dataset.rows must be greater than 0; got 0\n"


@pytest.mark.slow
def test_start_of_a_run_loads_nothing_heavy_that_it_may_do_without():
    """A third of what a command takes to start: SciPy is for Sobol points alone."""
    script = "import sys, hyperdiag.jobs.derive; print(sorted({'ray', 'scipy'} & {*sys.modules}))"
    said = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert said.strip() == "[]"


@pytest.mark.slow
def test_multirun_does_each_combination_and_leaves_no_hydra_folder(invoke, tmp_path):
    box = "dataset.ranges={x1: [0,1], x2: [0,1], x3: [0,1], x4: [0,1], x5: [0,1]}"
    done = invoke(
        *("derive", "-m", "network=chain", box, "dataset.rows=100", "cluster=inline"),
        *("dataset.seed=1,2", "output.path=out/${dataset.seed}"),
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/1/_SUCCESS").exists()
    assert (tmp_path / "out/2/_SUCCESS").exists()
    assert not list(tmp_path.rglob(".hydra"))


@pytest.mark.slow
def test_multirun_over_a_group_does_each_option_and_names_one_that_there_is_not(
    hyperdiag, invoke, tmp_path
):
    box = "dataset.ranges={x1: [0,1], x2: [0,1], x3: [0,1], x4: [0,1], x5: [0,1]}"
    run = ["derive", "-m", "network=chain", box, "dataset.rows=100"]
    where = "output.path=out/${cluster.name}"
    done = hyperdiag(*run, "cluster=inline,local", "cluster.workers=1", where)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/inline/_SUCCESS").exists()
    assert (tmp_path / "out/local/_SUCCESS").exists()
    done = invoke(*run, "cluster=inline,lokal", where)
    assert done.returncode == 2
    assert "cluster=lokal: no such cluster (closest: 'local')" in done.stderr


@pytest.fixture
def derive(tmp_path, monkeypatch, capsys):
    """Run the job in this process, in a folder with a configuration; return code and complaints."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine/dataset").mkdir(parents=True)
    (tmp_path / "mine/dataset/few.yaml").write_text("defaults: [design]\nrows: 5\n")
    (tmp_path / "mine/task.yaml").write_text("defaults: [derive, _self_]\ndataset: {rows: 7}\n")

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["hyperdiag derive", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, capsys.readouterr().err

    return run


@pytest.mark.parametrize("name", [[], ["--config-name", "task"]])
def test_typos_beside_a_configuration_of_ones_own_are_all_named(derive, name):
    wrong = ["dataset=few", "cluster=inlin", "outptu.path=x"]
    code, said = derive("--config-dir", "mine", *name, *wrong)
    assert code == 2
    assert "cluster=inlin: no such cluster (closest: 'inline')" in said
    assert "dataset=few" not in said
    code, said = derive("--config-dir=mine", *name, "dataset=few", "+acton=list", wrong[-1])
    assert code == 2
    assert "unknown key 'acton'" in said
    assert "unknown key 'outptu.path' (closest: 'output')" in said
    assert "+" not in said


def test_folder_of_configuration_that_is_not_there_is_named(derive):
    code, said = derive("--config-dir", "nowhere")
    assert code == 2
    assert "nowhere' not found" in said


def test_mapping_that_is_given_twice_is_to_be_given_as_a_whole(derive):
    code, said = derive("network=python", "network.kwargs={a: 1}", "network.kwargs={b: 2}")
    assert code == 2
    assert "network.kwargs is given twice: give it once, as a whole" in said
    assert "+" not in said


def test_record_of_a_sweep_that_cannot_be_composed_keeps_no_credentials(invoke, tmp_path):
    (tmp_path / "mine").mkdir()
    done = invoke(
        *("derive", "-m", "--config-dir", "mine", "limits=default,typo", "dataset=parquet"),
        *("dataset.path='s3://AKIA:hunter2@b/x'", "output.path=out"),
    )
    assert done.returncode == 2, done.stderr
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in kept if "hunter2" in path.read_text()]
