"""Sizes as people write them: ``4GiB``, ``500MB``, ``1_000_000``."""

import re

import click

__all__ = ["Size"]

POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
SIZE = re.compile(r"(\d[\d_,]*(?:\.\d+)?)\s*(?:([kmgt]?)(i?)b?)?", re.IGNORECASE)


class Size(click.ParamType[int]):
    """A number of bytes, at least ``least``.

    ``k``, ``M``, ``G``, ``T`` stand for powers of 1,000, ``Ki``, ``Mi``, ``Gi``, ``Ti`` for those of 1,024.
    """

    name = "size"

    def __init__(self, least: int) -> None:
        self.least = least

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = SIZE.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no size: write it as 4GiB, 500MB or a number of bytes", param, ctx)
        number, prefix, binary = found.groups(default="")
        size = int(float(re.sub("[_,]", "", number)) * (1024 if binary else 1000) ** POWERS[prefix.lower()])
        if size < self.least:
            self.fail(f"{value} is too little: at least {self.least >> 20} MiB are needed", param, ctx)
        return size
