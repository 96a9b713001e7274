"""What several rooms know, once.

`hubs`, `manifest`, `model_files` and `prompting` ship in the judge's image, the rest does not
(.dockerignore names what does).
"""
