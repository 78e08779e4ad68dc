"""A sheet of paper to write on: fonts that come with matplotlib, so that every machine draws the same."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
MONO, SANS, SERIF, BOLD = "DejaVuSansMono", "DejaVuSans", "DejaVuSerif", "DejaVuSans-Bold"


@cache
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONTS / f"{name}.ttf", size)


@dataclass
class Paper:
    """A sheet `width` pixels wide, as long as what is written on it; `y` is where the next line goes."""

    width: int
    face: str = MONO
    size: int = 22
    margin: int = 28
    ink: int = 20  # grey, 0 is black
    y: float = 30
    height: int = 4_000
    image: Image.Image = field(init=False)

    def __post_init__(self) -> None:
        self.image = Image.new("L", (self.width, self.height), 255)
        self.draw = ImageDraw.Draw(self.image)

    def put(self, x: float, text: str, align: str = "l", face: str = "", size: int = 0, ink: int | None = None) -> None:
        """Text at `x` on the current line; `align` says whether that is its left, middle or right."""
        anchor = {"l": "la", "m": "ma", "r": "ra"}[align]
        shade = self.ink if ink is None else ink
        self.draw.text((x, self.y), text, fill=shade, font=font(face or self.face, size or self.size), anchor=anchor)

    def down(self, lines: float = 1.0, size: int = 0) -> None:
        self.y += 1.45 * lines * (size or self.size)

    def line(self, left: str = "", right: str = "", face: str = "", size: int = 0) -> None:
        self.put(self.margin, left, face=face, size=size)
        if right:
            self.put(self.width - self.margin, right, "r", face, size)
        self.down(size=size)

    def centre(self, text: str, face: str = "", size: int = 0) -> None:
        self.put(self.width / 2, text, "m", face, size)
        self.down(size=size)

    def rule(self, dashes: bool = False) -> None:
        """A line across, with room around it."""
        self.down(0.25)
        step = 12 if dashes else self.width
        for x in range(self.margin, self.width - self.margin, step):
            end = min(x + (7 if dashes else step), self.width - self.margin)
            self.draw.line((x, self.y, end, self.y), fill=self.ink + 40, width=2)
        self.down(0.4)

    def done(self, least: int = 0) -> Image.Image:
        return self.image.crop((0, 0, self.width, max(least, round(self.y) + 30)))
