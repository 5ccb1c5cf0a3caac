"""Quantities that people look at, derived from a row's value, Jacobian and second derivatives."""
