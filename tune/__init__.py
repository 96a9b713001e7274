"""Serving settings for one model on one machine, searched by judging the real service.

A package of its own, beside data/ and train/: like them it is a step that a person runs and that
leaves a file which ships (`serve.env`); bench/ leaves numbers only.
"""
