"""Two kinds of plots as SVG, with logarithmic axes: bars, and lines. The same figures give the same bytes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

__all__ = ["Bar", "Point", "bars", "lines"]

Point = tuple[float, float]

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW = 860, 250, 90, 56, 24
_HEIGHT, _BOTTOM = 440, 44
_OURS, _THEIRS, _GRID, _TEXT = "#00704a", "#8a97a6", "#dde2e7", "#1f2933"
_COLOURS = ("#b5503c", "#3a6ea5", "#a07c1c", "#7a4d9b", "#2e8b99", "#9b4d6f", "#5c7d2b", "#666666")
_LABEL = 13  # the least height between two labels
_NAMES = 220  # right of lines


@dataclass(frozen=True, slots=True)
class Bar:
    """A value, one above it (drawn as a whisker) or none, and whether it is bedeck's."""

    name: str
    value: float
    above: float | None
    ours: bool


def bars(title: str, unit: str, entries: Sequence[Bar]) -> str:
    """A bar for each entry, in their order."""
    tops = [entry.above or entry.value for entry in entries]
    scale = _Scale(min(entry.value for entry in entries), max(tops), _LEFT, _WIDTH - _RIGHT)
    height = _TOP + _ROW * len(entries) + 12
    parts = [*_vertical(scale, _TOP - 6, height - 8)]
    for place, entry in enumerate(entries):
        y = _TOP + place * _ROW
        x, colour = scale.at(entry.value), _OURS if entry.ours else _THEIRS
        parts.append(_text(_LEFT - 8, y + 13, entry.name, "end", bold=entry.ours))
        parts.append(f'<rect x="{_LEFT}" y="{y + 2}" width="{x - _LEFT:.1f}" height="{_ROW - 8}" fill="{colour}"/>')
        end = x
        if entry.above:
            end = scale.at(entry.above)
            parts.append(_line(x, y + 10, end, y + 10, colour, 2))
        parts.append(_text(end + 6, y + 14, _number(entry.value), "start", bold=entry.ours))
    return _page(f"{title}, {unit} (logarithmic)", height, parts)


def lines(title: str, axis: str, series: Mapping[str, Sequence[Point]]) -> str:
    """A line for each series; bedeck's is the first."""
    points = [point for line in series.values() for point in line]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    across = _Scale(min(xs), max(xs), 70, _WIDTH - _NAMES, whole=False)
    up = _Scale(min(ys), max(ys), _HEIGHT - _BOTTOM, _TOP)
    parts = list(_horizontal(up, 70, _WIDTH - _NAMES))
    parts += [_text(across.at(x), _HEIGHT - _BOTTOM + 18, f"{x:,.0f}", "middle") for x in sorted(set(xs))]
    parts.append(_text((70 + _WIDTH - _NAMES) / 2, _HEIGHT - 6, axis, "middle"))
    labels = []
    for place, (name, line) in enumerate(series.items()):
        colour = _OURS if place == 0 else _COLOURS[(place - 1) % len(_COLOURS)]
        path = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in line)
        wide = 3 if place == 0 else 1.5
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{wide}"/>')
        labels.append((up.at(line[-1][1]), name, colour))
    names = sorted(labels)
    parts += [
        _text(_WIDTH - _NAMES + 8, y + 4, name, "start", colour)
        for y, (_, name, colour) in zip(_apart([y for y, _, _ in names]), names, strict=True)
    ]
    return _page(title, _HEIGHT, parts)


def _apart(places: list[float]) -> list[float]:
    """Move places, sorted, as far as labels need room: down from where they are, and up again from the lower end."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + _LABEL) if moved else place)
    lowest = float(_HEIGHT - _BOTTOM)
    for number in range(len(moved) - 1, -1, -1):
        moved[number] = min(moved[number], lowest)
        lowest = moved[number] - _LABEL
    return moved


class _Scale:
    """Where a value lies between two places, by its logarithm."""

    def __init__(self, low: float, high: float, start: float, stop: float, *, whole: bool = True) -> None:
        self.low: float = floor(log10(low)) if whole else log10(low)
        self.high: float = ceil(log10(high)) if whole else log10(high)
        self._start = start
        self._length = (stop - start) / ((self.high - self.low) or 1)

    def at(self, value: float) -> float:
        return self._start + (log10(value) - self.low) * self._length

    def decades(self) -> list[float]:
        return [10.0**power for power in range(int(self.low), int(self.high) + 1)]


def _vertical(scale: _Scale, top: float, bottom: float) -> Iterator[str]:
    for value in scale.decades():
        yield _line(scale.at(value), top, scale.at(value), bottom, _GRID, 1)
        yield _text(scale.at(value), top - 4, _number(value), "middle")


def _horizontal(scale: _Scale, left: float, right: float) -> Iterator[str]:
    for value in scale.decades():
        yield _line(left, scale.at(value), right, scale.at(value), _GRID, 1)
        yield _text(left - 8, scale.at(value) + 4, _number(value), "end")


def _line(x: float, y: float, to_x: float, to_y: float, colour: str, width: float) -> str:  # noqa: PLR0913, PLR0917 - a line
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = _TEXT, *, bold: bool = False) -> str:  # noqa: PLR0913 - a text
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}>{escape(text)}</text>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"  # noqa: PLR2004 - digits


def _page(title: str, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="12">'
    )
    ground = f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>'
    heading = f'<text x="16" y="22" font-size="15" font-weight="bold" fill="{_TEXT}">{escape(title)}</text>'
    return "\n".join((head, ground, heading, *parts, "</svg>")) + "\n"
