"""Command-line arguments that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from common.language import either

Books = Annotated[
    list[Path],
    typer.Argument(
        help=either(
            "docx、pdf、epub、pptx、md、html、tex、ipynb、txt 等，或目录",
            "docx, pdf, epub, pptx, md, html, tex, ipynb, txt and more, or folders",
        )
    ),
]
CacheFolder = Annotated[
    Path, typer.Option(help=either("以前做好的东西放在哪里", "what was made before"))
]
