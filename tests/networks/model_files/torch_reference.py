"""What PyTorch itself says of a module's values and derivatives, in float64."""

import copy

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def reference(model, shape, points):
    """Values (rows, m), Jacobians (rows, m, n) and Hessian diagonals (rows, m, n).

    Args:
        model: takes rows of the shape.
        shape: of one point.
        points: (rows, n), float64.
    """
    model = copy.deepcopy(model).double()
    for module in model.modules():
        if isinstance(module, torch.nn.RMSNorm) and module.eps is None:
            module.eps = torch.finfo(torch.float32).eps  # of the numbers that it was made for
        if isinstance(module, torch.nn.Hardsigmoid):  # which PyTorch derives once, and in float32
            module.forward = lambda x: torch.nn.functional.relu6(x + 3) / 6

    def function(x):
        return model(x.reshape(1, *shape))[0].reshape(-1)

    parts = []
    with sdpa_kernel(SDPBackend.MATH):  # the faster attentions have no second derivatives
        for point in map(torch.tensor, points):
            value = function(point).detach()
            jacobian = torch.func.jacrev(function)(point).detach()
            try:
                hessian = torch.func.jacfwd(torch.func.jacrev(function))(point)
            except (NotImplementedError, RuntimeError):  # what has no derivatives forwards
                hessian = _backwards(function, point, len(value))
            parts.append((value, jacobian, hessian.diagonal(dim1=-2, dim2=-1).detach()))
    return [np.stack([each.numpy() for each in part]) for part in zip(*parts, strict=True)]


def _backwards(function, point, m):
    return torch.stack(
        [torch.autograd.functional.hessian(lambda x, k=k: function(x)[k], point) for k in range(m)]
    )
