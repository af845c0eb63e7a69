"""Where training runs: the device, its precision, and the settings of this process for it."""

from __future__ import annotations

import os
import platform
import sys

import torch

from tools.train.trainer import TrainError

# Keep freed memory in the process, in huge pages: without this, page faults take two thirds of the
# time of a step on a CPU. And let threads sleep where they wait for each other: beside other work
# they burn a third of the time else. glibc and OpenMP read these at the start.
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": "8589934592",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "OMP_WAIT_POLICY": "PASSIVE",
}
ENVIRONMENT_FLAG = "MINIMESO_ENVIRONMENT_SET"


def set_environment() -> None:
    """Starts this process anew, once, with the settings above (Linux with glibc only)."""
    if ENVIRONMENT_FLAG in os.environ or platform.libc_ver()[0] != "glibc":
        return
    environment = {
        **ENVIRONMENT,
        **os.environ,
        ENVIRONMENT_FLAG: "1",
    }  # the user's own settings win
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def device_of(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n", 1)[0]
        raise TrainError(f"--device {name}: {reason}; cpu always works") from None
    return device


def bfloat16_is_fast(device: torch.device) -> bool:
    """Whether bfloat16 is in the hardware; on one Zen 4 core 11 ms an image against 15."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if not hasattr(torch.cpu, "get_capabilities"):  # an older PyTorch than 2.13
        return False
    found = torch.cpu.get_capabilities()
    return device.type == "cpu" and bool(found.get("avx512_bf16") or found.get("amx_bf16"))
