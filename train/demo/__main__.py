"""python -m train.demo: see training.py."""

import typer

from train.demo.training import main

typer.run(main)
