"""bedeck measured against what a Python service would otherwise do: `make bench`, or `python -m benchmarks --help`."""

__all__: list[str] = []
