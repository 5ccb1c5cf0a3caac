import gc

import jax
import pytest


@pytest.fixture(scope="session", autouse=True)
def _quick_tracing():
    """Spend no time on what only long processes and readers of compiled programs need.

    Tracing makes millions of small objects that stay, which the collector looks through again and
    again: a fifth of the time of these tests.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(50_000, 50, 100)
    limit = jax.config.jax_traceback_in_locations_limit
    jax.config.update("jax_traceback_in_locations_limit", 0)
    yield
    jax.config.update("jax_traceback_in_locations_limit", limit)
    gc.set_threshold(*thresholds)
