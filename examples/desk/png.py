"""Pictures without a library: a canvas of pixels, and PNG (W3C PNG, RFC 2083) made with zlib."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from pathlib import Path

Colour = tuple[int, int, int]
GLYPH_WIDTH, GLYPH_HEIGHT = 5, 9
"""A glyph's cell: seven rows above the line it stands on and two below."""


class Canvas:
    """A picture in RGB. Everything drawn beyond its edges is cut off."""

    def __init__(self, width: int, height: int, background: Colour = (255, 255, 255)) -> None:
        self.width = width
        self.height = height
        self._rows = [bytearray(bytes(background) * width) for _ in range(height)]

    def rectangle(
        self, x: int, y: int, width: int, height: int, colour: Colour, *, radius: float = 0
    ) -> None:
        """Fill a rectangle whose corners are rounded by `radius` pixels."""
        radius = min(radius, width / 2, height / 2)
        for row in range(max(y, 0), min(y + height, self.height)):
            inset = _inset(row - y, height, radius)
            solid = int(inset + 0.999)
            self._span(row, x + solid, x + width - solid, colour)
            if solid > inset:  # the pixel that the curve goes through
                for edge in (x + solid - 1, x + width - solid):
                    self._blend(row, edge, colour, solid - inset)

    def text(self, x: int, y: int, words: str, colour: Colour, *, pixel: int, bold: bool = False) -> None:
        """Write one line; `y` is its top and `pixel` the size of a dot of the 5 by 9 letters."""
        for character in words:
            for row, dots in enumerate(_glyphs().get(character, _glyphs()["?"])):
                for column in range(GLYPH_WIDTH):
                    if dots >> (GLYPH_WIDTH - 1 - column) & 1:
                        left, top = x + column * pixel, y + row * pixel
                        self.rectangle(left, top, pixel + (pixel + 1) // 2 * bold, pixel, colour)
            x += (GLYPH_WIDTH + 1) * pixel

    def png(self) -> bytes:
        """The picture as a PNG file: 8 bits a channel, no filter, not interlaced."""
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        pixels = zlib.compress(b"".join(b"\0" + row for row in self._rows), 6)
        chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", pixels), _chunk(b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)

    def _span(self, row: int, left: int, right: int, colour: Colour) -> None:
        left, right = max(left, 0), min(right, self.width)
        if right > left:
            self._rows[row][left * 3 : right * 3] = bytes(colour) * (right - left)

    def _blend(self, row: int, column: int, colour: Colour, share: float) -> None:
        if 0 <= column < self.width:
            at = column * 3
            under = self._rows[row][at : at + 3]
            mixed = (round(new * share + old * (1 - share)) for new, old in zip(colour, under, strict=True))
            self._rows[row][at : at + 3] = bytes(mixed)


def text_width(words: str, pixel: int) -> int:
    """How wide a line is, in pixels of the picture."""
    return max(len(words) * (GLYPH_WIDTH + 1) - 1, 0) * pixel


def _inset(row: int, height: int, radius: float) -> float:
    """How far a rounded corner pushes the edge of a row inwards."""
    from_edge = min(row, height - 1 - row) + 0.5
    if from_edge >= radius:
        return 0.0
    return float(radius - (radius**2 - (radius - from_edge) ** 2) ** 0.5)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@cache
def _glyphs() -> dict[str, tuple[int, ...]]:
    """The letters of glyphs.txt: a line that names them, then nine rows of dots, six columns a letter."""
    glyphs: dict[str, tuple[int, ...]] = {}
    lines = (Path(__file__).parent / "glyphs.txt").read_text("utf-8").splitlines()
    for top in range(0, len(lines), GLYPH_HEIGHT + 1):
        art = [line.ljust(200) for line in lines[top + 1 : top + 1 + GLYPH_HEIGHT]]
        for number, name in enumerate(lines[top][:: GLYPH_WIDTH + 1]):
            left = number * (GLYPH_WIDTH + 1)
            cells = (row[left : left + GLYPH_WIDTH] for row in art)
            glyphs[name] = tuple(
                int("".join("1" if dot == "#" else "0" for dot in cell), 2) for cell in cells
            )
    return glyphs
