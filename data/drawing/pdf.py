"""A PDF of three pages: terms as text, an invoice as a scan, a table of error codes as text.

Written by hand (PDF 1.4, Helvetica, Flate): the same bytes each time, without a date or an id of the file.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

WIDTH, HEIGHT = 595, 842  # points: A4
Line = tuple[float, float, int, str]  # x, y from the top, size, text


def text_page(lines: Sequence[Line]) -> tuple[bytes, Image.Image | None]:
    said = []
    for x, y, size, text in lines:
        plain = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)").encode("cp1252")
        said.append(b"BT /F1 %d Tf %d %d Td (%s) Tj ET" % (size, x, HEIGHT - y, plain))
    return b"\n".join(said), None


def scan_page(image: Image.Image) -> tuple[bytes, Image.Image | None]:
    scale = min((WIDTH - 40) / image.width, (HEIGHT - 40) / image.height)
    w, h = image.width * scale, image.height * scale
    return b"q %.2f 0 0 %.2f 20 %.2f cm /Im Do Q" % (w, h, HEIGHT - 20 - h), image


def written(pages: Sequence[tuple[bytes, Image.Image | None]]) -> bytes:
    """The file. Objects: 1 catalogue, 2 pages, 3 font, then page, content and image of each page."""
    bodies: dict[int, bytes] = {}
    kids = []
    for number, (content, image) in enumerate(pages):
        page, stream, picture = (4 + 3 * number + place for place in range(3))
        kids.append(b"%d 0 R" % page)
        inside = b"/Font << /F1 3 0 R >>" + (b" /XObject << /Im %d 0 R >>" % picture if image else b"")
        bodies[page] = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Resources << %s >> /Contents %d 0 R >>" % (
            WIDTH,
            HEIGHT,
            inside,
            stream,
        )
        bodies[stream] = _stream(b"", content)
        if image:
            head = b"/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8 "
            bodies[picture] = _stream(head % image.size, image.convert("L").tobytes())
        else:
            bodies[picture] = b"null"
    bodies[1] = b"<< /Type /Catalog /Pages 2 0 R >>"
    bodies[2] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(pages))
    bodies[3] = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number in sorted(bodies):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, bodies[number])
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(places) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(places) + 1, start)
    return bytes(out)


def _stream(head: bytes, data: bytes) -> bytes:
    packed = zlib.compress(data, 9)
    return b"<< %s/Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (head, len(packed), packed)


def terms(facts: Mapping[str, Any]) -> list[Line]:
    """What the seller promises, from the policy of one tenant."""
    policy, contact = facts["policy"], facts["contact"]
    said = (
        f"Return period: {policy['return_days']} days",
        f"Refund within: {policy['refund_days']} days",
        f"Warranty: {policy['warranty_months']} months",
        f"Shipping fee: {policy['shipping_fee']:.2f} {facts['currency']}",
        f"Free shipping from: {policy['free_shipping_from']:.2f} {facts['currency']}",
        f"Contact: {contact['email']}",
    )
    head: list[Line] = [(60, 90, 26, facts["name"]), (60, 130, 16, "Terms of sale")]
    return head + [(60, 190 + 30 * at, 13, text) for at, text in enumerate(said)]


def codes(facts: Mapping[str, Any]) -> list[Line]:
    lines: list[Line] = [(60, 90, 20, "Error codes"), (60, 140, 13, "Code"), (160, 140, 13, "Meaning")]
    for at, (code, meaning) in enumerate(facts["errors"].items()):
        lines += [(60, 175 + 30 * at, 12, code), (160, 175 + 30 * at, 12, meaning)]
    return lines
