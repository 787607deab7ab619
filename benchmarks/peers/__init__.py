"""The rivals: each as fast as we know how to make it, within what its name says."""

from benchmarks.peers.arrow import SortedArrow
from benchmarks.peers.dicts import DictOfDicts
from benchmarks.peers.peer import Peer
from benchmarks.peers.rendered import ArrowOfJson, DictOfJson

__all__ = ["PEERS", "Peer"]

PEERS: tuple[type[Peer], ...] = (DictOfDicts, DictOfJson, SortedArrow, ArrowOfJson)
