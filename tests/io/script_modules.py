"""Modules of PyTorch that TorchScript archives are made of, and the shapes of their inputs."""

import torch
from torch import nn
from torch.nn import functional as F

from .test_torch import MODULES as OTHERS

torch.manual_seed(1)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2)
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
        self.last, self.drop = nn.Linear(32, 3), nn.Dropout(0.3)
        self.norm.running_var.uniform_(0.3, 2.0)
        self.norm.running_mean.normal_()

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)))
        x = F.max_pool2d(x, 1)
        x = self.drop(self.last(x.view(x.shape[0], -1)))
        for layer in self.layers:
            x = torch.tanh(layer(x)) + x
        return F.leaky_relu(x, 0.2)


class Twice(nn.Module):
    """In place, views and two outputs."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        y = self.a(x)
        z = F.relu(y, inplace=True)
        w = self.b(y + 2 * z) - 0.5
        return F.elu(w[:, 1:3], 0.7), torch.cat([w, F.softplus(w, 2.0)], 1).mean(1)


class Products(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4)

    def forward(self, x):
        y = self.a(x)
        return F.softsign(self.a(x)) + y * torch.sigmoid(y)


class Moved(nn.Module):
    def forward(self, x):
        return F.hardtanh(x.transpose(1, 2).flatten(1)[:, 1:5].clamp(-1.0, 2.0), -0.5, 0.5).reshape(1, 2, 2)


MODULES = {name: pair for name, pair in OTHERS.items() if type(pair[0]) is nn.Sequential and "norm" not in name
           and name not in ("padding", "adaptive", "adaptive of several sizes", "images moved", "interpolated",
                            "interpolated rows")}  # fmt: skip
# Whose own code in Python is more than is followed, but not what a trace of it holds.
TRACED = {name: OTHERS[name] for name in ("interpolated", "interpolated rows", "weight norm of the whole")}
MODULES |= {
    "residual": (Residual(), (1, 1, 4, 4)), "twice": (Twice(), (1, 4)), "moved": (Moved(), (1, 3, 4)),
    "products": (Products(), (1, 4)),
    "named": (nn.Sequential(nn.Linear(4, 5), nn.SiLU(), nn.Linear(5, 5), nn.Hardswish(), nn.Linear(5, 5),
                            nn.LeakyReLU(0.3), nn.BatchNorm1d(5), nn.PReLU()), (1, 4)),
}  # fmt: skip
