"""What several rooms know, once.

`hubs`, `manifest`, `prompting` and `model_files` with its two parts ship in the judge's image; the
rest does not (.dockerignore names what does).
"""
