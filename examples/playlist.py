"""From rows to a decorated playlist, as Python dicts, as JSON and as lazy records: python examples/playlist.py."""

import tempfile

import bedeck

ARTISTS = [
    {"id": 1, "name": "Jordin Sparks"},
    {"id": 2, "name": "Chris Brown"},
]
TRACKS = [
    {"id": "no-air", "title": "No Air", "seconds": 264, "artist_ids": [1, 2]},
    {"id": "tattoo", "title": "Tattoo", "seconds": 233, "artist_ids": [1]},
]
SCHEMA = bedeck.Schema(
    {
        "track": bedeck.Type("id", references={"artists": bedeck.Reference("artist_ids", "artist")}),
        "artist": bedeck.Type("id"),
    },
    namespace="music",
)
PLAYLIST = ["tattoo", "no-air", "deleted", "tattoo"]


def main() -> None:
    """Build a store in a temporary folder, and decorate one list from it in each way."""
    with tempfile.TemporaryDirectory() as store:
        built = bedeck.build(SCHEMA, store, {"track": TRACKS, "artist": ARTISTS})
        print(f"version {built.version}:", {name: type_.records for name, type_ in built.types.items()})
        catalogue = bedeck.open(store)
    with catalogue.view() as view:
        card = view["track"].select("title", "seconds", "artists.name")
        for place, track in enumerate(card.decorate(PLAYLIST), 1):
            artists = ", ".join(artist["name"] for artist in track["artists"]) if track else ""
            print(place, f"{track['title']} - {artists}" if track else "(gone)")
        print(card.decorate_json(PLAYLIST, missing="drop").decode())
        print(sum(record["seconds"] for record in card.records(PLAYLIST) if record), "seconds")


if __name__ == "__main__":
    main()
