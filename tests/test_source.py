"""What the program must not do, seen in its source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for folder in ("pipeline", "jobs") for path in (ROOT / folder).rglob("*.py"))

# Each runs, or rebuilds, whatever a text or a file says.
FORBIDDEN = {
    *("eval", "exec", "compile", "__import__"),
    *("os.system", "os.popen", "os.execv", "os.execvp", "os.spawnv", "os.posix_spawn"),
    *("subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads"),
    *("marshal.load", "marshal.loads", "shelve.open", "joblib.load", "torch.load"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all"),
}


def faults(source):
    """Return what a source calls that it must not, with the line."""
    tree = ast.parse(source)
    names = {}  # as they are called here: as they are called where they come from
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        first, dot, rest = ast.unparse(node.func).partition(".")
        name = names.get(first, first) + dot + rest
        options = {option.arg: ast.unparse(option.value) for option in node.keywords}
        itself = name == "os.execv" and ast.unparse(node.args[0]) == "sys.executable"
        if name in FORBIDDEN and not itself:
            found.append((node.lineno, name))
        if options.get("shell", "False") != "False":
            found.append((node.lineno, f"{name} with a shell"))
        if name == "numpy.load" and options.get("allow_pickle") != "False":
            found.append((node.lineno, "numpy.load without allow_pickle=False"))
    return found


# They say nothing of what they hold.
EMPTY_NAMES = {"how", "found", "told", "there", "given", "one"}


def empty_names(source):
    """Return the variables and arguments of a source that have such a name, with the line."""
    for node in ast.walk(ast.parse(source)):
        stored = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        name = node.id if stored else node.arg if isinstance(node, ast.arg) else None
        if name in EMPTY_NAMES:
            yield node.lineno, name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_variables_are_named_for_what_they_hold(path):
    assert list(empty_names(path.read_text(encoding="utf-8"))) == []


def test_empty_names_are_found_wherever_a_name_is_bound():
    source = "how = 1\nfor one, x in y:\n  z = lambda found: [given for given in told]\n"
    assert [name for _, name in empty_names(source)] == ["how", "one", "found", "given"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_source_runs_no_shell_and_unpickles_nothing(path):
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("import subprocess as s\ns.run('ls', shell=True)", "subprocess.run with a shell"),
        ("from subprocess import run\nrun(['ls'], shell=flag)", "subprocess.run with a shell"),
        ("from pickle import loads as f\nf(b'')", "pickle.loads"),
        ("import os\nos.system('ls')", "os.system"),
        ("import numpy as np\nnp.load('w.npz')", "numpy.load without allow_pickle=False"),
        ("import yaml\nyaml.load(text, Loader)", "yaml.load"),
        ("eval('1')", "eval"),
    ],
)
def test_faults_are_found(source, fault):
    assert [what for _, what in faults(source)] == [fault]
