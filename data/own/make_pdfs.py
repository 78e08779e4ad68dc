"""Writes the PDFs of the sample folder: `python data/own/make_pdfs.py`. The same bytes every time."""

from pathlib import Path

HERE = Path(__file__).parent / "documents"

FEES = (
    """Fees of the Lindenhof library
From 1 January 2026

Library card, for 12 months
Adults: 24.00 euros
Students, trainees, people out of work: 12.00 euros
Children and teenagers under 18: free
Day ticket for visitors, without loans: 4.00 euros""",
    """Late and lost
Late return: 0.30 euros for each item and opening day,
at most 9.00 euros for an item
A new card for a lost one: 5.00 euros
A lost or damaged item: its price, and 6.00 euros for the work

Other services
Loan from another library: 3.00 euros for each item
Printing in black and white: 0.15 euros a page
Printing in colour: 0.50 euros a page
Research in the town archive: 18.00 euros for each half hour""",
)
STORIES = (
    """Stories for small ears
Autumn and winter 2026

Picture book theatre for children from 3: every Saturday at 11:00.
Bilingual stories in Turkish and German, from 4: every first Tuesday
of the month at 16:00.
Rhymes for babies up to 18 months: every Wednesday at 10:15.

All are in the children's library on the ground floor and are free.
For the picture book theatre you need a ticket from the desk, because
there are 40 seats only. Parents may stay outside and drink coffee.""",
)


def pdf(title: str, pages: tuple[str, ...]) -> bytes:
    """A PDF 1.4 file in Helvetica, one text for each page."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, text in enumerate(pages):
        content = (
            "BT /F1 12 Tf 16 TL 72 760 Td " + " ".join(f"({_escaped(line)}) Tj T*" for line in text.split("\n")) + " ET"
        )
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(content.encode('cp1252'))} >>\nstream\n{content}\nendstream")
    objects.append(f"<< /Title ({_escaped(title)}) >>")
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n".encode("cp1252")
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R /Info {len(objects)} 0 R >>\n"
    end = f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}"
    return data + f"{end}startxref\n{len(data)}\n%%EOF\n".encode()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


if __name__ == "__main__":
    (HERE / "fees.pdf").write_bytes(pdf("Fees", FEES))
    (HERE / "children" / "story-times.pdf").write_bytes(pdf("Story times", STORIES))
