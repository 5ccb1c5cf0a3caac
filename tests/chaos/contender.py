"""A process that starts one run after the other, as it is told: many, for the price of one start.

Each has a machine name of its own, so that it is to the others what a process elsewhere is: whether
it lives, only its lease tells: there are no file locks. Leases are short, so that they lapse while
somebody waits.
"""

import json
import logging
import sys

from hydra import compose, initialize_config_dir

from hyperdiag.config.redacted import redacted_yaml
from hyperdiag.config.schema import load_config
from hyperdiag.jobs._command import CONFIG_DIR
from hyperdiag.process import file_lock
from hyperdiag.process.exit_codes import exit_code
from hyperdiag.run.derive import derive
from hyperdiag.run.output import current, lease


def _without_locks(file, kind):
    raise file_lock.NoFileLocks("no locks")


def main() -> None:
    """Read a line with overrides, run them, print the exit code and what was said; and again."""
    name, seconds = sys.argv[1], float(sys.argv[2])
    for module in (lease, current):
        module.this_machine = lambda: name
    file_lock._flocked = _without_locks
    lease._SECONDS = lease._STORE_SECONDS = seconds
    logging.disable()
    print("ready", flush=True)
    for line in sys.stdin:
        with initialize_config_dir(str(CONFIG_DIR.resolve()), version_base="1.3"):
            composed = compose("derive", json.loads(line))
        error = None
        try:
            derive(load_config(composed), redacted_yaml(composed))
        except Exception as raised:
            error = raised
        answer = {"code": exit_code(error), "said": str(error), "kind": type(error).__name__}
        print(json.dumps(answer), flush=True)


main()
