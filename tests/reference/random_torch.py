"""Random modules of PyTorch, in double: programs of some eight operations on tensors, layers of torch.nn among them."""

import numpy as np
import torch
from torch import nn

LARGEST = 160  # entries of a tensor
SHAPES = [(1, 4), (1, 6), (1, 2, 6), (1, 4, 3, 4), (1, 2, 5, 4), (1, 1, 4, 4), (1, 3, 2)]


class Drawn(nn.Module):
    """A module of random operations; its outputs are the last value and a few before it."""

    def __init__(self, seed):
        from tests.reference.random_torch_steps import KINDS

        super().__init__()
        self.rng = np.random.default_rng(seed)
        self.held, self.steps, self.names = nn.ModuleList(), [], []
        self.is_strange = False
        self.shape = SHAPES[self.rng.integers(len(SHAPES))]
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed)
            values = [torch.as_tensor(self.rng.standard_normal(self.shape))]
            for _ in range(int(self.rng.integers(3, 10))):
                self._grow(KINDS, values)
        self.outputs = [len(values) - 1, *(i for i in range(1, len(values) - 1) if self.rng.random() < 0.1)]
        self.eval()

    def forward(self, x):
        values = [x]
        for step, at in self.steps:
            found = step(values[at[0]], *(values[i] for i in at[1:]))
            values += [found] if isinstance(found, torch.Tensor) else [*found]
        found = [values[i] for i in self.outputs]
        return found[0] if len(found) == 1 else tuple(found)

    def _grow(self, kinds, values):
        for _ in range(200):
            i = len(values) - 1 if self.rng.random() < 0.7 else int(self.rng.integers(len(values)))
            count, strange = len(self.held), self.is_strange
            kind = kinds[self.rng.integers(len(kinds))]
            self.at, self.values = [i], values
            a = values[i]
            step = kind(self, a) if a.ndim else None
            if step is not None:
                try:
                    self.held.eval()
                    found = step(*(values[k] for k in self.at))
                except (RuntimeError, ValueError, IndexError):
                    found = None
                found = [found] if isinstance(found, torch.Tensor) else [*(found or ())]
                if found and all(
                    v.dtype == torch.float64 and 0 < v.numel() <= LARGEST and v.ndim < 6 and abs(v).max() < 1e4
                    for v in found
                ):
                    self.steps.append((step, self.at))
                    self.names.append(kind.__name__)
                    values += [v.clone() for v in found]
                    return
            self.held, self.is_strange = self.held[:count], strange

    # What kinds of operations are made of

    def chance(self, share):
        return bool(self.rng.random() < share)

    def among(self, options):
        return options[int(self.rng.integers(len(options)))]

    def numbers(self, *shape):
        value = self.rng.standard_normal(shape)
        value = np.round(value * 4) / 4 if self.chance(0.3) else value
        return torch.as_tensor(value)

    def buffer(self, *shape):
        """A constant that the module holds."""
        part = nn.Module()
        part.register_buffer("c", self.numbers(*shape))
        self.held.append(part)
        return part

    def layer(self, module):
        """A layer that the module holds, in double; its statistics and slopes are not those of the beginning."""
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if value.is_floating_point() and "parametrizations" not in name:
                value.data = self.numbers(*value.shape)
                if "running_var" in name:
                    value.data = value.abs() + 0.1
        self.held.append(module.double())
        return module

    def other(self, fits):
        """One more tensor as an argument of the step, whose shape fits."""
        found = [i for i, v in enumerate(self.values) if fits(v.shape)]
        self.at.append(self.among(found))
