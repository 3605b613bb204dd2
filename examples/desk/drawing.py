"""A design's nodes onto a canvas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from desk.png import GLYPH_HEIGHT, GLYPH_WIDTH, Canvas, Colour, text_width

MAX_SIDE = 3000


def draw_node(node: Mapping[str, Any], scale: int = 2) -> bytes:
    """Answer a PNG of a node and everything in it; `scale` is how many dots a pixel of the design gets."""
    width, height = (min(max(node[side], 1) * scale, MAX_SIDE) for side in ("width", "height"))
    canvas = Canvas(width, height)
    _draw(canvas, node, -node.get("x", 0), -node.get("y", 0), scale)
    return canvas.png()


def _draw(canvas: Canvas, node: Mapping[str, Any], left: int, top: int, scale: int) -> None:
    x, y = left + node.get("x", 0), top + node.get("y", 0)
    if node["type"] == "text":
        _write(canvas, node, x, y, scale)
    else:
        _fill(canvas, node, x, y, scale)
    for child in node.get("children", []):
        _draw(canvas, child, x, y, scale)


def _fill(canvas: Canvas, node: Mapping[str, Any], x: int, y: int, scale: int) -> None:
    box = (x * scale, y * scale, node["width"] * scale, node["height"] * scale)
    ellipse = node["type"] == "ellipse"
    radius = (min(node["width"], node["height"]) / 2 if ellipse else node.get("radius", 0)) * scale
    stroke, fill = node.get("stroke"), node.get("fill")
    if stroke:
        canvas.rectangle(*box, _colour(stroke), radius=radius)
        line = scale
        inner = (box[0] + line, box[1] + line, box[2] - 2 * line, box[3] - 2 * line)
        canvas.rectangle(*inner, _colour(fill or "#ffffff"), radius=max(radius - line, 0))
    elif fill:
        canvas.rectangle(*box, _colour(fill), radius=radius)


def _write(canvas: Canvas, node: Mapping[str, Any], x: int, y: int, scale: int) -> None:
    pixel = max(1, round(node.get("size", 14) * scale / 11))
    lines = _wrap(node["text"], max(1, node["width"] * scale // ((GLYPH_WIDTH + 1) * pixel)))
    for number, line in enumerate(lines):
        free = node["width"] * scale - text_width(line, pixel)
        shift = {"center": free // 2, "right": free}.get(node.get("align", "left"), 0)
        canvas.text(
            x * scale + max(shift, 0),
            y * scale + number * (GLYPH_HEIGHT + 3) * pixel,
            line,
            _colour(node.get("color", "#000000")),
            pixel=pixel,
            bold=node.get("weight", 400) >= 600,
        )


def _wrap(text: str, columns: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > columns:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _colour(text: str) -> Colour:
    """`#rrggbb`; anything else is drawn black."""
    try:
        red, green, blue = bytes.fromhex(text.removeprefix("#"))
    except ValueError:
        return (0, 0, 0)
    return red, green, blue
