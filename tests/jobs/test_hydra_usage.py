"""What who knows Hydra tries: interpolations, experiments, configurations of one's own, flags."""

import pytest

NOWHERE = {
    "derive": ["output.path=out/${oc.env:NOPE}"],
    "plan": ["cost.currency=${oc.env:NOPE}"],
    "submit": ["submit.address=${oc.env:NOPE}"],
    "status": ["output.path=${oc.env:NOPE}"],
    "verify": ["output.path=out", "rows=${oc.env:NOPE}"],
    "networks": ["network=chain", "network.layers=${oc.env:NOPE}"],
    "bench": ["output.path=${oc.env:NOPE}"],
    "schedule": ["action=list", "schedule.state=${oc.env:NOPE}"],
}


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
