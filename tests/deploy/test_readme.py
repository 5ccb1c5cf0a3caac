"""deploy/README.md: what it points to is there, and what it says to type is understood."""

import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from hyperdiag.config.schema import load_config
from hyperdiag.jobs._command import CONFIG_DIR
from tests.pages.markdown import blocks

DEPLOY = Path(__file__).parents[2] / "deploy"
TEXT = (DEPLOY / "README.md").read_text()
BLOCKS = "".join(block.text for block in blocks(TEXT))
# Without sweeps, which are no configuration by themselves.
COMMANDS = re.findall(r"^(hyperdiag (?:derive|submit) (?!-m )(?:\\\n|[^\n])*)", BLOCKS, re.M)


def test_readme_points_to_what_is_there():
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lower()) for line in re.findall(r"^#+ (.*)", TEXT, re.M)
    }
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert links
    for link in links:
        if link.startswith("#"):
            assert link[1:].replace("-", " ") in headings
        else:
            assert (DEPLOY / link.partition("#")[0]).exists(), link
    for path in re.findall(r"\bdeploy/[\w./-]+", TEXT):
        # `name.{a,b}` of a shell ends before the brace.
        assert list(DEPLOY.parent.glob(f"{path}*")), path
    for overlay in re.findall(r"^\| `(\w+)` \|", TEXT, re.M):
        assert (DEPLOY / "kubernetes/overlays" / overlay).is_dir()


@pytest.mark.parametrize("command", COMMANDS)
def test_command_of_the_readme_is_a_valid_configuration(command):
    words = shlex.split(command.replace("\\\n", " "), comments=True)[2:]
    overrides = [word for word in words if not word.startswith("submit.")]
    with initialize_config_dir(str(CONFIG_DIR.resolve()), version_base="1.3"):
        load_config(compose("derive", overrides))
        if "submit" in command:
            composed = compose("submit", words)
            assert composed.submit.address.startswith("http://")
