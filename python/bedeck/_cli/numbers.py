"""Numbers on the command line."""

from math import isnan

import click

__all__ = ["Number"]


class Number(click.FloatRange):
    """A number in a range, which nan is in none of."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if isnan(number):
            self.fail(f"{value} is no number.", param, ctx)
        return number
