"""What may not be sent is refused with a reason and a next step, before a pixel of it is decoded."""

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as pillow
from PIL import ImageDraw
from PIL.Image import Image as Pixels

from patterns import image_caps, multimodal, pdf_pages, pictures
from patterns.core import model_call, support_prompt
from patterns.course import control
from patterns.errors import CallerError
from patterns.events import Image, Turn, answer, stack


def drawn(width: int = 200, height: int = 100, text: str = "Hello", mode: str = "RGB") -> Pixels:
    pixels = pillow.new(mode, (width, height), "white")
    ImageDraw.Draw(pixels).text((10, 10), text, fill="black")
    return pixels


def saved(pixels: Pixels, kind: str = "PNG", **how: object) -> bytes:
    file = io.BytesIO()
    pixels.save(file, kind, **how)
    return file.getvalue()


def png_of(width: int, height: int, rows: int = 0) -> bytes:
    """A gray PNG whose header says that size, with `rows` rows of it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    pack = zlib.compressobj(9)
    body = b"".join(pack.compress(b"\0" * (width + 1)) for _ in range(rows)) + pack.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def pdf_of(pages: int = 1, width: float = 595, height: float = 842) -> bytes:
    document = pypdfium2.PdfDocument.new()
    for _ in range(pages):
        document.new_page(width, height)
    file = io.BytesIO()
    document.save(file)
    document.close()
    return file.getvalue()


def animation(kind: str) -> bytes:
    return saved(drawn(), kind, save_all=True, append_images=[drawn(text="Bye")])


SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'

REFUSED: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "no bytes": (lambda: b"", "empty_document", "no bytes"),
    "a text": (lambda: b"Dear support,\nit is broken.", "unparseable", "not a picture"),
    "a page that says it is a picture": (lambda: b"<html><body>no</body></html>", "unparseable", "not a picture"),
    "a program": (lambda: b"MZ\x90\0" + b"\0" * 200, "unparseable", "not a picture"),
    "an SVG": (lambda: SVG, "unparseable", "SVG"),
    "an SVG after spaces": (lambda: b"\xef\xbb\xbf  " + SVG, "unparseable", "SVG"),
    "a PDF": (pdf_of, "unparseable", "PDF"),
    "a TIFF": (lambda: saved(drawn(), "TIFF"), "unparseable", "TIFF"),
    "a BMP": (lambda: saved(drawn(), "BMP"), "unparseable", "BMP"),
    "an icon": (lambda: saved(drawn(64, 64), "ICO"), "unparseable", "not a picture"),
    "HEIC": (lambda: b"\0\0\0\x18ftypheic" + b"\0" * 100, "unparseable", "HEIC"),
    "a GIF that moves": (lambda: animation("GIF"), "unparseable", "animated"),
    "a PNG that moves": (lambda: animation("PNG"), "unparseable", "animated"),
    "a WebP that moves": (lambda: animation("WEBP"), "unparseable", "animated"),
    "a hundred megapixels": (lambda: png_of(10_000, 10_000), "too_large", "100 megapixels"),
    "a bomb": (lambda: png_of(60_000, 60_000), "too_large", "megapixels"),
    "a long thin bomb": (lambda: png_of(2**31 - 1, 16), "too_large", "megapixels"),
    "a dot": (lambda: saved(drawn(1, 1)), "unparseable", "too few"),
    "many bytes": (lambda: saved(drawn()) + b"\0" * 10_000_000, "too_large", "10.0 MB"),
    "only a signature": (lambda: b"\x89PNG\r\n\x1a\n", "unparseable", "not a picture"),
}
DAMAGED: dict[str, Callable[[], bytes]] = {
    "a PNG without its end": lambda: saved(drawn(400, 400))[:-80],
    "a PNG without its pixels": lambda: png_of(400, 400),
    "half a JPEG": lambda: (data := saved(drawn(400, 400), "JPEG"))[: len(data) // 2],
    "half a WebP": lambda: (data := saved(drawn(400, 400), "WEBP", lossless=True))[: len(data) // 2],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_not_be_sent_is_refused_with_a_reason_and_a_next_step(name: str) -> None:
    make, code, said = REFUSED[name]
    with pytest.raises(CallerError) as refused:
        image_caps.check(make())
    assert refused.value.code == code and said in refused.value.message
    assert refused.value.message.endswith(".") and refused.value.next_step.endswith(".")


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_picture_is_refused(name: str) -> None:
    with pytest.raises(CallerError, match=r"damaged|not a picture") as refused:
        pictures.prepare(DAMAGED[name]())
    assert refused.value.code == "unparseable"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_what_a_file_is_its_bytes_say(kind: str) -> None:
    header = image_caps.check(saved(drawn(), kind))
    assert (header.media_type, header.width, header.height) == (f"image/{kind.lower()}", 200, 100)


def test_a_photo_with_a_second_picture_in_it_is_a_photo() -> None:
    header = image_caps.check(saved(drawn(), "MPO", save_all=True, append_images=[drawn()]))
    assert header.media_type == "image/jpeg"


@given(st.binary(max_size=300), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF"]))
@settings(max_examples=150, deadline=None)
def test_no_bytes_raise_anything_else(data: bytes, start: bytes) -> None:
    with suppress(CallerError):
        pictures.prepare(start + data)


@given(st.integers(0, 2_000), st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_a_picture_with_one_wrong_byte_is_read_or_refused(place: int, value: int) -> None:
    data = bytearray(saved(drawn(), "JPEG"))
    data[place % len(data)] = value
    with suppress(CallerError):
        pictures.prepare(bytes(data))


# nothing of it is sent


ASSISTANT = stack(model_call(support_prompt), multimodal.checked, multimodal.sees)


@pytest.mark.parametrize("name", [*REFUSED, *DAMAGED])
async def test_nothing_of_a_refused_picture_is_sent(name: str, turn_dials: Callable[..., None]) -> None:
    data = DAMAGED[name]() if name in DAMAGED else REFUSED[name][0]()
    good = Image(saved(drawn()), "image/png")
    with pytest.raises(CallerError, match="Image 2"):
        await answer(ASSISTANT, Turn("What is this?", images=(good, Image(data, "image/png"))))
    assert control.provider_log() == []


async def test_sixty_pictures_are_refused_at_once(
    turn_dials: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = []
    monkeypatch.setattr(image_caps, "check", looked_at.append)
    with pytest.raises(CallerError, match="60 images") as refused:
        await answer(ASSISTANT, Turn("What is this?", images=(Image(saved(drawn()), "image/png"),) * 60))
    assert refused.value.code == "too_large" and control.provider_log() == [] and looked_at == []


# memory

MEASURED = """
import io, re, sys
import pypdfium2
from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin
from patterns import pdf_pages, pictures
from patterns.errors import CallerError

