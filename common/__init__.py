"""What several rooms know, once. `manifest` and `prompting` ship in the judge's image, the rest
does not (.dockerignore names what does)."""
