"""Which operators of PyTorch's a file may call: those that only compute numbers from numbers.

A file names operators by text. PyTorch has others that read and write files, make pickles, take
numbers at random, or look into memory that nobody filled; so what is not listed is not called.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

import torch

_ELEMENTWISE = """
abs absolute acos acosh add addcdiv addcmul angle arccos arccosh arcsin arcsinh arctan arctan2
arctanh asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_not bitwise_or
bitwise_right_shift bitwise_xor ceil clamp clamp_max clamp_min clip complex conj conj_physical
copysign cos cosh deg2rad digamma div divide eq erf erfc erfinv exp exp2 expm1 fix float_power floor
floor_divide fmax fmin fmod frac ge greater greater_equal gt heaviside hypot i0 igamma igammac imag
isclose isfinite isinf isnan isneginf isposinf ldexp le lerp less less_equal lgamma log log10 log1p
log2 logaddexp logaddexp2 logical_and logical_not logical_or logical_xor logit lt maximum minimum
mul multiply nan_to_num ne neg negative not_equal polar polygamma positive pow rad2deg real
reciprocal remainder round rsqrt rsub sgn sigmoid sign signbit sin sinc sinh sqrt square sub
subtract tan tanh true_divide trunc where xlogy
special_bessel_j0 special_bessel_j1 special_bessel_y0 special_bessel_y1 special_digamma special_entr
special_erf special_erfc special_erfcx special_erfinv special_exp2 special_expit special_expm1
special_gammainc special_gammaincc special_gammaln special_i0 special_i0e special_i1 special_i1e
special_log1p special_log_ndtr special_logit special_ndtr special_ndtri
special_polygamma special_psi special_round special_sinc special_xlog1py special_xlogy special_zeta
"""
_ACTIVATIONS = """
celu elu gelu glu hardshrink hardsigmoid hardswish hardtanh leaky_relu log_sigmoid
log_sigmoid_forward log_softmax mish prelu relu relu6 rrelu selu silu softmax softplus softshrink
special_log_softmax special_softmax threshold _log_softmax _prelu_kernel _softmax _safe_softmax
"""
_LAYERS = """
_adaptive_avg_pool2d _adaptive_avg_pool3d _fused_rms_norm _native_batch_norm_legit_no_training
_weight_norm _weight_norm_interface
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
adaptive_max_pool3d affine_grid_generator alpha_dropout avg_pool1d avg_pool2d avg_pool3d batch_norm
bilinear channel_shuffle col2im constant_pad_nd conv1d conv2d conv3d conv_tbc conv_transpose1d
conv_transpose2d conv_transpose3d convolution cosine_similarity dropout embedding embedding_bag
feature_alpha_dropout feature_dropout grid_sampler grid_sampler_2d grid_sampler_3d group_norm gru
gru_cell im2col instance_norm layer_norm linear lstm lstm_cell max_pool1d max_pool1d_with_indices
max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices native_batch_norm
native_dropout native_group_norm native_layer_norm norm_except_dim pad pairwise_distance
pixel_shuffle pixel_unshuffle reflection_pad1d reflection_pad2d reflection_pad3d renorm
replication_pad1d replication_pad2d replication_pad3d rms_norm rnn_relu
rnn_relu_cell rnn_tanh rnn_tanh_cell scaled_dot_product_attention upsample_bicubic2d
upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d
upsample_trilinear3d _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_nearest_exact1d
_upsample_nearest_exact2d _upsample_nearest_exact3d
"""
_REDUCTIONS = """
all amax amin aminmax any argmax argmin count_nonzero cummax cummin cumprod cumsum dist
frobenius_norm kthvalue logcumsumexp logsumexp max mean median min nanmean nanmedian nansum norm
nuclear_norm prod special_logsumexp std std_mean sum trapezoid trapz var var_mean
"""
_MATRICES = """
addbmm addmm addmv addr baddbmm bmm cdist _cdist_forward _euclidean_dist chain_matmul cholesky
cholesky_inverse cholesky_solve corrcoef cov cross det dot einsum ger inner inverse kron
linalg_cholesky linalg_cholesky_ex linalg_cross linalg_det linalg_diagonal linalg_eigh
linalg_eigvalsh linalg_inv linalg_inv_ex linalg_lu_factor linalg_matmul linalg_matrix_exp
linalg_matrix_norm linalg_matrix_power linalg_multi_dot linalg_norm linalg_pinv linalg_qr
linalg_slogdet linalg_solve linalg_solve_ex linalg_solve_triangular linalg_svd linalg_svdvals
linalg_vander linalg_vecdot linalg_vector_norm _linalg_det _linalg_eigh _linalg_slogdet
_linalg_solve_ex _linalg_svd logdet matmul matrix_exp matrix_power mm mv outer pdist slogdet
tensordot trace triangular_solve vander vdot
"""
_FOURIER = """
fft_fft fft_fft2 fft_fftfreq fft_fftn fft_fftshift fft_hfft fft_ifft fft_ifft2 fft_ifftn
fft_ifftshift fft_ihfft fft_irfft fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftfreq fft_rfftn
_fft_c2c _fft_r2c bartlett_window blackman_window hamming_window hann_window istft
kaiser_window stft view_as_complex view_as_real
"""
_SHAPES = """
_unsafe_view adjoint alias argsort as_strided atleast_1d atleast_2d atleast_3d
block_diag broadcast_tensors broadcast_to bucketize cartesian_prod cat chunk clone column_stack
concat concatenate contiguous copy detach diag diag_embed diagflat diagonal
diagonal_scatter diff dsplit dstack expand expand_as fill flatten flip fliplr flipud gather hsplit
hstack index index_add index_copy index_fill index_put index_reduce index_select isin lift
lift_fresh lift_fresh_copy mH mT masked_fill masked_scatter matrix_H meshgrid moveaxis movedim
msort narrow numpy_T one_hot permute ravel repeat repeat_interleave reshape reshape_as resolve_conj
resolve_neg roll rot90 row_stack scatter scatter_add scatter_reduce searchsorted select
select_scatter slice slice_scatter sort split split_with_sizes squeeze stack sum_to_size swapaxes
swapdims t take take_along_dim tensor_split tile topk transpose tril triu unbind unflatten unfold
unsafe_chunk unsafe_split unsafe_split_with_sizes _unsafe_index unsqueeze view view_as
vsplit vstack permute_copy view_copy expand_copy select_copy slice_copy squeeze_copy unsqueeze_copy
transpose_copy t_copy diagonal_copy split_copy split_with_sizes_copy unbind_copy alias_copy
detach_copy unfold_copy as_strided_copy
"""
_MADE = """
arange eye full full_like linspace logspace new_full new_ones new_zeros ones ones_like range
scalar_tensor tril_indices triu_indices zero zeros zeros_like
"""
_TYPES = "_to_copy to type_as"
_SIZES = frozenset({"sym_numel", "sym_size", "sym_stride"})

_NAMES = frozenset(
    " ".join(
        (
            *(_ELEMENTWISE, _ACTIVATIONS, _LAYERS, _REDUCTIONS, _MATRICES, _FOURIER),
            *(_SHAPES, _MADE, _TYPES, *_SIZES),
        )
    ).split()
)

# What only checks, or says something to a compiler.
IGNORED = frozenset(
    {
        "torch.ops.aten._assert_async.msg",
        "torch.ops.aten._assert_scalar.default",
        "torch.ops.aten._assert_tensor_metadata.default",
        "torch.ops.aten.sym_constrain_range.default",
        "torch.ops.aten.sym_constrain_range_for_size.default",
    }
)

# Of sizes, which are whole numbers where a program is run: no powers, which can grow without end.
_OF_SIZES: dict[str, Callable[..., Any]] = {
    **{
        f"_operator.{function.__name__}": function
        for function in (
            *(operator.add, operator.sub, operator.mul, operator.floordiv, operator.truediv),
            *(operator.mod, operator.neg, operator.pos, operator.abs, operator.eq, operator.ne),
            *(operator.lt, operator.le, operator.gt, operator.ge, operator.and_, operator.or_),
            operator.getitem,
        )
    },
    **{f"math.{function.__name__}": function for function in (math.ceil, math.floor, math.trunc)},
    "torch.sym_float": float,
    "torch.sym_int": int,
    "torch.sym_max": max,
    "torch.sym_min": min,
    "torch.sym_not": operator.not_,
}

# Operators whose derivatives jump.
_KINKS = """
abs absolute adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d amax amin aminmax ceil celu
clamp clamp_max clamp_min clip cummax cummin elu floor floor_divide fmax fmin fmod frac hardshrink
hardsigmoid hardswish hardtanh heaviside kthvalue leaky_relu max max_pool1d max_pool1d_with_indices
max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices maximum median min minimum
msort prelu relu relu6 remainder rnn_relu rnn_relu_cell round rrelu selu sgn sign softshrink sort
threshold topk trunc where _prelu_kernel
"""
KINKS = frozenset(_KINKS.split())


def base_name(target: str) -> str:
    """Return `relu` of `torch.ops.aten.relu_.default`."""
    name = target.removeprefix("torch.ops.aten.").partition(".")[0]
    return name if name.startswith("__") else name.rstrip("_")


def is_of_arrays(target: str) -> bool:
    """Tell whether an operator computes arrays, and not sizes."""
    return target.startswith("torch.ops.aten.") and base_name(target) not in _SIZES


def find_operator(target: str) -> Callable[..., Any] | None:
    """Return the function that a file names by a text; None if it is not among those known."""
    if target in _OF_SIZES:
        return _OF_SIZES[target]
    if not target.startswith("torch.ops.aten.") or base_name(target) not in _NAMES:
        return None
    name, _, overload = target.removeprefix("torch.ops.aten.").partition(".")
    if name not in _NAMES and name.removesuffix("_") not in _NAMES:
        return None
    packet = getattr(torch.ops.aten, name, None)
    if packet is None or overload not in packet.overloads():
        return None
    function = getattr(packet, overload)
    schema = function._schema
    if any(argument.is_out for argument in schema.arguments):
        return None
    # Others of the same name work on text, or on lists, which can become of any length.
    of_arrays = {str(item.type) for item in schema.returns} <= {"Tensor", "List[Tensor]"}
    return function if of_arrays or name in _SIZES else None
