"""Weights made up for the shape of a quantized model.

vLLM's `load_format="dummy"` leaves integer weights as they lie in memory, rounds nearly all 8-bit
floats to zero, and gives scales either sign. Products of zeros may take less time than others, so
such a format could look faster than it is. `use_random_weights` fills them in for the engine of
this process. What such a model says means nothing.
"""

import threading
from typing import Any

# As spread out as the weights that training begins with. With norms of 1 the inputs of products are
# about 1 then, and eight times that is hardly ever met.
WEIGHT_SPREAD = 0.02
LARGEST_INPUT = 8.0
# The spread of what is stored: n whole numbers, each as likely as the next, have
# sqrt((n² - 1) / 12); 8-bit floats are normal, and at most 448.
INT8_SPREAD = ((255**2 - 1) / 12) ** 0.5
INT4_SPREAD = ((16**2 - 1) / 12) ** 0.5
FP8_SPREAD = 100.0
FP8_LARGEST = 448.0


def use_random_weights() -> threading.Event:
    """Make vLLM's `dummy` format of this process fill in what it leaves out; set once it has.

    Imports vLLM: what it reads from the environment is to be set before. Not for an engine in its
    own process. Only for shapes whose config.json has a quantization_config: what vLLM quantizes
    itself (QUANTIZATION=fp8) it makes of random 16-bit weights with scales that fit them.
    """
    from vllm.model_executor.model_loader import register_model_loader
    from vllm.model_executor.model_loader.dummy_loader import DummyModelLoader

    filled = threading.Event()

    class RandomModelLoader(DummyModelLoader):
        def load_weights(self, model: Any, model_config: Any) -> None:
            super().load_weights(model, model_config)
            if getattr(model_config.hf_config, "quantization_config", None):
                fill(model.state_dict())
                filled.set()

    register_model_loader("dummy")(RandomModelLoader)
    return filled


def fill(tensors: dict[str, Any]) -> None:
    """Random values in place for each quantized layer's weights, scales that fit them, norms of 1.

    tensors: as compressed-tensors names them, `LAYER.weight` or `LAYER.weight_packed` (eight 4-bit
    weights in 32 bits), `LAYER.weight_scale`, `LAYER.input_scale`; a norm's `weight` is a vector.
    Raises ValueError for integer weights of another layout.
    """
    import torch

    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        random = torch.Generator(device=tensor.device).manual_seed(0)
        if kind == "weight_packed":
            # Byte by byte: every 4 bits of them are any of the 16 then.
            tensor.view(torch.uint8).random_(0, 256, generator=random)
            tensors[f"{layer}.weight_scale"].fill_(WEIGHT_SPREAD / INT4_SPREAD)
        elif kind == "weight" and tensor.dtype == torch.int8:
            tensor.random_(-127, 128, generator=random)
            tensors[f"{layer}.weight_scale"].fill_(WEIGHT_SPREAD / INT8_SPREAD)
        elif kind == "weight" and tensor.dtype == torch.float8_e4m3fn:
            drawn = torch.empty(tensor.shape, device=tensor.device)
            drawn.normal_(0.0, FP8_SPREAD, generator=random).clamp_(-FP8_LARGEST, FP8_LARGEST)
            tensor.copy_(drawn)
            tensors[f"{layer}.weight_scale"].fill_(WEIGHT_SPREAD / FP8_SPREAD)
        elif kind == "weight" and tensor.dim() == 1:
            tensor.fill_(1.0)
        elif kind == "input_scale":
            tensor.fill_(LARGEST_INPUT / FP8_LARGEST)
        elif tensor.dim() > 1 and not tensor.is_floating_point():
            raise ValueError(f"{name}: no random values known for this layout ({tensor.dtype})")
