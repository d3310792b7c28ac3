"""The devices that a JAX program is spread over. No network is here."""

import jax

from resnet_impls.devices import DEVICES


def devices_of(device: str, count: int) -> list[jax.Device]:
    """So many devices of a kind. A CPU is as many as JAX_NUM_CPU_DEVICES says, sharing its cores.

    Raises ImportError where there are not so many.
    """
    try:
        found = jax.devices(DEVICES[device].jax)
    except RuntimeError as error:
        raise ImportError(f"this JAX finds no {device} device") from error
    if len(found) < count:
        raise ImportError(f"this JAX finds {len(found)} {device} devices, not {count}")
    return found[:count]
