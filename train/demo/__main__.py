"""python -m train.demo: see command.py."""

import typer

from train.demo.command import main

typer.run(main)
