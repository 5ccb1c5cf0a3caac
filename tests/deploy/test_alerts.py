"""The alert rules, judged by Prometheus's own tool."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from hyperdiag.schedule.metrics import CLOCK, GAUGES

PROMETHEUS = Path(__file__).parents[2] / "deploy/prometheus"
RULES = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
# Of Prometheus itself, and of kube-state-metrics.
OTHERS = {"up", "kube_cronjob_created", "kube_cronjob_status_last_successful_time"}
WORDS = {"time", "abs", "absent", "timestamp", "or", "unless"}
needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool here")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_rule_asks_for_what_is_emitted(rule):
    bare = re.sub(r"\{[^}]*\}", " ", rule["expr"])
    names = set(re.findall(r"[a-z_]+", bare)) - WORDS
    assert names
    assert names <= {*GAUGES, CLOCK} | OTHERS


def test_every_rule_is_tried():
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    tried = [each for test in tests for each in test["alert_rule_test"]]
    fired = {each["alertname"] for each in tried if each.get("exp_alerts")}
    silent = {each["alertname"] for each in tried if not each.get("exp_alerts")}
    assert fired == silent == {rule["alert"] for rule in RULES}


@needs_promtool
def test_rules_fire_when_they_should_and_only_then():
    done = subprocess.run(
        ["promtool", "test", "rules", PROMETHEUS / "alerts_test.yml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
