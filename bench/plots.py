"""Lines as SVG, without a library: a few series over one axis, each of them linear or logarithmic."""

import math
from dataclasses import dataclass, field
from html import escape

COLOURS = ("#b7410e", "#4a5568", "#2b6cb0", "#2f855a", "#d69e2e", "#702459")
#: Pixels: the plot, and what is around it.
WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 470, 250, 66, 44, 42, 260


@dataclass
class Series:
    """A line: its points, and how it is drawn."""

    name: str
    points: list[tuple[float, float]]
    colour: int = 0
    is_dashed: bool = False


@dataclass
class Plot:
    """Series over common axes."""

    title: str
    x: str
    y: str
    series: list[Series] = field(default_factory=list)
    log_x: bool = False
    log_y: bool = False

    def draw(self, left: int, top: int) -> list[str]:
        """The elements of the plot at a place."""
        points = [point for series in self.series for point in series.points]
        if not points:
            return []
        across = Axis.of([x for x, _ in points], self.log_x, WIDTH)
        up = Axis.of([y for _, y in points], self.log_y, HEIGHT)
        x0, y0 = left + LEFT, top + TOP + HEIGHT
        lines = [f'<text x="{left + 8}" y="{top + 20}" font-weight="bold">{escape(self.title)}</text>',
                 f'<text x="{left + 8}" y="{top + 36}" fill="#666">{escape(self.y)}</text>',
                 f'<text x="{x0 + WIDTH / 2:.0f}" y="{y0 + 36}" text-anchor="middle" fill="#666">{escape(self.x)}</text>']
        for value, name in up.ticks():
            y = y0 - up.place(value)
            lines.append(f'<path d="M{x0} {y:.1f}h{WIDTH}" stroke="#e2e2e2"/><text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{name}</text>')
        for value, name in across.ticks():
            lines.append(f'<text x="{x0 + across.place(value):.1f}" y="{y0 + 17}" text-anchor="middle">{name}</text>')
        for number, series in enumerate(self.series):
            colour = COLOURS[series.colour % len(COLOURS)]
            style = f'stroke="{colour}"' + (' stroke-dasharray="6 4"' if series.is_dashed else "")
            places = [(x0 + across.place(x), y0 - up.place(y)) for x, y in series.points]
            lines.append(f'<path d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y in places)}" fill="none" stroke-width="2" {style}/>')
            if len(places) <= 20:
                lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
            y = top + TOP + 12 + 18 * number
            lines.append(f'<path d="M{x0 + WIDTH + 10} {y - 4}h20" stroke-width="2" {style}/><text x="{x0 + WIDTH + 36}" y="{y}">{escape(series.name)}</text>')
        return lines


@dataclass
class Axis:
    """From a value to pixels."""

    low: float
    high: float
    is_log: bool
    length: int

    @classmethod
    def of(cls, values: list[float], is_log: bool, length: int) -> "Axis":
        if is_log:
            low, high = (max(value, 1e-6) for value in (min(values), max(values)))
            return cls(math.floor(math.log10(low)), max(math.ceil(math.log10(high)), math.floor(math.log10(low)) + 1), True, length)
        return cls(0, max(values) * 1.05 or 1, False, length)

    def place(self, value: float) -> float:
        value = math.log10(max(value, 1e-6)) if self.is_log else value
        return (value - self.low) / (self.high - self.low) * self.length

    def ticks(self) -> list[tuple[float, str]]:
        if self.is_log:
            return [(10.0**power, short(10.0**power)) for power in range(int(self.low), int(self.high) + 1)]
        step = 10 ** math.floor(math.log10(self.high / 2))
        step = next(step * times for times in (1, 2, 5, 10) if self.high / (step * times) <= 6)
        return [(number * step, short(number * step)) for number in range(int(self.high / step) + 1)]


def short(value: float) -> str:
    """0.5, 20, 3 k, 2 M."""
    for size, name in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{name}"
    return f"{value:g}"


def svg(plots: list[Plot]) -> str:
    """Plots below each other."""
    height, width = TOP + HEIGHT + BOTTOM, LEFT + WIDTH + RIGHT
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height * len(plots)}" font-family="sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="#fff"/>']
    for number, plot in enumerate(plots):
        lines += plot.draw(0, number * height)
    return "\n".join([*lines, "</svg>"]) + "\n"
