"""Which device to run on: a choice made from values, so that it can be tested without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ppdet_cam.errors import ConfigError

# ppdet's config switches and the device each asks for, in the order of choice.
SWITCHES = {"use_gpu": "gpu", "use_xpu": "xpu", "use_npu": "npu", "use_mlu": "mlu"}


def choose_device(settings: Mapping[str, object], available: Sequence[str]) -> tuple[str, str]:
    """Returns (device, one line that says why).

    The accelerator that the config asks for, else any that paddle has; CPU when there is none, or when the
    config switches it off (`use_gpu: false` and no other switch on).

    Args:
        settings: the merged config; only its `use_*` keys are read.
        available: accelerators that paddle was built for and finds, among "gpu", "xpu", "npu", "mlu".

    Raises:
        ConfigError: a switch is neither true nor false.

    Example:
        >>> choose_device({"use_gpu": True}, [])
        ('cpu', 'device: cpu (the config asks for gpu, but this paddle has none)')
    """
    for switch in SWITCHES:
        if not isinstance(settings.get(switch), (bool, type(None))):
            raise ConfigError(f"{switch} must be true or false, not {settings[switch]!r}")
    asked = [device for switch, device in SWITCHES.items() if settings.get(switch) is True]
    refused = [device for switch, device in SWITCHES.items() if settings.get(switch) is False]
    for device in asked:
        if device in available:
            return device, f"device: {device}"
    if "gpu" in refused and not asked:
        return "cpu", "device: cpu (the config switches gpu off)"
    for device in available:
        if device not in refused:
            return device, f"device: {device}"
    if asked:
        return "cpu", f"device: cpu (the config asks for {asked[0]}, but this paddle has none)"
    return "cpu", "device: cpu (this paddle has no accelerator)"
