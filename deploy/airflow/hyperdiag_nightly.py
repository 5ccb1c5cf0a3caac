"""Airflow: a run a day, as a job on a Ray cluster, for the day that Airflow says it is.

Copy it into the DAG folder. The worker that runs the task needs the command `hyperdiag`, and
HYPERDIAG_JOB_SERVER in its environment; credentials of the data are the cluster's affair.
"""

import datetime
import os
import subprocess
import time

from airflow.exceptions import AirflowFailException
from airflow.sdk import dag, task

# A value with a `=` in it stands in quotes.
OVERRIDES = [
    "dataset=parquet",
    "dataset.path='s3://example-bucket/rows/date=${run.date}'",
    "output.path='s3://example-bucket/derivatives/date=${run.date}'",
]

# Exit codes of hyperdiag: what a retry cannot mend, and what is to be tried again a while later.
USAGE, TRY_AGAIN = 2, 75
PAUSE_SECONDS = 300


@dag(
    schedule="30 2 * * *",
    start_date=datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC),
    # Days that were missed are done, one at a time: run.date makes each read its own data.
    catchup=True,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": datetime.timedelta(minutes=10)},
    tags=["hyperdiag"],
)
def hyperdiag_nightly() -> None:
    """Derive the rows of each day."""

    @task(execution_timeout=datetime.timedelta(hours=12))
    def derive(ds: str | None = None) -> None:
        """Submit the run of a day and follow it to its end; what is done is not done again.

        Args:
            ds: the logical date, an ISO date, filled in by Airflow.
        """
        # A list, no shell: nothing in an override is read by anything but hyperdiag. A try that was
        # cut off is followed by one that finds the job still running, and follows that.
        command = [
            *("hyperdiag", "submit", *OVERRIDES, f"run.date={ds}"),
            f"submit.address={os.environ['HYPERDIAG_JOB_SERVER']}",
        ]
        # Another run is at work on the output: no failure, and none of the task's retries. The
        # timeout of the task ends that.
        while (code := subprocess.run(command, check=False).returncode) == TRY_AGAIN:
            time.sleep(PAUSE_SECONDS)
        if code == USAGE:
            raise AirflowFailException(f"{command[0]} cannot do what it is asked; see the log")
        if code:
            raise subprocess.CalledProcessError(code, command[:2])

    derive()


hyperdiag_nightly()
