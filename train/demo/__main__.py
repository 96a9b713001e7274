"""python -m train.demo: see command.py."""

from common.cli import run_command
from train.demo.command import main

run_command(main)
