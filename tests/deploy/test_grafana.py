"""The dashboard asks for what a run emits, and for nothing else."""

import json
import re
from pathlib import Path

import pytest
import yaml

from hyperdiag.run.monitoring.metrics import COUNTERS, GAUGES
from hyperdiag.schedule import metrics as schedule_metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
EMITTED = {f"ray_{name}_total" for name in COUNTERS} | {f"ray_{name}" for name in GAUGES}
LABELS = {"run", "network"} | {tag for _, tags in COUNTERS.values() for tag in tags}
OF_A_SCHEDULE = {*schedule_metrics.GAUGES, schedule_metrics.CLOCK}
WORDS = {"sum", "max", "by", "rate", "scalar", "label_values", "time"}  # of PromQL and Grafana


def _queries():
    dashboard = json.loads((DEPLOY / "grafana/hyperdiag.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]


@pytest.mark.parametrize(("where", "query"), list(_queries()))
def test_query_of_the_dashboard_names_only_what_is_emitted(where, query):
    labels = re.findall(r"(\w+)\s*[=!]~?\s*\"", query)
    for grouped in re.findall(r"by \(([^)]*)\)", query):
        labels += re.split(r",\s*", grouped)
    asked = re.match(r"label_values\((.+), (\w+)\)$", query)
    if asked:
        query, label = asked.groups()
        labels.append(label)
    assert set(labels) <= LABELS
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|by \([^)]*\)", " ", query)
    names = set(re.findall(r"[A-Za-z_:][\w:]*", bare)) - WORDS
    assert names, where
    assert names <= EMITTED | OF_A_SCHEDULE


def test_dashboard_shows_all_that_is_worth_watching():
    asked = " ".join(query for _, query in _queries())
    before = {"ray_hyperdiag_rows_before", "ray_hyperdiag_shards_before"}
    shards = {"ray_hyperdiag_shards_planned"}
    assert {name for name in EMITTED if name not in asked} == before | shards


@pytest.mark.parametrize("name", ["prometheus.yml", "podmonitor.yaml"])
def test_prometheus_keeps_each_metric_of_ours_and_none_of_ray_s_own(name):
    text = (DEPLOY / "prometheus" / name).read_text()
    assert yaml.safe_load(text)
    (pattern,) = re.findall(r"regex: (\S+)", text)
    assert all(re.fullmatch(pattern, metric) for metric in EMITTED)
    assert not re.fullmatch(pattern, "ray_node_cpu_utilization")
