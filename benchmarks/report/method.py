"""How it was measured."""

from benchmarks.contest import CHECKED, WARM_UP
from benchmarks.lists import MAIN
from benchmarks.results import Results

__all__ = ["method"]

_METHOD = """\
## Method

* Lists hold 2 % unknown ids. Uniform ones take all tracks alike; Zipf's (s = 1) and playlists take popular ones more
  often, playlists also stay with an artist or an album, and have the lengths of editorial ones (quartiles 50, 76, 101).
  For every call the ids are new `str` objects, whose hash is not yet known.
* In each contest up to {lists:,} lists of {size} uniform ids are timed, and {others:,} of each other case, but no more
  than take {seconds:g} s in all: of slow peers fewer, the tables say how many.
* A peer's answers to up to {checked} other lists are compared with bedeck's, value by value, before it is timed.
* Right before timing, both touch all their files and answer up to {warm_up:,} lists. Then they take turns, A/B/A/B.
* Each call is timed by itself with `time.perf_counter_ns`, freeing the answer included. Percentiles are of calls; none
  is left out. Timing nothing takes {clock:.2f} us, which is not subtracted.
* Python's garbage collector is off while a peer loads and on while it is timed; what was loaded is frozen.
* The peak of a build is the most `RssAnon` that its process had, looked at fifty times a second.
* What peers serve from is kept between runs, with the seconds that it took to write.
"""


def method(results: Results) -> str:
    """The rules, and a line for each peer."""
    run = results.compared
    rules = _METHOD.format(
        size=MAIN.size,
        lists=run.effort.lists,
        others=run.effort.others,
        seconds=run.effort.seconds,
        checked=CHECKED,
        warm_up=WARM_UP,
        clock=run.clock,
    )
    abouts = {name: about for run in results.runs for name, about in run.abouts.items()}
    return rules + "\n".join(f"* {name}: {about}" for name, about in abouts.items())
