"""The catalogue over HTTP: what `bedeck.app` and `bedeck.serve` are made of."""

__all__: list[str] = []
