"""A synthetic catalogue is the same everywhere, holds together, and looks like a real one."""

import json
import re
import subprocess
import sys
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from statistics import mean, median, quantiles

import pytest

np = pytest.importorskip("numpy")
pa = pytest.importorskip("pyarrow")
pc = pytest.importorskip("pyarrow.compute")
pq = pytest.importorskip("pyarrow.parquet")

import bedeck  # noqa: E402 - after the packages that not every machine has
from bedeck import synth as module  # noqa: E402
from bedeck._synth.music import Music  # noqa: E402
from bedeck._synth.population import Population  # noqa: E402
from bedeck.synth import requests, synth  # noqa: E402

TRACKS = 100_000
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synth(tmp_path_factory.mktemp("catalogue"), TRACKS).parent


@pytest.fixture(scope="module")
def tracks(directory: Path) -> "pa.Table":
    return pq.read_table(directory / "tracks-00000.parquet")


@pytest.fixture(scope="module")
def albums(directory: Path) -> "pa.Table":
    return pq.read_table(directory / "albums.parquet")


@pytest.fixture(scope="module")
def artists(directory: Path) -> "pa.Table":
    return pq.read_table(directory / "artists.parquet")


def share(values: Iterator[bool] | list[bool]) -> float:
    return mean(map(float, values))


def number(key: str) -> int:
    value = 0
    for character in key:
        value = value * 62 + ALPHABET.index(character)
    return value


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


