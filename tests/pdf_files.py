"""Small PDFs written by hand: text at places, rules, pictures, bookmarks."""

import zlib
from collections.abc import Sequence

WIDTH, HEIGHT = 612, 792
FONTS = (
    "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    "<</Type/Font/Subtype/Type1/BaseFont/Courier/Encoding/WinAnsiEncoding>>",
    "<</Type/Font/Subtype/Type0/BaseFont/STSong-Light/Encoding/UniGB-UCS2-H/DescendantFonts[<<"
    "/Type/Font/Subtype/CIDFontType0/BaseFont/STSong-Light/DW 1000/CIDSystemInfo<<"
    "/Registry(Adobe)/Ordering(GB1)/Supplement 4>>/FontDescriptor<</Type/FontDescriptor/FontName"
    "/STSong-Light/Flags 4/FontBBox[-25 -254 1000 880]/ItalicAngle 0/Ascent 880/Descent -120"
    "/CapHeight 880/StemV 93>>>>]>>",
)
SANS, MONO, SONG = "F1", "F2", "F3"


def text(words: str, left: float, top: float, size: float = 10, font: str = SANS) -> str:
    """Content that shows words, their baseline `top` points below the page's upper edge.

    "|" between Latin words stands for a gap of a fifth of the size that is no space.
    """
    if font == SONG:
        shown = f"<{words.encode('utf-16-be').hex()}> Tj"
    else:
        parts = [
            p.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for p in words.split("|")
        ]
        shown = "[" + " -200 ".join(f"({part})" for part in parts) + "] TJ"
    return f"BT /{font} {size} Tf 1 0 0 1 {left} {HEIGHT - top} Tm {shown} ET"


def rule(left: float, top: float, right: float, bottom: float) -> str:
    """Content that draws a line."""
    return f"0.5 w {left} {HEIGHT - top} m {right} {HEIGHT - bottom} l S"


def make_pdf(
    pages: Sequence[Sequence[str]],
    marks: Sequence[tuple[str, int, float]] = (),
    pictures: dict[int, tuple[int, int, bytes]] | None = None,
) -> bytes:
    """A PDF. marks: (title, page, top). pictures: page → width, height, grey bytes of a scan."""
    bodies: list[bytes] = [b"", b""]
    fonts = []
    for font in FONTS:
        bodies.append(font.encode())
        fonts.append(f"/F{len(fonts) + 1} {len(bodies)} 0 R")
    kids = []
    for number, content in enumerate(pages):
        drawn, extra = "\n".join(content), ""
        if pictures and number in pictures:
            width, height, grey = pictures[number]
            packed = zlib.compress(grey)
            head = (
                f"<</Type/XObject/Subtype/Image/Width {width}/Height {height}/ColorSpace/DeviceGray"
                f"/BitsPerComponent 8/Filter/FlateDecode/Length {len(packed)}>>\nstream\n"
            )
            bodies.append(head.encode() + packed + b"\nendstream")
            extra = f"/XObject<</Im0 {len(bodies)} 0 R>>"
            drawn = f"q {WIDTH} 0 0 {HEIGHT} 0 0 cm /Im0 Do Q\n{drawn}"
        stream = drawn.encode("latin-1")
        bodies.append(f"<</Length {len(stream)}>>\nstream\n".encode() + stream + b"\nendstream")
        bodies.append(
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {WIDTH} {HEIGHT}]/Contents {len(bodies)} 0 R"
            f"/Resources<</Font<<{''.join(fonts)}>>{extra}>>>>".encode()
        )
        kids.append(len(bodies))
    outline = ""
    if marks:
        root = len(bodies) + 1
        bodies.append(
            f"<</First {root + 1} 0 R/Last {root + len(marks)} 0 R/Count {len(marks)}>>".encode()
        )
        for place, (title, page, top) in enumerate(marks):
            links = f"/Prev {root + place} 0 R" if place else ""
            links += f"/Next {root + place + 2} 0 R" if place + 1 < len(marks) else ""
            name = "FEFF" + title.encode("utf-16-be").hex()
            bodies.append(
                f"<</Title<{name}>/Parent {root} 0 R{links}"
                f"/Dest[{kids[page]} 0 R/XYZ 0 {HEIGHT - top} 0]>>".encode()
            )
        outline = f"/Outlines {root} 0 R"
    bodies[0] = f"<</Type/Catalog/Pages 2 0 R{outline}>>".encode()
    bodies[1] = (
        f"<</Type/Pages/Kids[{' '.join(f'{k} 0 R' for k in kids)}]/Count {len(kids)}>>".encode()
    )
    out, offsets = b"%PDF-1.5\n", []
    for number, body in enumerate(bodies, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n".encode()
    out += "".join(f"{offset:010d} 00000 n \n" for offset in offsets).encode()
    return (
        out + f"trailer\n<</Size {len(bodies) + 1}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF".encode()
    )
