"""The page as a file: nothing of anybody's is taken for markup, and nothing is fetched."""

import html
import json
import re
from html.parser import HTMLParser

import pytest

from hyperdiag.run.report import read_report
from hyperdiag.run.report.page import json_in_html, make_page

from .conftest import NOTE
from .networks import OUTPUTS, SCRIPT


class Elements(HTMLParser):
    """The elements of a page, as a browser sees them.

    Attributes:
        names: how often each is there.
        attributes: names and values of all attributes.
        data: what the embedded JSON says.
    """

    def __init__(self, page):
        super().__init__()
        self.names, self.attributes, self.data, self._open = {}, [], None, None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.names[tag] = self.names.get(tag, 0) + 1
        self.attributes += attrs
        self._open = dict(attrs).get("id") if tag == "script" else None

    def handle_data(self, text):
        if self._open == "data":
            self.data = json.loads(text)
            self._open = None


@pytest.fixture(scope="module")
def page(data):
    return read_report(str(data.folder)).html().decode()


def test_names_and_details_of_others_are_no_markup(page):
    elements = Elements(page)
    assert elements.names["script"] == 5  # the data, Plotly, ours
    assert "img" not in elements.names
    assert not [name for name, _ in elements.attributes if name.startswith("on")]
    outside = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert SCRIPT not in page
    assert NOTE not in page
    assert html.escape(SCRIPT) in outside  # an output, and a desk in quarantine
    assert html.escape(NOTE) in outside  # a column in quarantine
    assert elements.data["outputs"] == list(OUTPUTS)
    assert elements.data["records"][0]["extremes"][0]["columns"][2] == NOTE


def test_page_fetches_nothing(page):
    elements = Elements(page)
    assert not {"link", "iframe", "img", "object", "embed", "form", "base"} & elements.names.keys()
    addresses = [v for name, v in elements.attributes if name in ("src", "href", "action")]
    assert addresses
    assert all(address.startswith("#") for address in addresses)
    (policy,) = [v for _, v in elements.attributes if v and v.startswith("default-src")]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert policy.count("'sha256-") == 4
    assert "http" not in policy
    assert "unsafe-inline" not in policy.partition("style-src")[0]
    assert "url(" not in page.partition("<style>")[2].partition("</style>")[0]


def test_page_is_far_below_ten_megabytes(page):
    assert len(page.encode()) < 6_000_000


def test_json_in_a_page_ends_no_element_and_knows_no_infinity():
    value = {"<!--</script>": ["&", "\u2028", "</SCRIPT >"]}
    text = json_in_html(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_in_html([float("inf")])


def test_script_that_would_end_its_element_is_refused():
    with pytest.raises(ValueError, match="ends its own element"):
        make_page({}, {}, "document.write('</Script>')")
