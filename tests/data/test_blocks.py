import json

import numpy as np
import pyarrow as pa
import pytest

from hyperdiag.data.blocks import Axis, Block

OUTPUTS = Axis("outputs", "", ("u", "v_"))
BLOCK = Block("move", "kind", "m", (OUTPUTS, Axis("inputs", "by", ("a", "b", "c"))))
NAMED = Block("top", "kind", "name", (OUTPUTS, Axis("ranks", "rank", ("1",))), labels=("p", "q"))
SINGLE = Block("mine", "mine", "")


def test_columns_of_a_block_are_named_and_escaped_as_those_of_quantities():
    assert BLOCK.columns[2:4] == ["move_u__by_c", "move_v_x005F___by_a"]
    assert (BLOCK.shape, BLOCK.size) == ((2, 3), 6)
    assert (SINGLE.columns, SINGLE.shape) == (["mine"], ())


@pytest.mark.parametrize("rows_last", [False, True])
def test_arrow_of_a_block_holds_its_entries_in_both_layouts(rows_last):
    array = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    given = np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 0, -1)), -1, 0)
    given = given if rows_last else array
    wide = BLOCK.arrow(given, tensor=False)
    assert [column.to_pylist() for column in wide] == array.reshape(4, 6).T.tolist()
    (tensor,) = BLOCK.arrow(given, tensor=True)
    assert tensor.to_pylist() == array.tolist()


@pytest.mark.parametrize("tensor", [False, True])
@pytest.mark.parametrize("block", [BLOCK, NAMED, SINGLE], ids=["numbers", "names", "single"])
def test_fields_fit_the_arrays_and_say_what_they_are(block, tensor):
    kind = np.int16 if block.labels else np.float64
    array = np.ones((3, *block.shape), kind)
    fields = block.fields(tensor, "float64", {"network": "n", "digest": "d"})
    columns = block.arrow(array, tensor)
    assert [field.type for field in fields] == [column.type for column in columns]
    pa.table(columns, schema=pa.schema(fields)).validate(full=True)
    for field in fields:
        metadata = {key.decode(): value.decode() for key, value in field.metadata.items()}
        assert not field.nullable
        assert (metadata["network"], metadata["derived"]) == ("n", block.kind)
        if block.shape:
            named = json.loads(metadata["outputs"])
            assert named == (["u", "v_"] if tensor else named[:1])


def test_names_stand_for_positions():
    wide = NAMED.arrow(np.array([[[0], [1]], [[1], [1]]], np.int16), tensor=False)
    assert [column.to_pylist() for column in wide] == [["p", "q"], ["q", "q"]]
