"""The pool of workers that a configuration asks for."""

from hyperdiag.config.schema import Config
from hyperdiag.run.cluster.ray_environment import prepare_ray
from hyperdiag.run.cluster.user_modules import user_modules
from hyperdiag.run.output.fence import Fence
from hyperdiag.run.plan.plan import Plan

from .inline_pool import InlinePool
from .pool import Pool


def open_pool(config: Config, plan: Plan, output_path: str, fence: Fence | None = None) -> Pool:
    """Return the pool of workers that configuration asks for.

    Args:
        config: of the run.
        plan: that they work on.
        output_path: where they write.
        fence: what they ask before they show a file, if anything.

    Raises:
        UsageError: if there is no such cluster, or it lacks what the workers need.
    """
    if config.cluster.name == "inline":
        return InlinePool(config.cluster, config.limits, plan, output_path, fence)
    prepare_ray()
    from .guarded_pool import GuardedPool  # late: without Ray, inline still works
    from .ray_pool import RayPool

    cluster = config.cluster
    modules = user_modules(config) if cluster.name == "existing" else []
    return GuardedPool(
        cluster,
        lambda folder: RayPool(cluster, config.limits, plan, output_path, folder, modules, fence),
    )
