"""A small catalogue with a past, written down by hand: each thing that layers can do to a type, at least once."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from bedeck import Key
from layered import Held, Layered, Past
from strategies import Column, Rows

__all__ = ["past"]


def column(name: str, type_: str, values: Sequence[Any], to: str | None = None, *aliases: str) -> Column:
    """A column; `to` is what its references are called, and the type they lead to, with a colon between."""
    reference, target = to.split(":") if to else (None, None)
    return Column(name, type_, list(values), reference, target, aliases)


def past() -> Layered:
    """Artists and tracks.

    Of the artists one is deleted, one replaced, and of three that came one is gone again; a field is new, one is gone,
    one has another name and a wider type. Of the tracks all plays and genres are in groups, the plays in two. They
    refer to artists and tracks that stay, go, come, come and go, and never were.
    """
    return {"artist": artists(), "track": tracks()}


def artists() -> Past:
    kept, over = ["abba", "dio", "enya"], ["cher", "falco", "gala"]
    base = Rows(
        "artist",
        Key("id", "string"),
        signed=True,
        keys=["abba", "blur", "cher", "dio", "enya"],
        columns=[
            column("name", "string", ["ABBA", 'Blur "4"', "Cher", None, "Enya " * 60]),
            column("albums", "int8", [9, 8, -7, 10, None]),
            column("members", "list<string>", [["Agnetha", "Björn", None], [], None, ["Ronnie"], ["Enya"]]),
        ],
    )
    names = ["Cher\n", "Falco", None]
    albums, countries = [27, -30_000, 40], ["US", "AT", "IT"]
    now = [
        column("releases", "int16", [9, 10, None, *albums], None, "albums", "records"),
        column("name", "string", ["ABBA", None, "Enya " * 60, *names]),
        column("country", "categorical", [None, None, None, *countries]),
    ]
    return Past(
        base=base,
        base_ids=[0, 1, 2],
        now=Rows("artist", base.key, base.signed, [*kept, *over], now),
        ids=[1, 0, 7],
        replaced=["cher"],
        deleted=["blur"],
        inserted=["falco", None, "gala"],
        groups=[],
        overlay=[
            Held(0, column("name", "string", names)),
            Held(1, column("albums", "int16", albums)),
            Held(7, column("country", "string", countries)),
        ],
    )


def tracks() -> Past:
    base = Rows(
        "track",
        Key("id", "int"),
        signed=True,
        keys=[1, -2, 3, 4, 5],
        columns=[
            column("title", "string", ["one", "two\\2", "", None, "five"]),
            column("plays", "uint8", [1, 2, 3, 4, 5]),
            column("genre", "categorical", ["pop", None, "pop", "rock", "rock"]),
            column(
                "artist_ids",
                "list<reference>",
                [["abba", "blur"], ["falco", None, "nobody"], [], None, ["gala", "cher", "enya"]],
                "artists:artist",
            ),
        ],
    )
    plays, genres = [100, 200, 300, 400, 5_000], ["pop", "folk", None, "rock " * 60, "folk"]
    released = [dt.date(1999, 12, 31), None, dt.date(1, 1, 1)]
    over_plays, over_genres, titles = [7, 70_000, None], ["folk", None, "opera"], ["three", "six", "\u2028"]
    artist_ids, next_ids = [["gala", "abba"], ["falco", "blur"], None], [6, 1, 2**40]
    now = [
        column("title", "string", ["one", "two\\2", "five", *titles]),
        column("plays", "uint32", [100, 200, 5_000, *over_plays]),
        column("genre", "string", ["pop", "folk", "folk", *over_genres]),
        column(
            "artist_ids",
            "list<reference>",
            [["abba", "blur"], ["falco", None, "nobody"], ["gala", "cher", "enya"], *artist_ids],
            "artists:artist",
        ),
        column("next_id", "reference", [None, None, None, *next_ids], "next:track"),
        column("released", "date", [None, None, None, *released]),
    ]
    return Past(
        base=base,
        base_ids=[3, 4, 5, 6],
        now=Rows("track", base.key, base.signed, [1, -2, 5, 3, 6, 7], now),
        ids=[3, 4, 5, 6, 8, 9],
        replaced=[3],
        deleted=[4],
        inserted=[6, 7],
        groups=[
            [
                Held(4, column("plays", "uint8", [10, 20, 30, 40, 50])),
                Held(5, column("genre", "categorical", genres)),
            ],
            [Held(4, column("plays", "uint16", plays))],
        ],
        overlay=[
            Held(3, column("title", "string", titles)),
            Held(4, column("plays", "uint32", over_plays)),
            Held(5, column("genre", "string", over_genres)),
            Held(6, column("artist_ids", "list<reference>", artist_ids, "artists:artist")),
            Held(8, column("next_id", "reference", next_ids, "next:track")),
            Held(9, column("released", "date", released)),
        ],
    )
