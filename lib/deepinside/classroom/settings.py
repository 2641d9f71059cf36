"""The settings of Python, NumPy and PyTorch that every answer finds."""

import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def usual_settings() -> Iterator[None]:
    """Give the settings that every answer finds, and put back those of the caller."""
    dtype, threads, device = torch.get_default_dtype(), torch.get_num_threads(), _default_device()
    anomaly, checked = torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
    drawn, numpy_drawn = random.getstate(), np.random.get_state()  # noqa: NPY002
    recursion, determinism = sys.getrecursionlimit(), _determinism()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with (
            warnings.catch_warnings(),
            np.errstate(all="ignore"),
            torch.random.fork_rng(devices),
            # puts back the gradient mode and what else PyTorch keeps for the thread, too
            torch.inference_mode(False),
            torch.autocast("cpu", enabled=False),
            torch._C.DisableTorchFunction(),  # of default devices
        ):
            warnings.simplefilter("ignore")
            torch.set_default_dtype(torch.float32)
            torch.autograd.set_detect_anomaly(False)
            _set_determinism((False, False))
            torch.default_generator.manual_seed(0)
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002 - of the global generator, which an answer may use
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        torch.autograd.set_detect_anomaly(anomaly, checked)
        _set_determinism(determinism)
        random.setstate(drawn)
        np.random.set_state(numpy_drawn)  # noqa: NPY002
        sys.setrecursionlimit(recursion)
        if _default_device() != device:
            torch.set_default_device(None)
            if _default_device() != device:
                torch.set_default_device(device)


def _default_device() -> torch.device | None:
    try:
        return torch.get_default_device()
    except RuntimeError:  # an answer has set one that is not there
        return None


def _determinism() -> tuple[bool, bool]:
    strict = torch.are_deterministic_algorithms_enabled()
    return strict, torch.is_deterministic_algorithms_warn_only_enabled()


def _set_determinism(wanted: tuple[bool, bool]) -> None:
    if _determinism() != wanted:  # else the call would import a thousand modules for nothing
        torch.use_deterministic_algorithms(wanted[0], warn_only=wanted[1])
