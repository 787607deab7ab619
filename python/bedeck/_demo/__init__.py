"""What `bedeck.demo` is made of: a playlist for people, and a contest with a plain dict."""

__all__: list[str] = []
