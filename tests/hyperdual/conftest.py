import gc

import jax
import pytest


@pytest.fixture(scope="package", autouse=True)
def _quick_tracing():
    """Spend no time on what tests of thousands of small programs, each compiled once, do not need.

    Tracing makes millions of small objects that stay, which the collector looks through again and
    again: a fifth of the time of these tests.
    """
    settings = {
        "jax_traceback_in_locations_limit": 0,
        "jax_persistent_cache_min_compile_time_secs": 1e9,  # none of it is kept
    }
    before = {name: getattr(jax.config, name) for name in settings}
    thresholds = gc.get_threshold()
    gc.set_threshold(50_000, 50, 100)
    for name, value in settings.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    gc.set_threshold(*thresholds)
