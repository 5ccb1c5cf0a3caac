"""Modules of PyTorch's of many kinds, with weights that are drawn, and the shape of one point."""

import math
import random

import torch
from torch import nn


class _Of(nn.Module):
    """A module whose forward is a function of parts and rows."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            if isinstance(part, nn.Module):
                setattr(self, name, part)
            elif isinstance(part, nn.Parameter):
                self.register_parameter(name, part)
            else:
                self.register_buffer(name, part)

    def forward(self, x):
        return self.function(self, x)


def _drawn(*shape):
    return nn.Parameter(torch.randn(*shape) / math.sqrt(shape[-1]))


def _mlp(activation, n=4):
    return nn.Sequential(nn.Linear(n, 8), activation, nn.Linear(8, 8), activation, nn.Linear(8, 2))


ACTIVATIONS = {
    "CELU": lambda: nn.CELU(0.5),  # PyTorch's own derivative takes 1 / 0.7 in float32
    "ELU": lambda: nn.ELU(0.8),
    "GELU": nn.GELU,
    "GELU tanh": lambda: nn.GELU("tanh"),
    "GLU": lambda: nn.Sequential(nn.Linear(8, 16), nn.GLU()),
    "Hardshrink": nn.Hardshrink,
    "Hardsigmoid": nn.Hardsigmoid,
    "Hardswish": nn.Hardswish,
    "Hardtanh": nn.Hardtanh,
    "LeakyReLU": lambda: nn.LeakyReLU(0.1),
    "LogSigmoid": nn.LogSigmoid,
    "LogSoftmax": lambda: nn.LogSoftmax(-1),
    "Mish": nn.Mish,
    "PReLU": lambda: nn.PReLU(8),
    "RReLU": nn.RReLU,
    "ReLU": lambda: nn.ReLU(inplace=True),
    "ReLU6": nn.ReLU6,
    "SELU": nn.SELU,
    "SiLU": nn.SiLU,
    "Sigmoid": nn.Sigmoid,
    "Softmax": lambda: nn.Softmax(-1),
    "Softmin": lambda: nn.Softmin(-1),
    "Softplus": lambda: nn.Softplus(2.0, 15),
    "Softshrink": nn.Softshrink,
    "Softsign": nn.Softsign,
    "Tanh": nn.Tanh,
    "Tanhshrink": nn.Tanhshrink,
    "Threshold": lambda: nn.Threshold(0.1, 0.2),
}


def _normed(norm):
    for name, buffer in norm.named_buffers():
        if "running" in name:
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    return norm


def _attention(self, x):
    h = self.embed(x)
    return self.head((h + self.attention(h, h, h, need_weights=False)[0]).mean(1))


def _last(self, x):
    return self.head(self.cell(x)[0][:, -1])


def _final_state(self, x):
    return self.head(self.cell(x)[1][-1])


def _cells(self, x):
    h = x.new_zeros(x.shape[0], 5)
    c = torch.zeros_like(h)
    for step in range(x.shape[1]):
        h, c = self.cell(x[:, step], (h, c))
    return h


def _residual(self, x):
    h = torch.tanh(self.first(x))
    for block in (self.a, self.b):
        h = h + block(h)
    return self.last(h)


def _block(n=6):
    return nn.Sequential(nn.LayerNorm(n), nn.Linear(n, 12), nn.GELU(), nn.Linear(12, n))


def _fourier(self, x):
    angles = 2 * math.pi * x @ self.frequencies
    return self.head(torch.cat([angles.sin(), angles.cos()], -1))


def _unet(self, x):
    down = torch.relu(self.down(x))
    up = torch.nn.functional.interpolate(down, scale_factor=2, mode="nearest")
    return self.out(torch.cat([x, up], 1)).flatten(1)


def _kernel(self, x):
    return torch.exp(-(x[:, None] - self.centers).square().sum(-1)) @ self.weights


def _gradient_free(self, x):
    with torch.no_grad():
        scale = self.scale.exp() + 1
    return self.layer(x) / scale


def _odd(self, x):
    high = torch.where(x > 0.3, x**2, torch.expm1(x))
    picked = x[:, [2, 0]] * x.clamp(-1, 1)[:, 1:3]
    return torch.cat([high.cumsum(1), picked, x.logsumexp(1, keepdim=True)], 1)


LAYERS = {
    "linear": lambda: (nn.Linear(4, 2), (4,)),
    "batch norm": lambda: (
        nn.Sequential(nn.Linear(4, 6), _normed(nn.BatchNorm1d(6)), nn.Tanh(), nn.Linear(6, 2)),
        (4,),
    ),
    "layer norm": lambda: (_mlp(nn.LayerNorm(8)), (4,)),
    "group norm": lambda: (
        nn.Sequential(nn.Linear(4, 6), nn.GroupNorm(2, 6), nn.SiLU(), nn.Linear(6, 2)),
        (4,),
    ),
    "RMS norm": lambda: (_mlp(nn.RMSNorm(8)), (4,)),
    "instance norm": lambda: (
        nn.Sequential(nn.Conv1d(2, 3, 2), nn.InstanceNorm1d(3, affine=True), nn.Flatten()),
        (2, 5),
    ),
    "local response norm": lambda: (
        nn.Sequential(nn.Conv1d(2, 4, 2), nn.LocalResponseNorm(2), nn.Flatten()),
        (2, 4),
    ),
    "residual": lambda: (
        _Of(_residual, first=nn.Linear(3, 6), a=_block(), b=_block(), last=nn.Linear(6, 2)),
        (3,),
    ),
    "convolution 1-d": lambda: (
        nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.Tanh(), nn.MaxPool1d(2), nn.Flatten()),
        (2, 6),
    ),
    "convolution 2-d": lambda: (
        nn.Sequential(
            nn.Conv2d(1, 3, 3, padding="same"), _normed(nn.BatchNorm2d(3)), nn.SiLU(),
            nn.AvgPool2d(2), nn.Conv2d(3, 4, 2, groups=1, dilation=1), nn.ELU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2),
        ),
        (1, 6, 6),
    ),
    "convolution 3-d": lambda: (
        nn.Sequential(nn.Conv3d(1, 2, 2, stride=2), nn.Softplus(), nn.Flatten(), nn.Linear(2, 1)),
        (1, 2, 3, 3),
    ),
    "depthwise convolution": lambda: (
        nn.Sequential(nn.Conv1d(4, 4, 3, groups=4, padding=2, dilation=2), nn.GELU(), nn.Flatten()),
        (4, 5),
    ),
    "transposed convolution": lambda: (
        nn.Sequential(
            nn.Linear(3, 8), nn.Unflatten(1, (2, 2, 2)),
            nn.ConvTranspose2d(2, 1, 3, stride=2, output_padding=1), nn.Tanh(), nn.Flatten(),
        ),
        (3,),
    ),
    "reflection padding": lambda: (
        nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(1, 2, 3), nn.Mish(), nn.Flatten()),
        (1, 3, 3),
    ),
    "U-shaped": lambda: (
        _Of(_unet, down=nn.Conv2d(1, 3, 2, stride=2), out=nn.Conv2d(4, 1, 3, padding=1)),
        (1, 4, 4),
    ),
    "pixel shuffle": lambda: (
        nn.Sequential(nn.Conv2d(1, 4, 2), nn.PixelShuffle(2), nn.Sigmoid(), nn.Flatten()),
        (1, 3, 3),
    ),
    "bilinear upsampling": lambda: (
        nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(1, 1, 2), nn.Flatten()
        ),
        (1, 2, 2),
    ),
    "LSTM": lambda: (
        _Of(_last, cell=nn.LSTM(2, 4, num_layers=2, batch_first=True), head=nn.Linear(4, 2)),
        (3, 2),
    ),
    "LSTM both ways": lambda: (
        _Of(_last, cell=nn.LSTM(2, 3, bidirectional=True, batch_first=True), head=nn.Linear(6, 1)),
        (3, 2),
    ),
    "GRU": lambda: (
        _Of(_final_state, cell=nn.GRU(2, 4, batch_first=True), head=nn.Linear(4, 2)),
        (3, 2),
    ),
    "RNN": lambda: (
        _Of(_last, cell=nn.RNN(2, 4, batch_first=True), head=nn.Linear(4, 2)),
        (3, 2),
    ),
    "LSTM cell": lambda: (_Of(_cells, cell=nn.LSTMCell(2, 5)), (3, 2)),
    "attention": lambda: (
        _Of(
            _attention, embed=nn.Linear(2, 8), head=nn.Linear(8, 2),
            attention=nn.MultiheadAttention(8, 2, batch_first=True),
        ),
        (3, 2),
    ),
    "transformer": lambda: (
        nn.Sequential(
            nn.Linear(2, 8),
            nn.TransformerEncoder(
                nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu"), 2
            ),
            nn.Flatten(), nn.Linear(24, 2),
        ),
        (3, 2),
    ),
    "transformer, norm first": lambda: (
        nn.Sequential(
            nn.Linear(2, 4),
            nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, norm_first=True),
            nn.Flatten(),
        ),
        (2, 2),
    ),
    "causal attention": lambda: (
        _Of(
            lambda self, x: torch.nn.functional.scaled_dot_product_attention(
                self.q(x), self.k(x), x, is_causal=True
            ).flatten(1),
            q=nn.Linear(3, 3), k=nn.Linear(3, 3),
        ),
        (4, 3),
    ),
    "attention of four axes": lambda: (
        _Of(
            lambda self, x: torch.nn.functional.scaled_dot_product_attention(
                self.q(x), self.k(x), x, torch.ones(4, 4, dtype=torch.bool).tril(1), scale=0.3
            ).flatten(1),
            q=nn.Linear(3, 3), k=nn.Linear(3, 3),
        ),
        (2, 4, 3),
    ),
    "bilinear": lambda: (
        _Of(
            lambda self, x: self.product(x[:, :2], torch.tanh(x[:, 2:])),
            product=nn.Bilinear(2, 3, 2),
        ),
        (5,),
    ),
    "Fourier features": lambda: (
        _Of(_fourier, frequencies=torch.randn(3, 6), head=nn.Linear(12, 2)),
        (3,),
    ),
    "einsum": lambda: (
        _Of(
            lambda self, x: torch.einsum(
                "bj,bjk->bk", torch.sin(x), torch.einsum("bi,ijk->bjk", x, self.w)
            ),
            w=_drawn(4, 4, 2),
        ),
        (4,),
    ),
    "radial basis": lambda: (
        _Of(_kernel, centers=torch.randn(5, 3), weights=torch.randn(5, 2)),
        (3,),
    ),
    "cumulative": lambda: (
        _Of(lambda self, x: torch.cumsum(self.layer(x).exp(), -1).log(), layer=nn.Linear(4, 4)),
        (4,),
    ),
    "cumulative product": lambda: (_Of(lambda self, x: torch.cumprod(x + 2, 1)), (4,)),
    "many small operators": lambda: (_Of(_odd), (4,)),
    "weight norm": lambda: (
        nn.Sequential(
            nn.utils.parametrizations.weight_norm(nn.Linear(4, 6)), nn.Tanh(), nn.Linear(6, 2)
        ),
        (4,),
    ),
    "spectral norm": lambda: (
        nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 6)), nn.SiLU()),
        (4,),
    ),
    "without gradients within": lambda: (
        _Of(_gradient_free, layer=nn.Linear(3, 2), scale=torch.randn(2)),
        (3,),
    ),
    "dropout": lambda: (
        nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 2)),
        (4,),
    ),
    "norms": lambda: (
        _Of(
            lambda self, x: torch.stack(
                [x.norm(dim=1), torch.linalg.vector_norm(x, 3, dim=1), x.std(1), x.var(1)], 1
            )
        ),
        (4,),
    ),
    "distances and similarity": lambda: (
        _Of(
            lambda self, x: torch.stack(
                [
                    nn.functional.cosine_similarity(x[:, :2], x[:, 2:]),
                    nn.functional.pairwise_distance(x[:, :2], x[:, 2:]),
                ],
                1,
            )
        ),
        (4,),
    ),
    "special functions": lambda: (
        _Of(
            lambda self, x: torch.cat(
                [torch.erf(x), torch.special.expit(x), torch.log1p(x * x), torch.sinc(x)], 1
            )
        ),
        (2,),
    ),
    "sorted": lambda: (_Of(lambda self, x: torch.sort(x * x, 1)[0] * x.topk(3, 1)[0]), (3,)),
    "spectrum": lambda: (
        _Of(lambda self, x: torch.fft.rfft(x).abs()),
        (4,),
    ),
    "determinant": lambda: (
        _Of(lambda self, x: torch.linalg.det(x + 2 * torch.eye(2))),
        (2, 2),
    ),
}  # fmt: skip


# PyTorch's exporter to ONNX does not take these.
NOT_IN_ONNX = {"RReLU", "causal attention", "cumulative product"}


def model_named(name):
    """Return a module in evaluation mode, and the shape of one point."""
    torch.manual_seed(0)
    if name in LAYERS:
        model, shape = LAYERS[name]()
    else:
        model, shape = _mlp(ACTIVATIONS[name]()), (4,)
    return model.eval(), shape


def _parts_at_random(n, rng):
    """A part that takes rows of n numbers, and returns rows of n numbers."""
    kind = rng.choice(["linear", "activation", "norm", "residual", "tokens", "gate", "head"])
    if kind == "linear":
        return nn.Linear(n, n)
    if kind == "activation":
        plain = [name for name in ACTIVATIONS if name not in ("GLU", "PReLU", "CELU")]
        return ACTIVATIONS[rng.choice(sorted(plain))]()
    if kind == "norm":
        return rng.choice(
            [nn.LayerNorm(n), nn.RMSNorm(n), nn.GroupNorm(2, n), _normed(nn.BatchNorm1d(n))]
        )
    if kind == "residual":
        inner = nn.Sequential(*(_parts_at_random(n, rng) for _ in range(2)))
        return _Of(lambda self, x: x + self.inner(x), inner=inner)
    if kind == "tokens":
        cell = rng.choice([nn.GRU, nn.LSTM, nn.RNN])(2, 2, batch_first=True)
        return _Of(lambda self, x: self.cell(x.unflatten(1, (-1, 2)))[0].flatten(1), cell=cell)
    if kind == "gate":
        return _Of(lambda self, x: x * torch.sigmoid(self.gate(x)), gate=nn.Linear(n, n))
    attention = nn.MultiheadAttention(2, 1, batch_first=True)
    return _Of(_over_pairs, attention=attention)


def _over_pairs(self, x):
    pairs = x.unflatten(1, (-1, 2))
    return x + self.attention(pairs, pairs, pairs)[0].flatten(1)


def model_at_random(seed):
    """Return a module of parts that are drawn, and the shape of one point."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    n, width = rng.randint(2, 5), rng.choice([4, 6])
    parts = [_parts_at_random(width, rng) for _ in range(rng.randint(3, 6))]
    model = nn.Sequential(nn.Linear(n, width), *parts, nn.Linear(width, rng.randint(1, 3)))
    return model.eval(), (n,)
