"""Character error rate of OCR on pages of known text: python bench/ocr_error.py BOOK.pdf --out FILE

Pages with a text layer are turned into pictures at several resolutions, upright and slightly
turned, read by OCR, and compared with the layer. Blanks do not count; order and everything else
does. Error rate: edit distance (Levenshtein) by the length of the known text.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

CASES = [(150, 0.0), (200, 0.0), (300, 0.0), (200, 1.0), (200, -2.0)]  # dpi, degrees


def printed(lines) -> str:
    """The text of lines without blanks and marks."""
    from data.pdf.lines import CODE_OFF, CODE_ON

    text = "".join(line.text for line in lines)
    return "".join(text.replace(CODE_ON, "").replace(CODE_OFF, "").split())


def known_text(page) -> str:
    """What the text layer of a page says, in reading order."""
    from data.pdf.chars import page_chars
    from data.pdf.layout import Margins, page_lines
    from data.pdf.lines import segments

    chars, _ = page_chars(page, page.get_textpage())
    return printed(page_lines(segments(chars), 0, Margins()))


def main() -> None:
    """Measure and write the table."""
    import pypdfium2
    from rapidfuzz.distance import Levenshtein

    from data.pdf.ocr import OcrReader

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("book", type=Path)
    parser.add_argument("--pages", default="3,8", help="from 1, apart by commas")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    pages = [int(number) - 1 for number in args.pages.split(",")]
    book, reader, rows = pypdfium2.PdfDocument(args.book), None, []
    reader = OcrReader(None, lambda done, total: None)
    for dpi, degrees in CASES:
        errors = length = 0
        began, cpu = time.monotonic(), time.process_time()
        for number in pages:
            picture = book[number].render(scale=dpi / 72).to_pil().convert("L")
            picture = picture.rotate(degrees, expand=False, fillcolor=255, resample=3)
            with tempfile.TemporaryDirectory() as folder:
                scan = Path(folder) / "scan.pdf"
                picture.save(scan, resolution=dpi)
                page = pypdfium2.PdfDocument(scan)[0]
                found = printed(reader.lines(page, 0, 1))
            known = known_text(book[number])
            errors += Levenshtein.distance(known, found)
            length += len(known)
        rows.append(
            {
                "dpi": dpi,
                "degrees": degrees,
                "characters": length,
                "error_rate": round(errors / length, 4),
                "seconds_per_page": round((time.monotonic() - began) / len(pages), 1),
                "cpu_seconds_per_page": round((time.process_time() - cpu) / len(pages), 1),
            }
        )
        print(rows[-1], flush=True)
        told = {"book": args.book.name, "pages": args.pages, "cases": rows}
        # What was judged by eye stands in the same file and stays.
        kept = json.loads(args.out.read_text(encoding="utf-8")) if args.out.is_file() else {}
        text = json.dumps(kept | told, ensure_ascii=False, indent=1)
        args.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
