"""The command line, behind `bedeck.cli`."""

__all__: list[str] = []
