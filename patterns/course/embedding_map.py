"""A map of embeddings: each text is a point, texts that mean the same lie close together.

    EmbeddingMap(vectors, names, labels, "Tickets of Acme Home")

Hovering over a point, or moving to it with Tab, shows its text. Each label has a shape and a colour. Two dimensions of
hundreds keep only part of the distances, and the map says which part.
"""

import html
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import ipywidgets

from .widgets import PlainText

if TYPE_CHECKING:
    import numpy as np

WIDTH, HEIGHT, EDGE, MOST_LETTERS = 720, 440, 16, 160
COLOURS = ("#0b7285", "#c2410c", "#5f3dc4", "#2b8a3e", "#a61e4d", "#364fc7", "#846200", "#495057")
SHAPES = (  # drawn around 0, 0
    '<circle r="5"/>',
    '<rect x="-4.5" y="-4.5" width="9" height="9"/>',
    '<path d="M0-6 6 5H-6Z"/>',
    '<path d="M0-6 6 0 0 6-6 0Z"/>',
    '<path d="M0 6 6-5H-6Z"/>',
)
STYLE = """<style>
.embedding-map > svg {max-width: 100%; height: auto; background: #fff; border: 1px solid #9aa5b1}
.embedding-map g.point {fill-opacity: .75; stroke: #fff; stroke-width: .5; outline: none}
.embedding-map g.point:hover, .embedding-map g.point:focus {stroke: #000; stroke-width: 2}
.embedding-map g.point text {display: none; fill: #000; stroke: #fff; stroke-width: 4px; paint-order: stroke;
  fill-opacity: 1; pointer-events: none; font: 12px sans-serif}
.embedding-map g.point:hover text, .embedding-map g.point:focus text {display: block}
.embedding-map .key span {white-space: nowrap; margin-right: 1em}
</style>"""


def project(vectors: "np.ndarray") -> "tuple[np.ndarray, float]":
    """(points (texts, 2), share of the variance that they keep): principal components, the same each time.

    The sign of a component is arbitrary; here its largest loading is positive. Needs 2 texts at least.
    """
    import numpy as np

    centred = np.asarray(vectors, float) - np.mean(vectors, axis=0)
    _, strengths, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2][np.arange(2), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    return centred @ axes.T, float((strengths[:2] ** 2).sum() / max((strengths**2).sum(), 1e-12))


class EmbeddingMap(PlainText, ipywidgets.HTML):
    """`vectors` (texts, dimension), with a name and a label each."""

    def __init__(self, vectors: "np.ndarray", names: Sequence[str], labels: Sequence[str], title: str) -> None:
        points, self._kept = project(vectors)
        self._title, self._counts = title, Counter(labels)
        kinds = {label: number for number, label in enumerate(sorted(self._counts))}
        low, high = points.min(axis=0), points.max(axis=0)
        scaled = (points - low) / (high - low).clip(1e-12)
        drawn = [
            _point(EDGE + x * (WIDTH - 2 * EDGE), HEIGHT - EDGE - y * (HEIGHT - 2 * EDGE), name, label, kinds[label])
            for (x, y), name, label in zip(scaled.tolist(), names, labels, strict=True)
        ]
        keys = "".join(
            f'<span><svg width="14" height="14" viewBox="-7 -7 14 14" fill="{_colour(number)}" aria-hidden="true">'
            f"{_shape(number)}</svg> {html.escape(label)} ({self._counts[label]})</span>"
            for label, number in kinds.items()
        )
        svg = (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="group" aria-label="{_safe(repr(self))}">'
            f"{''.join(drawn)}</svg>"
        )
        super().__init__(
            f'{STYLE}<div class="embedding-map"><b>{html.escape(title)}</b><br>{svg}<div class="key">{keys}</div></div>'
        )
        self.layout.width = "100%"

    def __repr__(self) -> str:
        labels = ", ".join(f"{label}: {count}" for label, count in sorted(self._counts.items()))
        kept = f"two dimensions keep {self._kept:.0%} of the variance"
        return f"[map · {self._title} · {labels} · {kept} · run the cell to hover]"


def _point(x: float, y: float, name: str, label: str, number: int) -> str:
    said = _safe(f"{label}: {name if len(name) <= MOST_LETTERS else name[:MOST_LETTERS] + '…'}")
    anchor, shift = ("end", -9) if x > WIDTH / 2 else ("start", 9)
    short = _safe(f"{label}: {name[:50]}")
    return (
        f'<g class="point" tabindex="0" role="img" aria-label="{said}" transform="translate({x:.1f} {y:.1f})" '
        f'fill="{_colour(number)}"><title>{said}</title>{_shape(number)}'
        f'<text x="{shift}" y="4" text-anchor="{anchor}">{short}</text></g>'
    )


def _safe(text: str) -> str:
    return html.escape(" ".join(text.split()))


def _shape(number: int) -> str:
    return SHAPES[number % len(SHAPES)]


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