def naive(data):
    Image.MAX_IMAGE_PIXELS = None
    Image.open(io.BytesIO(data)).convert("RGB")

def peak():  # kB; resource.getrusage would count the process that started this one
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])

data = open(sys.argv[1], "rb").read()
before, said = peak(), "passed"
try:
    {"naive": naive, "image": pictures.prepare, "pdf": pdf_pages.pages}[sys.argv[2]](data)
except CallerError as error:
    said = error.code
print(said, (peak() - before) // 1024)
"""
measurable = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")


def megabytes(data: bytes, folder: Path, how: str = "image") -> tuple[str, int]:
    """How it ended in a process of its own, and the memory that it took besides what was there before."""
    (folder / "data").write_bytes(data)
    command = [sys.executable, "-c", MEASURED, str(folder / "data"), how]
    said, grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return said, int(grown)


@measurable
def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    bomb = png_of(12_000, 12_000, rows=12_000)
    assert len(bomb) < 200_000
    assert megabytes(bomb, tmp_path, "naive")[1] > 400
    said, grown = megabytes(bomb, tmp_path)
    assert said == "too_large" and grown < 20


@measurable
def test_a_webp_bomb_takes_no_memory(tmp_path: Path) -> None:
    bomb = saved(pillow.new("RGB", (8_000, 8_000)), "WEBP", lossless=True, method=0, quality=0)
    assert megabytes(bomb, tmp_path, "naive")[1] > 200
    said, grown = megabytes(bomb, tmp_path)
    assert said == "too_large" and grown < 20


@measurable
def test_the_largest_picture_that_may_be_sent_takes_bounded_memory(tmp_path: Path) -> None:
    said, grown = megabytes(saved(pillow.new("RGBA", (5_000, 5_000)), compress_level=1), tmp_path)
    assert said == "passed" and grown < 300


@measurable
def test_a_bomb_inside_a_pdf_takes_no_memory(tmp_path: Path) -> None:
    said, grown = megabytes(pdf_with_image(20_000, 20_000), tmp_path, "pdf")
    assert said == "too_large" and grown < 20


# what is sent


def test_a_phone_photo_is_turned_upright_and_says_nothing_else() -> None:
    secret = "51.1279,1.3134 taken by Jane"
    exif = pillow.Exif()
    exif[0x0112] = 6  # the camera was held upright: the picture lies on its side
    exif[0x010E] = secret
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (51.0, 7.0, 40.0)
    pixels = pillow.new("RGB", (400, 200), "white")
    ImageDraw.Draw(pixels).rectangle((0, 0, 60, 200), fill="black")  # its left side: after the turn, its top
    how = {"exif": exif, "comment": secret, "xmp": secret.encode(), "icc_profile": secret.encode()}
    data = saved(pixels, "JPEG", **how)
    assert data.count(b"taken by Jane") == 4 and b"GPS" not in data
    picture = pictures.prepare(data)
    assert (picture.width, picture.height) == (200, 400)
    sent = pillow.open(io.BytesIO(picture.image.data))
    gray = sent.convert("L").tobytes()
    assert gray[5 * 200 + 100] < 60 and gray[390 * 200 + 100] > 200  # rows of 200 pixels
    assert b"Jane" not in picture.image.data and not sent.getexif() and set(sent.info) <= {
        "jfif", "jfif_version", "jfif_unit", "jfif_density",
    }  # fmt: skip


def test_nothing_hidden_in_a_png_is_sent() -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Author", "Jane")
    info.add_itxt("XML:com.adobe.xmp", "<x>Jane</x>")
    data = saved(drawn(), "PNG", pnginfo=info, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0Jane") + b"Jane after the end"
    assert data.count(b"Jane") >= 4
    assert b"Jane" not in pictures.prepare(data).image.data


@pytest.mark.parametrize(("width", "height"), [(4_000, 3_000), (300, 2_500), (1_024, 1_024), (5_000, 20)])
def test_a_picture_is_scaled_down_and_never_up(width: int, height: int) -> None:
    picture = pictures.prepare(saved(drawn(width, height)))
    scale = min(1.0, 1_024 / max(width, height))
    assert (picture.width, picture.height) == (round(width * scale), max(1, round(height * scale)))
    small = pictures.prepare(saved(drawn(200, 100)))
    assert (small.width, small.height) == (200, 100)


def test_what_is_transparent_becomes_paper() -> None:
    for mode in ("RGBA", "LA", "PA"):
        pixels = pillow.new("RGBA", (100, 100), (0, 0, 0, 0)).convert(mode) if mode != "PA" else None
        if pixels is None:
            pixels = pillow.new("P", (100, 100), 0)
            data = saved(pixels, "PNG", transparency=0)
        else:
            data = saved(pixels)
        sent = pillow.open(io.BytesIO(pictures.prepare(data).image.data))
        assert sent.mode == "RGB" and sent.getpixel((50, 50)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["1", "P", "L"])
def test_thin_lines_survive_scaling_down(mode: str) -> None:
    """Pillow drops pixels of these where it averages those of others: a letter's stroke would come and go."""
    pixels = pillow.new("L", (4_096, 100), 255)
    for column in range(0, 4_096, 8):
        ImageDraw.Draw(pixels).line((column, 0, column, 100), fill=0)
    data = saved(pixels.convert(mode))
    sent = pillow.open(io.BytesIO(pictures.prepare(data).image.data)).convert("L").tobytes()
    row = sent[10 * 1_024 : 11 * 1_024]
    assert max(row) > min(row) > 0, "every line is there, as a gray one"


def test_sixteen_bits_are_scaled_to_eight() -> None:
    sent = pillow.open(io.BytesIO(pictures.prepare(saved(pillow.new("I;16", (100, 100), 32_768))).image.data))
    assert sent.convert("L").tobytes()[0] == 128


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "CMYK"])
def test_every_kind_of_pixel_is_sent_as_rgb(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    sent = pillow.open(io.BytesIO(pictures.prepare(saved(pillow.new(mode, (100, 100)), kind)).image.data))
    assert sent.mode == "RGB" and sent.format == kind


def test_the_same_pixels_make_the_same_bytes() -> None:
    one = pictures.prepare(saved(drawn(), "PNG", compress_level=1))
    other = pictures.prepare(saved(drawn(), "PNG", compress_level=9, dpi=(300, 300)))
    assert one.image.data == other.image.data
    assert pictures.prepare(saved(drawn(text="Other"))).image.data != one.image.data


# PDFs


def pdf_with_image(width: int, height: int) -> bytes:
    """A page with one gray picture on it, packed as small as it gets."""
    pack = zlib.compressobj(9)
    body = b"".join(pack.compress(b"\xff" * width) for _ in range(height)) + pack.flush()
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 600] /Contents 4 0 R"
        b" /Resources << /XObject << /A 5 0 R >> >> >>",
        b"<< /Length 28 >>\nstream\nq 600 0 0 600 0 0 cm /A Do Q\nendstream",
        b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8"
        b" /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (width, height, len(body), body),
    ]
    return _pdf(parts)


