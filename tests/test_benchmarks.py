import pytest

from benchmarks.clock import Times, take_turns
from benchmarks.data import Data
from benchmarks.jobs import JOBS, Job
from benchmarks.peers import PEERS, Peer
from benchmarks.subject import answering, serving


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory):
    data = Data(tmp_path_factory.mktemp("benchmarks"), 3000)
    data.make()
    data.build()
    return data


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_answers_as_bedeck_does(data: Data, peer: type[Peer], job: Job):
    peer.prepare(data, job)
    theirs, ours = peer(data, job).answer, answering(serving(data.store), job)
    for text in data.lists(30, 100, seed=0):
        assert job.canonical(theirs(text.split(" "))) == job.canonical(ours(text.split(" ")))


def test_lists_are_mostly_known_with_some_unknown(data: Data):
    tracks = serving(data.store)["track"]
    ids = " ".join(data.lists(100, 100, seed=0)).split(" ")
    assert 0.96 < sum(id_ in tracks for id_ in ids) / len(ids) < 0.99


def test_contestants_take_turns_with_ids_of_their_own():
    seen: list[tuple[str, list[str]]] = []
    times = take_turns({name: (lambda ids, name=name: seen.append((name, ids)), ["a b", "c"]) for name in ("x", "y")})
    assert seen == [("x", ["a", "b"]), ("y", ["a", "b"]), ("x", ["c"]), ("y", ["c"])]
    assert {name: times[name].calls for name in times} == {"x": 2, "y": 2}


def test_times_are_microseconds():
    times = Times.of([value * 1000 for value in range(1, 1001)])
    assert (times.p50, times.p99, times.longest) == (501, 991, 1000)
