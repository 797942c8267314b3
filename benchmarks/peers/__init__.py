"""All rows of the benchmark, in the order of the tables; the first of a group is its measure."""

from benchmarks.peer import Peer
from benchmarks.peers import (
    cnn14,
    log_mels,
    ours,
    spectrogram_transformer,
    torchvggish_peer,
    yamnet,
)

PEERS: tuple[Peer, ...] = (
    *ours.PEERS,
    *yamnet.PEERS,
    *torchvggish_peer.PEERS,
    *cnn14.PEERS,
    *spectrogram_transformer.PEERS,
    *log_mels.PEERS,
)


def find(name: str) -> Peer:
    """The row of that name."""
    return next(peer for peer in PEERS if peer.name == name)
