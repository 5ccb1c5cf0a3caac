"""Templates of figures: what Python makes of them, and the page's script."""

import json

import pytest

from hyperdiag.run.report import read_report
from hyperdiag.run.report.drawing import figures
from hyperdiag.run.report.drawing.templates import filled

RECORD = {
    "a": [1.0, None, 3.0],
    "b": {"c": [2.0, 2.0, 0.0]},
    "list": [{"name": "x"}],
    "ten": 10,
    "nulls": [None] * 3,
}
PALETTE = {"text": "#123456"}


def value_of(text):
    (trace,) = filled({"data": [{"x": text}], "layout": {}}, RECORD, PALETTE)["data"]
    return trace["x"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("$text", "#123456"),
        ("@a", [1.0, None, 3.0]),
        ("@list.0.name", "x"),
        ("@a * b.c", [2.0, None, 0.0]),
        ("@a / b.c", [0.5, None, None]),
        ("@1 - a - a", [-1.0, None, -5.0]),
        ("@a + ten * 2", [22.0, None, 26.0]),
        ("@ten / 4", 2.5),
        ("@a min b.c", [1.0, None, 0.0]),
        ("?a * b.c", [2.0, None, 0.0]),
    ],
)
def test_text_that_begins_with_a_sign_is_filled_in(text, value):
    assert value_of(text) == value


@pytest.mark.parametrize(
    "text", ["@c", "@nulls", "@nulls * a", "@a.3", "@b.c.name", "@list.1.name", "@a * c", "@ten.0"]
)
def test_what_a_record_does_not_have_leaves_its_trace_out_and_its_key_elsewhere(text):
    template = {
        "data": [{"x": "@a", "marker": {"color": text}}, {"x": "@a"}],
        "layout": {"height": text, "xaxis": {"title": text, "range": [0, 1]}, "list": [text]},
    }
    assert filled(template, RECORD, PALETTE) == {
        "data": [{"x": [1.0, None, 3.0]}],
        "layout": {"xaxis": {"range": [0, 1]}},
    }


def test_lists_that_belong_together_are_complete():
    template = {
        "data": [{"complete": ["x", "y"], "x": "@a", "y": "@b.d", "text": "@a", "width": "?c"}],
        "layout": {},
    }
    record = RECORD | {"b": {"d": [None, 2.0, 0.0]}}
    (trace,) = filled(template, record, PALETTE)["data"]
    assert trace == {"x": [3.0], "y": [0.0], "text": [1.0, None, 3.0]}


def test_what_may_be_missing_leaves_its_key_out_and_keeps_its_trace():
    template = {"data": [{"x": "@a", "error_x": {"array": "?c", "width": 2}}], "layout": {}}
    (trace,) = filled(template, RECORD, PALETTE)["data"]
    assert trace == {"x": [1.0, None, 3.0], "error_x": {"width": 2}}


def test_page_fills_templates_in_as_python_does(data, browser):
    report = read_report(str(data.folder))
    path = data.folder / "filled.html"
    path.write_bytes(report.html())
    browser.open(path)
    groups = list(report.groups.values())
    for at, (where, records) in enumerate(
        [("DATA.records", report.records), ("DATA.groups[1].records", groups[1])]
    ):
        script = (
            "Object.fromEntries(Object.entries(DATA.figures).map(([name, template]) => "
            f"[name, filled(template, {{...DATA.shared, ...{where}[{at}]}}, DATA.palettes.dark)]))"
        )
        made = browser.run(script)
        assert set(made) == set(report.figures)
        scope = {**report.shared, **records[at]}
        for name, figure in made.items():
            expected = filled(report.figures[name].template, scope, figures.PALETTES["dark"])
            assert _plain(figure) == _plain(expected), name


def _plain(value):
    """A figure with its numbers as floats: JavaScript knows no others."""
    return json.loads(json.dumps(value), parse_int=float)
