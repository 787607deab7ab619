"""The limit of this machine: random lines of bedeck's own file, read by a small Rust program, `benchmarks/probe`."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from shutil import which

__all__ = ["Probe", "probe"]

_ROOT = Path(__file__).parents[1]
_PACKAGE = "bedeck-probe"


@dataclass(frozen=True, slots=True)
class Probe:
    """Nanoseconds a random line of a mapped file: one after the other, and `flight` of them at a time (medians)."""

    bytes: int
    flight: int
    alone: float
    in_flight: float


def probe(file: Path) -> Probe | None:
    """Compile the program, if need be, and have it measure a file; None where there is no cargo."""
    cargo = which("cargo")
    if cargo is None:
        return None
    command = [cargo, "build", "--quiet", "--release", "--locked", "--package", _PACKAGE]
    subprocess.run(command, cwd=_ROOT, check=True)  # noqa: S603 - our own words
    program = Path(os.environ.get("CARGO_TARGET_DIR", _ROOT / "target"), "release", _PACKAGE)
    done = subprocess.run([program, file], check=True, capture_output=True)  # noqa: S603 - the same
    told = json.loads(done.stdout)
    return Probe(told["bytes"], told["flight"], told["alone"]["median"], told["in_flight"]["median"])
