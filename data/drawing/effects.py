"""What happens to paper before it is seen: turned, creased, faded, photographed from the side."""

import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

Effect = Callable[[Image.Image, random.Random], Image.Image]


def flat(image: Image.Image, dice: random.Random) -> Image.Image:
    return image


def rotated(image: Image.Image, dice: random.Random) -> Image.Image:
    """Turned by one to three degrees, on a grey table."""
    angle = dice.choice([-1, 1]) * dice.uniform(1.0, 3.0)
    return image.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=170)


def crumpled(image: Image.Image, dice: random.Random) -> Image.Image:
    """Soft shadows of folds, and a little grain."""
    rng = np.random.default_rng(dice.randrange(2**32))
    width, height = image.size
    coarse = Image.fromarray(rng.integers(150, 256, (9, 6), dtype=np.uint8)).resize(
        image.size, Image.Resampling.BICUBIC
    )
    shade = np.asarray(coarse, dtype=float) / 255
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    for _ in range(3):
        slope, start = rng.uniform(-0.6, 0.6), rng.uniform(0, height)
        shade -= 0.10 * np.exp(-(((y - start - slope * x) / 9) ** 2))
    grain = rng.normal(0, 3, (height, width))
    return Image.fromarray(np.clip(np.asarray(image) * shade + grain, 0, 255).astype(np.uint8))


def faint(image: Image.Image, dice: random.Random) -> Image.Image:
    """Old thermal paper: grey on light grey."""
    return image.point([round(150 + value * 75 / 255) for value in range(256)])


def photographed(image: Image.Image, dice: random.Random) -> Image.Image:
    """Seen at an angle on a dark table, lit from one side, slightly out of focus."""
    width, height = image.size
    edge = round(0.05 * width)
    wide = Image.new("L", (width + 2 * edge, height + 2 * edge), 70)
    wide.paste(image, (edge, edge))
    lean = [dice.uniform(0, 0.035) * width for _ in range(4)]
    w, h = wide.size
    corners = [(lean[0], 0), (w - lean[1], lean[1]), (w, h - lean[2]), (0, h)]
    found = wide.transform(wide.size, Image.Transform.PERSPECTIVE, _matrix(corners, w, h), Image.Resampling.BICUBIC,
                           fillcolor=70)  # fmt: skip
    light = np.linspace(1.0, 0.72, w)[None, :]
    lit = Image.fromarray((np.asarray(found) * light).astype(np.uint8))
    return lit.filter(ImageFilter.GaussianBlur(0.6))


def _matrix(corners: list[tuple[float, float]], w: int, h: int) -> list[float]:
    """The eight numbers that PIL wants, so that the sheet's corners come to lie on `corners`."""
    rows, values = [], []
    for (x, y), (u, v) in zip(corners, [(0, 0), (w, 0), (w, h), (0, h)], strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return [float(value) for value in np.linalg.solve(np.array(rows), np.array(values))]


EFFECTS: dict[str, Effect] = {
    "flat": flat, "rotated": rotated, "crumpled": crumpled, "faint": faint, "photographed": photographed,
}  # fmt: skip
