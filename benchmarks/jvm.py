"""Programs in Java: compiled by Maven with what they need, run in a JVM of their own with a bounded heap."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from shutil import which

__all__ = ["Unavailable", "classpath", "java"]

_PATIENCE = 60  # seconds for Maven to compile
_TO_FETCH = 180  # seconds for it to fetch what that takes before


class Unavailable(Exception):  # noqa: N818 - a reason, not a mistake
    """Why it cannot be run here."""


def classpath(project: Path, output: Path) -> Sequence[Path]:
    """Compile a project into a folder, anew: its classes, and the libraries beside them.

    Asks Maven's own cache first, and fetches only what is not there. Raises `Unavailable` where Maven or Java is
    missing, or Maven fails.
    """
    if missing := [program for program in ("mvn", "java") if which(program) is None]:
        raise Unavailable(f"not installed: {', '.join(missing)}")
    shutil.rmtree(output, ignore_errors=True)
    libraries = output / "libraries"
    goals = ["compiler:compile", "dependency:copy-dependencies", f"-DoutputDirectory={libraries}", f"-Doutput={output}"]
    command = [which("mvn") or "", "--batch-mode", "--quiet", "--file", str(project / "pom.xml"), *goals]
    failed = _failure([*command, "--offline"], _PATIENCE)
    if failed and (failed := _failure(command, _TO_FETCH)):
        short = failed.split(" in ")[0]  # without where it was looked for, which another machine has elsewhere
        raise Unavailable(f"Maven cannot fetch or compile it: {short}")
    return [output / "classes", *sorted(libraries.glob("*.jar"))]


def java(path: Sequence[Path], program: str, heap: int, *arguments: object) -> None:
    """Run a program to its end in so many bytes of heap, all of which it has from the start, in huge pages if it may.

    Raises `Unavailable` if it fails.
    """
    size = f"{-(-heap // 2**20)}m"
    options = [f"-Xms{size}", f"-Xmx{size}", "-XX:+UseG1GC", "-XX:+AlwaysPreTouch", "-XX:+UseTransparentHugePages"]
    where = ["-classpath", ":".join(map(str, path)), program]
    if failed := _failure([which("java") or "", *options, *where, *map(str, arguments)], None):
        raise Unavailable(f"it failed: {failed}")


def _failure(command: Sequence[str], patience: float | None) -> str | None:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=patience)  # noqa: S603 - ours
    except subprocess.TimeoutExpired:
        return f"not done after {patience} s"
    if not done.returncode:
        return None
    lines = (done.stdout + done.stderr).strip().splitlines()
    told = [line for line in lines if "ERROR" in line or "Exception" in line or "Error" in line]
    return (told or lines or [f"exit code {done.returncode}"])[0].split("[ERROR] ")[-1]
