"""Packed layers made plain again."""

from torch import nn

from coterie.models.packed import PackedLinear


def unpack(network: nn.Module) -> None:
    """Puts plain layers, which hold what the packed ones stand for, in their places."""
    for name, layer in list(network.named_modules()):
        if isinstance(layer, PackedLinear):
            plain = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, dtype=layer.dtype)
            plain.weight, plain.bias = nn.Parameter(layer.weight, requires_grad=False), layer.bias
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, plain)
