"""Tiles for devices that are described, and not here."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import _choice, _derivatives, _tuner, choose
from hyperdiag.hyperdual._device import Device, this_device
from hyperdiag.hyperdual._jaxpr import ProgramShape
from hyperdiag.hyperdual._tuner import default_tile, most_rows

GB = 1 << 30
# J of a row: of a small network, of 10 directions and 133 neurons, of 50 and 768, of a huge one.
ROW_BYTES = (60, 5320, 153_600, 64 << 20)


def test_device_here_is_a_cpu():
    assert this_device() == Device("cpu")


@pytest.mark.parametrize("row_bytes", ROW_BYTES)
@pytest.mark.parametrize("memory", [None, 6 * GB, 18 * GB, 60 * GB])
def test_tiles_of_a_gpu_are_few_and_large_and_fit_its_memory(row_bytes, memory):
    shape, gpu = ProgramShape(10, 8, row_bytes), Device("gpu", memory)
    tile, most = default_tile(shape, gpu), most_rows(shape, gpu)
    assert tile <= most
    assert most == 1 or 16 * most * row_bytes <= (memory or 16 * GB)
    on_cpu = default_tile(shape, Device("cpu"))
    assert tile >= 32 * on_cpu or tile == most


def test_tile_of_a_gpu_grows_with_its_memory():
    shape = ProgramShape(10, 8, 5320)
    tiles = [default_tile(shape, Device("gpu", memory * GB)) for memory in (6, 18, 60)]
    assert tiles == sorted(tiles)
    assert tiles[-1] >= 8 * tiles[0]


@pytest.mark.parametrize(("row_bytes", "tile"), list(zip(ROW_BYTES, (2048, 64, 2, 1), strict=True)))
def test_tiles_of_a_cpu_stay_in_its_cache(row_bytes, tile):
    assert default_tile(ProgramShape(10, 8, row_bytes), Device("cpu", 60 * GB)) == tile


def test_part_of_a_gpu_does_not_get_the_tile_that_all_of_it_has(tmp_path, monkeypatch):
    monkeypatch.setenv("HYPERDIAG_CACHE", str(tmp_path))
    monkeypatch.setattr(_choice, "_choices", {})
    weights = np.ones((24, 6), np.float32)
    tiles = []
    for memory in (GB, 4 * GB, GB):
        for module in (_derivatives, _tuner):
            monkeypatch.setattr(module, "this_device", functools.partial(Device, "gpu", memory))
        choice = choose(lambda x: jnp.tanh(weights @ x), 6, "hyperdual", tuning_seconds=0)
        tiles.append(choice.tile)
    assert tiles == [4096, 16384, 4096]
    assert len(list((tmp_path / "tuning").iterdir())) == 2
