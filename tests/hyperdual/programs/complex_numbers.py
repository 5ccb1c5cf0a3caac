"""Fourier transforms, complex intermediates, changes of dtype."""

import jax
import jax.numpy as jnp
from jax import lax

from ._program import collector, weights

PROGRAMS, program = collector()


@program(5)
def fft_power_spectrum(x):
    return jnp.abs(jnp.fft.fft(jnp.sin(x))) ** 2


@program(6)
def rfft_filter_irfft(x):
    spectrum = jnp.fft.rfft(jnp.tanh(x)) * lax.complex(weights(x, (4,)), weights(x, (4,), 1))
    return jnp.fft.irfft(spectrum, 6) * x


@program(6)
def ifft_in_two_dimensions(x):
    h = jnp.fft.ifft2(x.reshape(2, 3) * (1 + 0.5j))
    return jnp.append(jnp.imag(h * h).reshape(-1)[:3], jnp.angle(h[0, 1]))


@program(6)
def fft_of_several_axes(x):
    h = jnp.fft.fftshift(jnp.fft.rfftn(jnp.sin(x).reshape(3, 2)))
    return (jnp.real(h) * jnp.imag(h)).sum(1) + jnp.abs(h).sum()


@program(8)
def fourier_neural_operator_layer(x):
    spectrum = jnp.fft.rfft(x.reshape(2, 4), axis=1)[:, :2]
    mixer = lax.complex(weights(x, (2, 3, 2)), weights(x, (2, 3, 2), 1))
    out = jnp.fft.irfft(jnp.einsum("ik,iok->ok", spectrum, mixer), 4, axis=1)
    return jax.nn.gelu(out + weights(x, (3, 2)) @ x.reshape(2, 4)).sum(1)


@program(4)
def magnitude_and_phase(x):
    z = lax.complex(x[:2], jnp.sin(x[2:]))
    return jnp.concatenate([jnp.abs(z), jnp.angle(z)])


@program(4)
def complex_products_and_conjugates(x):
    z = x[:2] + 1j * x[2:]
    return jnp.real(z * jnp.conj(z[::-1]) + z**3) + jnp.imag(z / (z[::-1] + 4j))


@program(3)
def complex_exponential_and_logarithm(x):
    z = jnp.exp(1j * x * x[0]) + 2.5
    return jnp.real(jnp.log(z)) + jnp.imag(jnp.sqrt(z)) + jnp.real(jnp.tanh(z))


@program(4)
def mask_as_number(x):
    return (x > 0.1).astype(x.dtype) * x**2 + (jnp.abs(x) < 1) * jnp.sin(x)


@program(4)
def integer_part_and_rest(x):
    whole = jnp.floor(3 * x).astype(jnp.int32)
    return (3 * x - whole.astype(x.dtype)) ** 2 * (whole % 3 + 1)


@program(3)
def bits_of_a_constant(x):
    bits = lax.bitcast_convert_type(jnp.asarray([1.0, 2.0, 0.5], x.dtype), jnp.int64)
    return (bits >> 52).astype(x.dtype) * 1e-3 * x**3


@program(3, flat=True)
def sign_and_count_are_flat(x):
    return jnp.append(jnp.sign(x), jnp.sum(x > 0).astype(x.dtype)) + 2 * x[0]
