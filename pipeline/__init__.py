"""hyperdiag: value, Jacobian and Hessian diagonal of a network for every row of a dataset."""
