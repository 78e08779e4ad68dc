"""Pictures that notebook 10 draws for itself, and one that is larger than it looks."""

import io
import struct
import subprocess
import sys
import zlib


def page(*lines: tuple[str, str] | str, size: int = 28, width: int = 640) -> bytes:
    """A PNG with these lines of text; of a pair, the second part stands at the right edge."""
    from PIL import Image, ImageDraw, ImageFont

    step = size * 8 // 5
    pixels = Image.new("RGB", (width, 60 + len(lines) * step), "white")
    draw, font = ImageDraw.Draw(pixels), ImageFont.load_default(size)
    for number, line in enumerate(lines):
        left, right = (line, "") if isinstance(line, str) else line
        draw.text((30, 30 + number * step), left, fill="black", font=font)
        draw.text((width - 30 - draw.textlength(right, font=font), 30 + number * step), right, fill="black", font=font)
    file = io.BytesIO()
    pixels.save(file, "PNG")
    return file.getvalue()


def bomb(side: int) -> bytes:
    """A black PNG of `side` x `side` pixels: few bytes, and `side` * `side` of them when it is unpacked."""
    pack = zlib.compressobj(9)
    body = b"".join(pack.compress(b"\0" * (side + 1)) for _ in range(side)) + pack.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


_PEAK = """
import io, resource, sys
from PIL import Image, PngImagePlugin
from patterns import pictures
from patterns.errors import CallerError
data = sys.stdin.buffer.read()
resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))
try:
    {code}
    print("done")
except CallerError as error:
    print("refused:", error)
except MemoryError:
    print("out of memory")
"""


def in_a_small_process(code: str, data: bytes, megabytes: int) -> str:
    """What `code` comes to with `data`, in a process of its own that may take so much memory besides what it has."""
    begun = "int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()"
    script = _PEAK.replace("{limit}", f"{begun} + {megabytes} * 2**20").replace("{code}", code)
    ran = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=True)
    return ran.stdout.decode().strip()
