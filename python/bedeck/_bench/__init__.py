"""What `bedeck.bench` and `bedeck.plan` are made of: load for a service, and pictures of what came of it."""

__all__: list[str] = []
