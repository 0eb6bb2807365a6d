"""Workers on one machine share its GPUs."""

import pytest

from tuning.workers import gpus, shares


def test_each_worker_has_a_gpu_of_its_own_where_there_are_enough():
    assert shares(2, ["2", "3", "4"]) == [
        {"CUDA_VISIBLE_DEVICES": "2"},
        {"CUDA_VISIBLE_DEVICES": "3"},
    ]


def test_workers_that_share_a_gpu_do_not_take_all_of_its_memory():
    environments = shares(3, ["0", "1"])
    assert [e["CUDA_VISIBLE_DEVICES"] for e in environments] == ["0", "1", "0"]
    assert all(e["TF_FORCE_GPU_ALLOW_GROWTH"] == "true" for e in environments)


def test_without_gpus_nothing_is_set():
    assert shares(2, []) == [{}, {}]


@pytest.mark.parametrize(("visible", "expected"), [("2,3", ["2", "3"]), ("", []), ("-1", [])])
def test_gpus_that_are_hidden_are_not_used(monkeypatch, visible, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus() == expected


def test_gpus_are_counted_as_the_driver_lists_them(monkeypatch, tmp_path):
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA'\necho 'GPU 1: NVIDIA'\n")
    driver.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert gpus() == ["0", "1"]
