"""The device follows from the config's switches and from what paddle finds."""

from __future__ import annotations

import pytest

from ppdet_cam.detectors.device import choose_device


@pytest.mark.parametrize(
    ("settings", "available", "device"),
    [
        ({"use_gpu": True}, ["gpu"], "gpu"),
        ({"use_xpu": True}, ["xpu"], "xpu"),
        ({"use_npu": True}, ["npu"], "npu"),
        ({"use_mlu": True}, ["mlu"], "mlu"),
        ({"use_gpu": False, "use_xpu": True}, ["gpu", "xpu"], "xpu"),
        ({"use_gpu": True, "use_xpu": True}, ["xpu", "gpu"], "gpu"),
        ({"use_gpu": True, "use_npu": True}, ["npu"], "npu"),
    ],
)
def test_choose_device_takes_what_the_config_asks_for(settings: dict, available: list, device: str) -> None:
    """A switch that is on and whose device is there decides; gpu goes before the others."""
    assert choose_device(settings, available) == (device, f"device: {device}")


@pytest.mark.parametrize(("switch", "wanted"), [("use_gpu", "gpu"), ("use_xpu", "xpu")])
def test_choose_device_says_why_when_what_is_asked_for_is_absent(switch: str, wanted: str) -> None:
    """Asked for, but there is none: CPU, and the line says what was asked for."""
    device, reason = choose_device({switch: True}, [])
    assert device == "cpu"
    assert reason == f"device: cpu (the config asks for {wanted}, but this paddle has none)"


def test_choose_device_takes_another_accelerator_when_the_one_asked_for_is_absent() -> None:
    """A config made for a GPU runs on the NPU of a machine that has no other."""
    assert choose_device({"use_gpu": True}, ["npu"]) == ("npu", "device: npu")


def test_choose_device_does_not_fall_back_on_an_accelerator_that_is_switched_off() -> None:
    """Asked for an absent GPU with the NPU switched off: CPU."""
    device, reason = choose_device({"use_gpu": True, "use_npu": False}, ["npu"])
    assert device == "cpu"
    assert "asks for gpu" in reason


@pytest.mark.parametrize(
    "settings", [{"use_gpu": False}, {"use_gpu": False, "use_xpu": False, "use_npu": False, "use_mlu": False}]
)
def test_choose_device_keeps_to_the_cpu_when_the_gpu_is_switched_off(settings: dict) -> None:
    """`use_gpu: false` forces CPU though a GPU is there, and the line says so."""
    device, reason = choose_device(settings, ["gpu"])
    assert device == "cpu"
    assert reason == "device: cpu (the config switches gpu off)"


def test_choose_device_takes_the_gpu_when_only_another_accelerator_is_switched_off() -> None:
    """`use_xpu: false` says nothing about the GPU that is there."""
    assert choose_device({"use_xpu": False}, ["gpu"]) == ("gpu", "device: gpu")


@pytest.mark.parametrize("available", [["gpu"], ["xpu"], ["gpu", "npu"]])
def test_choose_device_takes_what_is_there_when_nothing_is_said(available: list) -> None:
    """Without a switch the first accelerator that paddle finds is used."""
    assert choose_device({}, available) == (available[0], f"device: {available[0]}")


def test_choose_device_is_cpu_when_nothing_is_said_and_nothing_is_there() -> None:
    """Without a switch and without an accelerator: CPU, and the line says that there is none."""
    assert choose_device({}, []) == ("cpu", "device: cpu (this paddle has no accelerator)")


def test_choose_device_reads_no_other_key() -> None:
    """Other settings, and switches left empty, change nothing."""
    settings = {"use_ema": True, "use_gpu": None, "architecture": "SSD", "worker_num": 2}
    assert choose_device(settings, ["gpu"]) == ("gpu", "device: gpu")