class TestFiles:
    def test_are_a_catalogue_that_the_schema_accepts(self, directory: Path):
        assert names(directory) == ["albums.parquet", "artists.parquet", "catalogue.toml", "tracks-00000.parquet"]
        schema = bedeck.Schema.load(directory / "catalogue.toml")
        assert schema.namespace == "music"
        assert sorted(schema.types) == ["album", "artist", "track"]
        assert schema.types["track"].uri == "spotify:track:{id}"
        assert tomllib.loads((directory / "catalogue.toml").read_text())["type"]["track"]["references"] == {
            "artists": {"field": "artist_ids", "type": "artist"},
            "album": {"field": "album_id", "type": "album"},
        }

    def test_hold_plain_types(self, tracks: "pa.Table", albums: "pa.Table", artists: "pa.Table"):
        texts, text = pa.list_(pa.string()), pa.string()
        assert dict(zip(tracks.schema.names, tracks.schema.types, strict=True)) == {
            "id": text,
            "title": text,
            "artist_ids": texts,
            "album_id": text,
            "duration_ms": pa.int32(),
            "explicit": pa.bool_(),
            "popularity": pa.uint8(),
            "isrc": text,
            "markets": texts,
            "track_number": pa.int16(),
        }
        assert albums.schema.types == [text, text, texts, text, pa.date32(), text, pa.int16()]
        assert artists.schema.types == [text, text, texts, pa.int64()]

    def test_have_the_rows_they_should(self, tracks: "pa.Table", albums: "pa.Table", artists: "pa.Table"):
        assert len(tracks) == TRACKS
        assert len(albums) == pytest.approx(TRACKS / 4, rel=0.001)
        assert len(artists) == TRACKS // 9

    def test_are_the_same_bytes_every_time(self, tmp_path: Path):
        first, second, other = (
            synth(tmp_path / name, 3_000, seed=seed).parent for name, seed in (("a", 7), ("b", 7), ("c", 8))
        )
        for name in names(first):
            assert (first / name).read_bytes() == (second / name).read_bytes()
            assert (first / name).read_bytes() != (other / name).read_bytes()

    def test_have_the_content_they_had_when_this_was_written(self, tmp_path: Path):
        synth(tmp_path, 1_000, seed=1)
        rows = {name: pq.read_table(tmp_path / name).to_pylist() for name in names(tmp_path) if "parquet" in name}
        digest = blake2b(json.dumps(rows, default=str, sort_keys=True).encode(), digest_size=8).hexdigest()
        assert digest == "616ac157fad1f09b"

    def test_are_cut_without_a_difference_in_content(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        whole = synth(tmp_path / "whole", 2_500).parent
        monkeypatch.setattr(module, "_FILE", 1_000)
        monkeypatch.setattr(module, "_BATCH", 77)
        cut = synth(tmp_path / "cut", 2_500).parent
        assert names(cut)[3:] == ["tracks-00000.parquet", "tracks-00001.parquet", "tracks-00002.parquet"]
        assert pa.concat_tables(map(pq.read_table, sorted(cut.glob("tracks-*")))) == pq.read_table(
            whole / "tracks-00000.parquet"
        )
        for name in ("albums.parquet", "artists.parquet"):
            assert pq.read_table(cut / name) == pq.read_table(whole / name)

    def test_of_an_earlier_run_are_replaced(self, tmp_path: Path):
        synth(tmp_path, 500, seed=1)
        synth(tmp_path, 300, seed=2)
        assert pq.read_table(tmp_path / "tracks-00000.parquet").num_rows == 300

    def test_of_a_larger_catalogue_are_not_mixed_in(self, tmp_path: Path):
        (tmp_path / "tracks-00001.parquet").touch()
        with pytest.raises(FileExistsError, match=r"tracks-00001\.parquet would become part of this catalogue"):
            synth(tmp_path, 500)
        assert names(tmp_path) == ["tracks-00001.parquet"]

    def test_do_not_replace_a_catalogue_of_something_else(self, tmp_path: Path):
        (tmp_path / "catalogue.toml").write_text('namespace = "mine"\n')
        with pytest.raises(FileExistsError, match=r"catalogue\.toml is not one of bedeck\.synth: name another folder"):
            synth(tmp_path, 500)
        assert (tmp_path / "catalogue.toml").read_text() == 'namespace = "mine"\n'
        assert names(tmp_path) == ["catalogue.toml"]

    def test_of_a_run_cut_short_are_no_catalogue(self, tmp_path: Path):
        def stop(*_: int) -> None:
            raise KeyboardInterrupt

        synth(tmp_path, 200)
        with pytest.raises(KeyboardInterrupt):
            synth(tmp_path, 500, progress=stop)
        assert names(tmp_path) == ["albums.parquet", "artists.parquet", "tracks-00000.parquet"]
        assert synth(tmp_path, 500).exists()

    def test_report_their_progress(self, tmp_path: Path):
        calls: list[tuple[int, int]] = []
        synth(tmp_path, 200_000, progress=lambda done, total: calls.append((done, total)))
        assert [total for _, total in calls] == [272_222] * len(calls)
        assert [done for done, _ in calls] == sorted({done for done, _ in calls})
        assert calls[-1][0] == 272_222

    @pytest.mark.parametrize("tracks", [-1, 0, 2**32 - 1])
    def test_of_an_impossible_number_are_refused(self, tmp_path: Path, tracks: int):
        with pytest.raises(ValueError, match=f"tracks is {tracks}: give a number from 1 to 4294967294"):
            synth(tmp_path, tracks)


class TestReferences:
    @pytest.mark.parametrize("tracks", [*range(1, 30), 63, 64, 65, 127, 1000])
    def test_resolve_in_catalogues_of_any_size(self, tracks: int):
        music = Music(tracks, seed=3)
        people = music.population
        batches = music.tracks(0, tracks), music.albums(0, people.albums), music.artists(0, people.artists)
        for batch in batches:
            batch.validate(full=True)
        of_track, of_album, of_artist = (batch.to_pylist() for batch in batches)
        known = {"album": {row["id"] for row in of_album}, "artist": {row["id"] for row in of_artist}}
        assert len({row["id"] for row in of_track}) == tracks
        assert all(row["album_id"] in known["album"] for row in of_track)
        assert all(set(row["artist_ids"]) <= known["artist"] for row in of_album)
        assert sum(key not in known["artist"] for row in of_track for key in row["artist_ids"]) <= 1
        assert all(len(set(row["artist_ids"])) == len(row["artist_ids"]) > 0 for row in of_track)

    def test_of_artists_dangle_in_one_of_ten_thousand(self, tracks: "pa.Table", artists: "pa.Table"):
        known = set(artists["id"].to_pylist())
        keys = [key for row in tracks["artist_ids"].to_pylist() for key in row]
        assert share([key not in known for key in keys]) == pytest.approx(0.0001, rel=0.4)

    def test_of_albums_agree_with_what_the_albums_say(
        self, tracks: "pa.Table", albums: "pa.Table", artists: "pa.Table"
    ):
        by_id = {row["id"]: row for row in albums.to_pylist()}
        places: dict[str, list[int]] = {}
        for row in tracks.select(["album_id", "track_number"]).to_pylist():
            places.setdefault(row["album_id"], []).append(row["track_number"])
        assert places == {key: list(range(1, row["total_tracks"] + 1)) for key, row in by_id.items()}
        known = set(artists["id"].to_pylist())
        for row in tracks.select(["album_id", "artist_ids"]).to_pylist():
            album, lead = by_id[row["album_id"]], row["artist_ids"][0]
            assert album["album_type"] == "compilation" or lead == album["artist_ids"][0] or lead not in known

    def test_of_compilations_are_to_various_artists(self, albums: "pa.Table", artists: "pa.Table"):
        various = artists.slice(0, 1).to_pylist()[0]
        assert various["name"] == "Various Artists"
        compilations = [row for row in albums.to_pylist() if row["album_type"] == "compilation"]
        assert len(compilations) > 200
        assert all(row["artist_ids"] == [various["id"]] and row["total_tracks"] >= 8 for row in compilations)

    def test_reach_as_far_as_the_catalogue_does(self):
        music = Music(256_000_000, seed=0)
        batch = music.tracks(255_999_000, 256_000_000)
        batch.validate(full=True)
        assert set(batch["album_id"].to_pylist()) <= set(
            music.albums(music.population.albums - 400, music.population.albums)["id"].to_pylist()
        )
        for last in (music.albums(63_999_000, 64_000_000), music.artists(28_440_000, 28_444_444)):
            last.validate(full=True)

    def test_favour_some_artists(self, tracks: "pa.Table"):
        counts = Counter(key for row in tracks["artist_ids"].to_pylist() for key in row)
        assert max(counts.values()) > 50 * sorted(counts.values())[len(counts) // 2]

    @pytest.mark.parametrize("tracks", [1, 2, 100, 4097, 256_000_000, 2**32 - 2])
    def test_go_both_ways_between_tracks_albums_and_ranks(self, tracks: int):
        people = Population(tracks, seed=5)
        some = np.unique(np.linspace(0, tracks - 1, 1000).astype(np.int64))
        of_album, places = people.album_of(some)
        first, sizes = people.span_of(of_album)
        assert (first + places == some).all()
        assert (places < sizes).all()
        assert of_album.max() < people.albums
        ranks = people.ranks.forth(some)
        assert ((ranks >= 0) & (ranks < tracks)).all()
        assert len(np.unique(ranks)) == len(some)
        assert (people.ranks.back(ranks) == some).all()


class TestIds:
    def test_are_unique_base62_numbers_below_two_to_the_128(self, tracks: "pa.Table"):
        ids = tracks["id"].to_pylist()
        assert len(set(ids)) == TRACKS
        assert all(re.fullmatch("[0-9a-zA-Z]{22}", key) for key in ids)
        assert all(key < "7N42dgm5tFLK9N8MT7fHC8" or number(key) < 2**128 for key in ids)

    def test_are_uniform(self, tracks: "pa.Table"):
        top = Counter(number(key) >> 120 for key in tracks["id"].to_pylist())
        expected = TRACKS / 256
        chi2 = sum((top[value] - expected) ** 2 / expected for value in range(256))
        assert chi2 / 255 == pytest.approx(1, abs=0.3)

    def test_do_not_depend_on_the_number_of_tracks(self):
        few, many = Population(10, 4), Population(256_000_000, 4)
        assert (few.ids("track", np.arange(10)) == many.ids("track", np.arange(10))).all()
        assert (few.ids("track", np.arange(10)) != few.ids("album", np.arange(10))).any(axis=1).all()

    def test_are_unique_far_out(self):
        far = np.arange(255_900_000, 256_000_000)
        assert len(np.unique(Population(256_000_000, 0).ids("track", far).view("S22"))) == len(far)


class TestText:
    def test_of_titles_is_as_long_as_in_real_catalogues(self, tracks: "pa.Table"):
        lengths = [len(title.encode()) for title in tracks["title"].to_pylist()]
        cuts = quantiles(lengths, n=100)
        assert mean(lengths) == pytest.approx(15.6, abs=1.5)
        for per_cent, length, within in ((5, 5, 1), (25, 8, 1), (50, 12, 2), (75, 19, 3), (95, 38, 4), (99, 56, 6)):
            assert cuts[per_cent - 1] == pytest.approx(length, abs=within)
        assert min(lengths) > 0
        assert 200 < max(lengths) < 400

    def test_of_titles_repeats_as_in_real_catalogues(self, tracks: "pa.Table"):
        assert len(set(tracks["title"].to_pylist())) / TRACKS == pytest.approx(0.788, abs=0.01)

    def test_of_titles_names_guests_and_versions(self, tracks: "pa.Table"):
        titles = tracks["title"].to_pylist()
        assert share([bool(re.search(r"feat\. | \(ft\. | \(with ", title)) for title in titles]) == pytest.approx(
            0.082, abs=0.005
        )
        assert share([" - " in title for title in titles]) == pytest.approx(0.086, abs=0.006)
        assert share([title.isupper() for title in titles]) == pytest.approx(0.035, abs=0.004)
        assert share([title.islower() for title in titles]) == pytest.approx(0.037, abs=0.004)

    def test_of_titles_names_the_second_artist(self, tracks: "pa.Table", artists: "pa.Table"):
        name = dict(zip(artists["id"].to_pylist(), artists["name"].to_pylist(), strict=True))
        rows = [row for row in tracks.select(["title", "artist_ids"]).to_pylist() if " (feat. " in row["title"]]
        assert len(rows) > 1000
        for row in rows:
            guest = row["artist_ids"][1]
            assert guest not in name or f"(feat. {name[guest]})" in row["title"]

    def test_is_of_many_scripts(self, tracks: "pa.Table", artists: "pa.Table"):
        for texts, latin1, beyond in ((tracks["title"], 0.018, 0.0165), (artists["name"], 0.018, 0.0135)):
            widest = [max(map(ord, text)) for text in texts.to_pylist()]
            assert share([0x7F < width <= 0xFF for width in widest]) == pytest.approx(latin1, abs=0.005)
            assert share([0xFF < width <= 0xFFFF for width in widest]) == pytest.approx(beyond, abs=0.005)
            assert max(widest) <= 0xFFFF
        letters = set("".join(tracks["title"].to_pylist()))
        scripts = {unicodedata.name(letter).split()[0] for letter in letters if letter.isalpha()}
        expected = {"LATIN", "CYRILLIC", "GREEK", "HEBREW", "ARABIC", "THAI", "CJK", "HANGUL", "HIRAGANA", "KATAKANA"}
        assert expected | {"GEORGIAN", "TELUGU", "SINHALA", "TIBETAN"} <= scripts

    def test_is_clean(self, tracks: "pa.Table", albums: "pa.Table", artists: "pa.Table"):
        for column in (tracks["title"], albums["title"], albums["label"], artists["name"]):
            for text in column.to_pylist():
                assert text == text.strip()
                assert "_" not in text
                assert "{" not in text
                assert unicodedata.is_normalized("NFC", text)

    def test_of_names_is_as_in_real_catalogues(self, artists: "pa.Table"):
        found = artists["name"].to_pylist()
        lengths = [len(name.encode()) for name in found]
        assert mean(lengths) == pytest.approx(10.3, abs=1)
        cuts = quantiles(lengths, n=100)
        for per_cent, length, within in ((50, 10, 1), (95, 18, 2), (99, 24, 4)):
            assert cuts[per_cent - 1] == pytest.approx(length, abs=within)
        assert len(set(found)) / len(found) == pytest.approx(0.986, abs=0.004)


class TestValues:
    def test_of_credits(self, tracks: "pa.Table"):
        counts = [len(row) for row in tracks["artist_ids"].to_pylist()]
        assert mean(counts) == pytest.approx(1.40, abs=0.01)
        for count, expected in ((1, 0.71), (2, 0.21), (3, 0.06), (4, 0.013)):
            assert counts.count(count) / TRACKS == pytest.approx(expected, rel=0.05)
        assert sum(count >= 5 for count in counts) / TRACKS == pytest.approx(0.006, rel=0.15)
        assert max(counts) == 52

    def test_of_numbers(self, tracks: "pa.Table"):
        seconds = [value / 1000 for value in tracks["duration_ms"].to_pylist()]
        assert mean(seconds) == pytest.approx(211, abs=3)
        cuts = quantiles(seconds, n=100)
        for per_cent, expected in ((5, 127), (50, 200), (95, 339), (99, 464)):
            assert cuts[per_cent - 1] == pytest.approx(expected, rel=0.02)
        assert 31 <= min(seconds) <= max(seconds) <= 2753
        assert share(tracks["explicit"].to_pylist()) == pytest.approx(0.135, abs=0.005)
        popularity = tracks["popularity"].to_pylist()
        assert popularity.count(0) / TRACKS == pytest.approx(0.7, abs=0.001)
        assert share([value >= 50 for value in popularity]) == pytest.approx(0.001, rel=0.1)
        assert 80 <= max(popularity) <= 100

    def test_of_markets(self, tracks: "pa.Table"):
        joined = Counter(pc.binary_join(tracks["markets"], " ").to_pylist())
        chosen = {tuple(markets.split()): count for markets, count in joined.items()}
        assert 200 < len(chosen) < 400
        assert sum(count for _, count in joined.most_common(10)) / TRACKS == pytest.approx(0.7, abs=0.04)
        assert all(list(markets) == sorted(set(markets)) for markets in chosen)
        assert len({market for markets in chosen for market in markets}) == 184
        assert sum(len(markets) * count for markets, count in chosen.items()) / TRACKS == pytest.approx(86.6, abs=5)
        assert {0, 33, 63, 184} <= {len(markets) for markets in chosen}

    def test_of_isrcs(self, tracks: "pa.Table"):
        isrcs = tracks["isrc"].to_pylist()
        assert isrcs.count(None) / TRACKS == pytest.approx(0.015, abs=0.002)
        there = [isrc for isrc in isrcs if isrc]
        assert all(re.fullmatch("[A-Z]{2}[A-Z0-9]{3}[0-9]{7}", isrc) for isrc in there)
        assert len(set(there)) / len(there) > 0.999

    def test_of_albums(self, tracks: "pa.Table", albums: "pa.Table"):
        rows = albums.to_pylist()
        dates = [row["release_date"] for row in rows]
        assert dates.count(None) / len(rows) == pytest.approx(0.004, abs=0.002)
        assert 1960 <= min(filter(None, dates)).year < max(filter(None, dates)).year == 2025
        assert 2000 < len({row["label"] for row in rows}) <= 3000
        assert {row["album_type"] for row in rows} == {"album", "single", "compilation"}
        title = {row["id"]: row["title"] for row in rows if row["album_type"] == "single"}
        columns = tracks.select(["album_id", "title", "isrc", "track_number"])
        first = {row["album_id"]: row for row in columns.to_pylist() if row["track_number"] == 1}
        assert all(first[key]["title"].startswith(text) for key, text in title.items())
        year = {row["id"]: row["release_date"].year for row in rows if row["release_date"]}
        late = [
            abs(int(row["isrc"][5:7]) - year[key] % 100) for key, row in first.items() if row["isrc"] and key in year
        ]
        assert share([gap in (0, 1, 99) for gap in late]) == 1

    def test_of_artists(self, artists: "pa.Table"):
        genres = Counter(map(tuple, artists["genres"].to_pylist()))
        assert 200 < len(genres) < 400
        assert genres[()] / len(artists) == pytest.approx(0.5, abs=0.02)
        followers = artists["followers"].to_pylist()
        assert 0 == min(followers) < max(followers) < 2**27
        assert median(followers[:20]) > 10 * median(followers)


class TestRequests:
    def test_are_of_editorial_sizes(self):
        lists = list(requests(TRACKS, 4000, seed=1))
        sizes = [len(ids) for ids in lists]
        assert mean(sizes) == pytest.approx(97, abs=4)
        cuts = quantiles(sizes, n=100)
        for per_cent, expected in ((25, 50), (50, 76), (75, 101), (95, 250), (99, 600)):
            assert cuts[per_cent - 1] == pytest.approx(expected, rel=0.08)
        assert max(sizes) <= 641
        assert share([len(set(ids)) < len(ids) for ids in lists]) == pytest.approx(1 / 257, abs=0.003)

    @pytest.mark.parametrize("shape", ["playlist", "uniform", "zipf"])
    def test_name_tracks_of_the_catalogue_but_for_some(self, tracks: "pa.Table", directory: Path, shape: str):
        known = set(tracks["id"].to_pylist())
        ids = [key for one in requests(directory, 300, shape=shape) for key in one]
        assert share([key not in known for key in ids]) == pytest.approx(0.02, abs=0.004)
        assert all(number(key) < 2**128 for key in ids)
        assert set().union(*requests(directory, 50, shape=shape, unknown=0)) <= known
        assert not known.intersection(*requests(directory, 1, shape=shape, unknown=1))

    def test_need_only_the_number_of_tracks_and_the_seed(self, directory: Path, tmp_path: Path):
        assert list(requests(directory, 5, seed=9)) == list(requests(TRACKS, 5, seed=9))
        other = synth(tmp_path, 500, seed=6).parent
        assert list(requests(other, 5)) == list(requests(500, 5, catalogue_seed=6)) != list(requests(500, 5))

    def test_are_each_a_function_of_its_number(self):
        assert list(islice(requests(TRACKS, 10**9, seed=2), 3)) == list(requests(TRACKS, 3, seed=2))
        assert list(requests(TRACKS, 3, seed=2)) != list(requests(TRACKS, 3, seed=3))

    @pytest.mark.parametrize("shape", ["playlist", "zipf"])
    def test_favour_popular_tracks(self, tracks: "pa.Table", shape: str):
        popularity = dict(zip(tracks["id"].to_pylist(), tracks["popularity"].to_pylist(), strict=True))
        asked = [key for ids in requests(TRACKS, 200, shape=shape, unknown=0) for key in ids]
        assert share([popularity[key] == 0 for key in asked]) < 0.4
        uniform = [key for ids in requests(TRACKS, 200, shape="uniform", unknown=0) for key in ids]
        assert share([popularity[key] == 0 for key in uniform]) == pytest.approx(0.7, abs=0.02)

    def test_of_playlists_stay_with_artists(self, tracks: "pa.Table"):
        credits_of = dict(zip(tracks["id"].to_pylist(), tracks["artist_ids"].to_pylist(), strict=True))
        together = {
            shape: mean(
                len({artist for key in ids for artist in credits_of[key]})
                for ids in requests(TRACKS, 200, shape=shape, size=97, unknown=0)
            )
            for shape in ("playlist", "zipf")
        }
        assert together["playlist"] == pytest.approx(103, abs=8)
        assert together["zipf"] > 120

    @pytest.mark.parametrize("shape", ["playlist", "uniform", "zipf"])
    @pytest.mark.parametrize("size", [0, 1, 2, 5000])
    def test_are_as_long_as_asked_for(self, shape: str, size: int):
        lists = list(requests(TRACKS, 4, shape=shape, size=size))
        assert [len(ids) for ids in lists] == [size] * 4
        assert [len(set(ids)) for ids in lists] == [size] * 4

    @pytest.mark.parametrize("shape", ["playlist", "uniform", "zipf"])
    def test_may_be_longer_than_the_catalogue(self, shape: str):
        for tracks in (1, 2, 3, 50):
            (ids,) = requests(tracks, 1, shape=shape, size=200, unknown=0)
            assert len(ids) == 200
            assert len(set(ids)) <= tracks

    def test_that_make_no_sense_are_refused(self, tmp_path: Path):
        with pytest.raises(ValueError, match="shape is 'square'"):
            requests(10, 1, shape="square")
        with pytest.raises(ValueError, match="lists is -1"):
            requests(10, -1)
        with pytest.raises(ValueError, match="size -1"):
            requests(10, 1, size=-1)
        with pytest.raises(ValueError, match="unknown is 2"):
            requests(10, 1, unknown=2)
        with pytest.raises(ValueError, match="tracks is 0"):
            requests(0, 1)
        with pytest.raises(FileNotFoundError, match="holds no catalogue"):
            requests(tmp_path, 1)
        pq.write_table(pa.table({"id": ["a"]}), tmp_path / "tracks-00000.parquet")
        with pytest.raises(FileNotFoundError, match="holds no catalogue"):
            requests(tmp_path, 1)


class TestImport:
    def test_takes_neither_numpy_nor_pyarrow(self):
        code = "import sys, bedeck.synth; print({'numpy', 'pyarrow'} & set(sys.modules))"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
        assert found.stdout == "set()\n"

    def test_that_is_missing_is_named_with_the_way_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(module, "find_spec", lambda _: None)
        message = r"bedeck\.synth needs numpy and pyarrow: pip install numpy pyarrow$"
        with pytest.raises(ImportError, match=message):
            synth(tmp_path, 10)
        with pytest.raises(ImportError, match=r"needs numpy: pip install numpy$"):
            requests(10, 1)
        assert names(tmp_path) == []
