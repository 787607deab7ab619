"""What `import bedeck` gives, and what it costs."""

import builtins
import subprocess
import sys
from importlib.metadata import version

import bedeck


def test_the_version_is_that_of_the_package():
    assert bedeck.__version__ == version("bedeck")


def test_importing_looks_for_no_metadata():
    code = "import bedeck, sys; bedeck.__version__; sys.exit('importlib.metadata' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603 - our own


def test_a_star_leaves_the_open_of_python():
    names: dict[str, object] = {}
    exec("from bedeck import *", names)  # noqa: S102
    assert names["build"] is bedeck.build
    assert names.get("open", builtins.open) is builtins.open
    assert bedeck.open is not builtins.open