def _pdf(parts: list[bytes], trailer: bytes = b"") -> bytes:
    out, places = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(parts) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"trailer << /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF" % (len(parts) + 1, trailer, start)


def encrypted() -> bytes:
    """A PDF whose user password is not empty: its check value fits nothing."""
    return _pdf(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 600] >>",
            b"<< /Filter /Standard /V 1 /R 2 /P -44 /O <%s> /U <%s> >>" % (b"41" * 32, b"42" * 32),
        ],
        b"/Encrypt 4 0 R /ID [<00> <00>]",
    )


BAD_PDFS: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "no bytes": (lambda: b"", "empty_document", "no bytes"),
    "a picture": (lambda: saved(drawn()), "unparseable", "no PDF"),
    "cut off": (lambda: (data := pdf_of(3))[: len(data) // 3], "unparseable", "damaged or cut off"),
    "only a signature": (lambda: b"%PDF-1.7\n", "unparseable", "damaged or cut off"),
    "behind a password": (encrypted, "unparseable", "password"),
    "five hundred pages": (lambda: pdf_of(500), "too_large", "500 pages"),
    "a huge page": (lambda: pdf_of(1, 14_000, 14_000), "too_large", "194 x 194 inches"),
    "an endless page": (lambda: pdf_of(1, 1e9, 10), "too_large", "inches"),
    "a huge picture": (lambda: pdf_with_image(6_000, 6_000), "too_large", "36 megapixels"),
    "many bytes": (lambda: pdf_of() + b"\0" * 10_000_000, "too_large", "10.0 MB"),
}


@pytest.mark.parametrize("name", BAD_PDFS)
def test_a_pdf_that_may_not_be_sent_is_refused(name: str) -> None:
    make, code, said = BAD_PDFS[name]
    with pytest.raises(CallerError) as refused:
        pdf_pages.pages(make())
    assert refused.value.code == code and said in refused.value.message


def test_the_pages_of_a_pdf_are_pictures() -> None:
    found = pdf_pages.pages(pdf_of(3))
    assert len(found) == 3 and all(max(one.width, one.height) == 1_024 for one in found)
    assert image_caps.check(found[0].image.data).media_type == "image/png"
    (drawn_page,) = pdf_pages.pages(pdf_with_image(500, 500))
    assert drawn_page.width == drawn_page.height == 1_024


@given(st.integers(0, 5_000), st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_a_pdf_with_one_wrong_byte_is_read_or_refused(place: int, value: int) -> None:
    data = bytearray(pdf_of(2))
    data[place % len(data)] = value
    with suppress(CallerError):
        pdf_pages.pages(bytes(data))
