"""How the threads of numerical libraries wait for each other."""

import os


def before_imports() -> None:
    """Environment that libraries read once, when they load; call it before torch is imported.

    OpenMP threads that spin while they wait stall each other for whole time slices as soon as
    something else runs on their cores (measured with two busy cores).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
