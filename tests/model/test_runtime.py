"""Devices, batches, cancelling, and running out of memory."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_integrated_cell.model.runtime import (
    Cancelled,
    CancelToken,
    available_devices,
    batches,
    choose_device,
    is_out_of_memory,
)


@given(total=st.integers(0, 40), batch_size=st.integers(1, 50))
def test_batches_cover_every_item_once_and_in_order(total: int, batch_size: int) -> None:
    reported: list[tuple[int, int, str]] = []
    items = list(range(total))
    parts = list(
        batches(
            items.__getitem__,
            total,
            batch_size=batch_size,
            progress=lambda *a: reported.append(a),
            what="w",
        )
    )
    assert [item for _, found in parts for item in found] == items
    assert all(found == items[part] and len(found) <= batch_size for part, found in parts)
    assert reported == [(part.stop, total, "w") for part, _ in parts]


@given(total=st.integers(1, 40), batch_size=st.integers(1, 50), fits=st.integers(1, 50))
def test_where_memory_runs_out_the_batch_is_halved_and_the_work_goes_on(
    total: int, batch_size: int, fits: int
) -> None:
    tried: list[int] = []

    def compute(part: slice) -> list[int]:
        tried.append(part.stop - part.start)
        if tried[-1] > fits:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return list(range(part.start, part.stop))

    found = [item for _, part in batches(compute, total, batch_size=batch_size) for item in part]
    assert found == list(range(total))
    worked = [size for size in tried if size <= fits]
    # Once a size is known to fit, no larger one is tried again.
    assert max(tried[tried.index(worked[0]) :]) <= fits
    assert all(after == size // 2 for size, after in pairwise(tried) if size > fits)


def test_one_item_too_large_ends_it_with_advice() -> None:
    def compute(_: slice) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(MemoryError, match="choose the CPU"):
        list(batches(compute, 4, batch_size=4))


def test_other_errors_are_not_taken_for_memory() -> None:
    calls = []

    def compute(part: slice) -> None:
        calls.append(part)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        list(batches(compute, 4, batch_size=4))
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"), True),
        (MemoryError(), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_which_errors_speak_of_memory(error: BaseException, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_a_cancelled_token_stops_before_the_next_batch() -> None:
    token, done = CancelToken(), []

    def work() -> None:
        for part, _ in batches(lambda part: part, 10, batch_size=3, cancel=token):
            done.append(part.stop)
            if part.stop == 6:
                other = threading.Thread(target=token.cancel)
                other.start()
                other.join()

    with pytest.raises(Cancelled):
        work()
    assert done == [3, 6]


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_holds_at_least_one(size: int) -> None:
    with pytest.raises(ValueError, match="batch size"):
        list(batches(lambda part: part, 3, batch_size=size))


def _with_devices(monkeypatch: pytest.MonkeyPatch, *, cards: int, apple: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some Card")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)


@pytest.mark.parametrize(
    ("cards", "apple", "found"),
    [(2, False, ["cuda", "cpu"]), (0, True, ["mps", "cpu"]), (0, False, ["cpu"])],
)
def test_auto_takes_the_fastest_there_is(
    monkeypatch: pytest.MonkeyPatch, cards: int, apple: bool, found: list[str]
) -> None:
    _with_devices(monkeypatch, cards=cards, apple=apple)
    assert [choice.name for choice in available_devices()] == found
    assert choose_device("auto").type == found[0]
    assert choose_device("cpu") == torch.device("cpu")


def test_the_label_names_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_devices(monkeypatch, cards=1, apple=False)
    assert available_devices()[0].label == "GPU (Some Card)"


@pytest.mark.parametrize("name", ["mps", "cuda:2", "cuda:x", "tpu", ""])
def test_an_absent_device_is_answered_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _with_devices(monkeypatch, cards=2, apple=False)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match=rf"no device '{name}' here: choose auto, cuda or cpu"):
        choose_device(name)
