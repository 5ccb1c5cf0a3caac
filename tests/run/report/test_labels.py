"""Names as figures write them."""

from hyperdiag.run.report.labels import labels_of


def test_labels_tell_names_apart_and_are_no_markup():
    long = "a name of so many letters that no figure has room for it, "
    names = [f"{long}1", f"{long}2", f"{long}b{long[-20:]}2", "a<b>", "a<b>", "c\n"]
    labels = labels_of(names)
    assert labels == [
        "a name of so man…s room for it, 1",
        "a name of so man…s room for it, 2",
        "a name of so man…s room for it, 2 [2]",
        "a&lt;b&gt;",
        "a&lt;b&gt; [4]",
        "c\\n",
    ]


def test_each_name_has_a_label_of_its_own_whatever_others_are_called():
    names = ["a", "a [2]", "a", "a", "a [3]", "a [2]", "a"]
    labels = labels_of(names)
    assert len(labels) == len(set(labels)) == len(names)
    assert all(label.startswith("a") for label in labels)


def test_dollars_are_no_mathematics():
    assert labels_of(["$x$ < US$"]) == ["&#36;x&#36; &lt; US&#36;"]
