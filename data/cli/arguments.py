"""Command-line arguments that several commands have."""

from pathlib import Path
from typing import Annotated

from common.cli import argument, option

Books = Annotated[
    list[Path],
    argument(
        "docx、pdf、epub、pptx、md、html、tex、ipynb、txt 等，或目录",
        "docx, pdf, epub, pptx, md, html, tex, ipynb, txt and more, or folders",
    ),
]
CacheFolder = Annotated[Path, option("以前做好的东西放在哪里", "what was made before")]
