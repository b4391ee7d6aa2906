"""The GPUs that CUDA offers this process."""

from __future__ import annotations

import ctypes
import sys

from arcage.errors import DeviceError

ALL_GPUS = "cuda:all"
"""The device that stands for all GPUs. Each worker process gets one of them."""


def named_gpus(device: str) -> tuple[str, ...]:
    """Return the devices of all GPUs for ``cuda:all``, and none for another device.

    Raises:
        DeviceError: as :func:`all_gpus`.
    """
    return all_gpus() if device.lower() == ALL_GPUS else ()


def all_gpus() -> tuple[str, ...]:
    """Return the devices of all GPUs: ``cuda:0``, ``cuda:1``, ... ``CUDA_VISIBLE_DEVICES`` restricts them.

    Raises:
        DeviceError: there is no GPU, or no driver.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError as error:
        raise _none(f"the driver of NVIDIA cannot be loaded ({error})") from None
    count = ctypes.c_int()
    code = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if code or not count.value:
        raise _none(f"the driver finds no GPU (error {code})" if code else "the driver finds no GPU")
    return tuple(f"cuda:{number}" for number in range(count.value))


def _none(why: str) -> DeviceError:
    return DeviceError(
        f"the device {ALL_GPUS!r} is not available: {why}. Check that `nvidia-smi` lists a GPU, and "
        "CUDA_VISIBLE_DEVICES"
    )
