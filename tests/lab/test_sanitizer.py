# SPDX-License-Identifier: LGPL-2.1-or-later
"""What of a sanitizer's file is of our making. Needs no lab."""
import pytest

from holdfast_lab import sanitizer

LEAKS = "==7==ERROR: LeakSanitizer: detected memory leaks\n\n"


def leak(*frames):
    lines = [f"    #{number} 0x7f0 in {frame}" for number, frame in enumerate(frames)]
    return ("Direct leak of 8 byte(s) in 1 object(s) allocated from:\n" + "\n".join(lines) + "\n\n")


OURS = leak("malloc x.cpp:69", "g_malloc (/lib/libglib-2.0.so.0+0x5)",
            "phases_begin ../driver/run/phases.c:57", "start_thread p.c:1")
STRIPPED = leak("malloc x.cpp:69", "(/x/build-sanitize/driver/module/holdfast-driver.so+0x5)")
FOREIGN = leak("malloc x.cpp:69", "virAlloc (/lib/libvirt.so.0+0x5)", "main driver.c:1")
KNOWN = leak("malloc x.cpp:69", "g_strdup (/lib/libglib-2.0.so.0+0x5)",
             "qemuDomainObjStartJobPhase (/lib/libvirt_driver_qemu.so+0xb)",
             "phases_perform ../driver/run/phases.c:109")
UNDEFINED = "../driver/run/a.c:1:2: runtime error: shift exponent 64 is too large\n"
USE_AFTER_FREE = "==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x1\n"


@pytest.mark.parametrize("text, count", [
    ("", 0), (LEAKS + FOREIGN, 0), (LEAKS + KNOWN, 0), (LEAKS + OURS, 1), (LEAKS + STRIPPED, 1),
    (LEAKS + FOREIGN + OURS + KNOWN + STRIPPED, 2), (UNDEFINED, 1), (USE_AFTER_FREE, 1),
    (UNDEFINED + LEAKS + FOREIGN, 1), (UNDEFINED + LEAKS + OURS, 2),
])
def test_findings(text, count):
    assert len(sanitizer.findings(text)) == count
