"""Processes that run one case after another, and may die of one."""

import faulthandler
import multiprocessing
import os
import resource
import traceback
from collections.abc import Callable
from typing import Any

from .cases import DONE, REFUSED, Case
from .oracle import PROBLEM, Outcome, findings

# A case of 3,000 shards took 59 s on a slow disk: each file is to be on it before the next.
_LIMIT_SECONDS = 300
_START_SECONDS = 60
# Beyond this an allocation fails: a corrupt length must not take the machine's memory.
_MEMORY_BYTES = 16 << 30


class Served:
    """A function in a long-lived process of its own.

    Args:
        function: of one argument, importable.
        log: the file that takes what the process says.
    """

    def __init__(self, function: Callable[[Any], Any], log: str):
        self._function, self._log = function, log
        self._process: Any = None

    def __call__(self, argument: Any) -> tuple[str, Any]:
        """Return ("answer", what the function returns), ("died", how) or ("hung", how)."""
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(
                target=_serve, args=(self._function, theirs, self._log), daemon=True
            )
            self._process.start()
            theirs.close()
            if not self._pipe.poll(_START_SECONDS):
                raise TimeoutError(f"{self._function.__name__} does not start: {self._log}")
            self._pipe.recv()
        self._pipe.send(argument)
        try:
            if self._pipe.poll(_LIMIT_SECONDS):
                return "answer", self._pipe.recv()
            said = "hung", f"over {_LIMIT_SECONDS} s"
        except EOFError:
            self._process.join(10)
            said = "died", f"exit code {self._process.exitcode}"
        self.close()
        return said

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def _serve(function: Callable[[Any], Any], pipe: Any, log: str) -> None:
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    faulthandler.enable()
    # The kernels of one shape are one: compiled once, whichever case they serve.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{log}.compiled"
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pipe.send("ready")
    while True:
        try:
            argument = pipe.recv()
        except EOFError:
            return
        pipe.send(function(argument))


def run(case: Case) -> Outcome:
    """Derive a case's dataset."""
    import jax  # here, since the process that judges does without

    from hyperdiag.config.schema import Config
    from hyperdiag.messages.errors import RunIncomplete, UsageError
    from hyperdiag.run.derive import derive

    jax.config.update("jax_platforms", "cpu")
    try:
        return Outcome(DONE, manifest=derive(Config.model_validate(case.config), "").to_json())
    except UsageError as error:
        return Outcome(REFUSED, PROBLEM.join(error.problems))
    except RunIncomplete as error:
        return Outcome("incomplete", str(error))
    except BaseException:
        return Outcome("escaped", traceback.format_exc())


def judge(arguments: tuple[Case, Outcome, bool]) -> list[str]:
    """Return the findings on an outcome."""
    try:
        return findings(*arguments)
    except Exception:
        return [f"cannot be judged: {traceback.format_exc()}"]


class Examiner:
    """Runs cases and judges them, each in a process that may die of it."""

    def __init__(self, log: str):
        self._run, self._judge = Served(run, log), Served(judge, f"{log}.judge")

    def __call__(self, case: Case) -> tuple[Outcome, list[str]]:
        """Return what became of a case, and what is wrong with that."""
        how, answer = self._run(case)
        outcome = answer if how == "answer" else Outcome(how, answer)
        how, found = self._judge((case, outcome, True))
        if how != "answer":  # pyarrow itself dies of reading this file
            _, found = self._judge((case, outcome, False))
        return outcome, found

    def close(self) -> None:
        """End both processes."""
        self._run.close()
        self._judge.close()
