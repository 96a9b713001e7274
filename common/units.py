"""Numbers for people."""


def amount(value: float, unit: str) -> str:
    """Bytes ("B") as MB or GB (decimal), seconds ("s") with one decimal below 100, or a number with
    its plural noun."""
    if unit == "B":
        return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.2f} MB"
    if unit == "s":
        return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"
    return f"{value:g} {unit}"
