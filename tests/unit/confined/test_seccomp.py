"""What the filter of system calls decides, on both architectures, by a small interpreter of its instructions."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from coatcheck.confined import bpf, seccomp
from coatcheck.confined.syscalls import CHECKED, NEWEST_KNOWN, REFUSED

PID = 4711
REFUSE = bpf.ERROR | errno.EPERM
UNKNOWN = bpf.ERROR | errno.ENOSYS
KNOWN = {**REFUSED, **CHECKED}


def decide(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the filter for `machine` returns."""
    own, column = bpf.ARCHITECTURES[machine]
    called = (number, own if architecture is None else architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("<IIQ6Q", *called)
    steps = [struct.unpack("=HBBI", step) for step in seccomp.program(own, column, PID)]
    at, value = 0, 0
    while True:
        code, if_true, if_false, operand = steps[at]
        at += 1
        match code:
            case bpf.LOAD:
                (value,) = struct.unpack_from("<I", data, operand)
            case bpf.AND:
                value &= operand
            case bpf.IF_EQUAL:
                at += if_true if value == operand else if_false
            case bpf.IF_GREATER:
                at += if_true if value > operand else if_false
            case bpf.IF_BIT:
                at += if_true if value & operand else if_false
            case bpf.RETURN:
                return int(operand)
            case _:
                raise AssertionError(code)


@pytest.mark.parametrize("machine", bpf.ARCHITECTURES)
def test_what_is_listed_is_refused_and_nothing_else(machine: str) -> None:
    column = bpf.ARCHITECTURES[machine][1]
    listed = {numbers[column] for numbers in REFUSED.values()} - {None}
    checked = {numbers[column] for numbers in CHECKED.values()}
    decided = {number: decide(machine, number) for number in range(NEWEST_KNOWN + 1) if number not in checked}
    assert {number for number, action in decided.items() if action == REFUSE} == listed
    assert {number for number, action in decided.items() if action == bpf.ALLOW} == set(decided) - listed


@pytest.mark.parametrize("machine", bpf.ARCHITECTURES)
@pytest.mark.parametrize(
    ("name", "arguments", "action"),
    [
        ("clone", (0x3D0F00,), bpf.ALLOW),
        ("clone", (0x1200011,), REFUSE),
        ("clone3", (), UNKNOWN),
        ("kill", (PID, 6), bpf.ALLOW),
        ("kill", (PID + 1, 0), REFUSE),
        ("kill", (0xFFFFFFFF, 9), REFUSE),
        ("tgkill", (PID, PID + 3, 6), bpf.ALLOW),
        ("tgkill", (1, 1, 6), REFUSE),
        ("tkill", (PID,), bpf.ALLOW),
        ("tkill", (PID + 3,), REFUSE),
        ("prlimit64", (0, 7), bpf.ALLOW),
        ("prlimit64", (1, 7), REFUSE),
        ("mmap", (0, 4096, 3, 0x22), bpf.ALLOW),
        ("mmap", (0, 4096, 1, 0x1), bpf.ALLOW),
        ("mmap", (0, 4096, 3, 0x21), REFUSE),
        ("mmap", (0, 4096, 3, 0x23 | 0x4000), REFUSE),
        ("mmap", (0, 4096, 3, 0x122), REFUSE),
        ("fcntl", (3, 4), bpf.ALLOW),
        ("fcntl", (3, 8), REFUSE),
        ("prctl", (15,), bpf.ALLOW),
        ("prctl", (1, 0), REFUSE),
        ("prctl", (4, 1), REFUSE),
    ],
)
def test_some_are_refused_for_their_arguments(machine: str, name: str, arguments: tuple[int, ...], action: int) -> None:
    number = CHECKED[name][bpf.ARCHITECTURES[machine][1]]
    assert number is not None
    assert decide(machine, number, *arguments) == action


@pytest.mark.parametrize("machine", bpf.ARCHITECTURES)
def test_what_is_newer_than_the_lists_is_not_there(machine: str) -> None:
    assert decide(machine, NEWEST_KNOWN + 1) == UNKNOWN


def test_another_set_of_numbers_ends_the_process() -> None:
    i386 = 0x40000003
    assert decide("x86_64", 1, architecture=i386) == bpf.KILL
    assert decide("x86_64", 0x40000000 | 1) == bpf.KILL
    assert decide("aarch64", 1, architecture=0x40000028) == bpf.KILL


@pytest.mark.parametrize(
    ("column", "header"),
    [(0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), (1, "/usr/include/asm-generic/unistd.h")],
    ids=["x86_64", "aarch64"],
)
def test_numbers_are_those_of_the_kernel(column: int, header: str) -> None:
    if not Path(header).is_file():
        pytest.skip(f"this machine has no {header}")
    defined = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", Path(header).read_text())
    kernel = {name: int(number) for name, number in defined}
    ours = {name: numbers[column] for name, numbers in KNOWN.items() if name in kernel}
    assert len(ours) > 80
    # 1038 and above: those that a kernel may have for programs of 2011
    assert ours == {name: kernel[name] if kernel[name] < 1024 else None for name in ours}
