"""How long training will take, said after its first steps, and a word when it falls behind.

The clock never ends training: every machine does all steps and gets the model they make.
"""

from common.language import either

FIRST = 2  # steps left out of the estimate: torch sets up its threads and memory in them
MEASURED = 10  # steps that the estimate is made from


class Pace:
    """What to tell about the time of `steps` training steps; at most two lines in all."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._began = 0.0  # seconds after which measuring began
        self._expected = 0.0  # seconds that all steps take at the first steps' speed
        self._warned = False

    def after(self, step: int, seconds: float) -> str | None:
        """The line to show once `step` steps (1 …) are done, `seconds` after the start."""
        if step == FIRST:
            self._began = seconds
        if step == FIRST + MEASURED:
            each = (seconds - self._began) / MEASURED
            self._expected = self._began + each * (self.steps - FIRST)
            return either(
                f"共 {self.steps} 步，按现在的速度约 {self._expected:.0f} 秒",
                f"{self.steps} steps, about {self._expected:.0f} s at this speed",
            )
        if self._warned or not self._expected or seconds < 1.5 * self._expected:
            return None
        self._warned = True
        left = seconds / step * (self.steps - step)
        return either(
            f"比开始时慢：{seconds:.0f} 秒做了 {self.steps} 步里的 {step} 步，还要约 {left:.0f} 秒"
            "（机器上还有别的程序吗？做出的模型不受影响）",
            f"slower than at first: {step} of {self.steps} steps after {seconds:.0f} s, about "
            f"{left:.0f} s left (is other work going on here? the model stays the same)",
        )
