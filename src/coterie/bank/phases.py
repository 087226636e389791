"""The kinds of work of a run and the most bytes that each holds: the largest of them is the run's peak.

What a sketch counts are tensors that are alive at once. Around them stands what kernels and allocators need: in
training, which keeps most of what it makes until the backward pass, a tenth more. A pass without gradients lets go of
nearly everything that it makes, in blocks of all sizes, and on a processor what it let go of stays with the process
(``coterie.core.allocator``): such a pass was measured to take up twice what is alive in it. What a process has before
it does anything is not in these numbers; ``coterie.runs.resolve`` adds it.
"""

from __future__ import annotations

from coterie.bank.peak import Peak

MARGIN = 1.1  # kernels' workspaces and an allocator's gaps, which a sketch does not see
GAPS = 2.0  # what a pass without gradients takes up on a processor over what is alive in it; measured: 1.6 to 2.5
SCATTERED = 1.6  # training on texts on a processor, over what is alive: large logits come and go; measured: 1.4 to 1.6
RESERVE = 64 * 2**20  # the allocator's, whatever the width
KERNELS = 128 * 2**20  # on a processor: weights in the order that kernels like, for the length of a pass; measured
UNPACKED = 9  # bytes for each number of a layer while it is packed: two copies in float32, and the codes


def passing(alive: int, device: str) -> int:
    """Bytes that a pass without gradients takes up, of those that are alive in it at once."""
    if device == "cpu":
        return RESERVE + KERNELS + int(GAPS * alive)
    return RESERVE + int(MARGIN * alive)


def training(peak: Peak, moments: str, scattered: bool = False) -> int:
    """Network, adapters, gradients, moments, and one forward and backward pass, ``scattered`` or nearly compact."""
    return RESERVE + int((SCATTERED if scattered else MARGIN) * peak.total(moments))


def packing(network: int, largest: int, encoders: int, autoencoder: int) -> int:
    """Rounding frozen weights in main memory: the network is there whole, and so is the rest of the pipeline.

    Layers are packed one after another and each is let go of as it is packed, so the packed ones never stand beside
    all that they were made of.

    Args:
        network: bytes of its weights as they were loaded.
        largest: numbers of the largest layer that is packed.
        encoders: bytes of the text encoders' weights.
        autoencoder: bytes of its weights.
    """
    return RESERVE + network + UNPACKED * largest + encoders + autoencoder


def encoding(network: int, encoders: int, autoencoder: int, call: int) -> int:
    """Pictures and captions before training; a caption's pass is small against its encoder.

    Args:
        network: bytes of its weights where it is in the same memory meanwhile, as on a processor; otherwise 0.
        encoders: bytes of the text encoders' weights.
        autoencoder: bytes of its weights.
        call: that ``passing`` says of encoding pictures.
    """
    return network + encoders + autoencoder + call


def scoring(network: int, adapters: int, call: int) -> int:
    """Held-out rows: network, the adapters that are kept and those that are bound, and a pass without gradients."""
    return network + adapters + call


def drawing(network: int, adapters: int, encoders: int, autoencoder: int, call: int, decode: int) -> int:
    """As scoring, beside encoders and autoencoder; the larger of a step of denoising and of decoding a picture."""
    return network + adapters + encoders + autoencoder + max(call, decode)
