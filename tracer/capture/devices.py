"""Watch devices with TCX (kernel 6.6 and newer)."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence

from tracer.capture.bpf_syscall import ATTACH_TCX_EGRESS, ATTACH_TCX_INGRESS, link_tcx
from tracer.capture.programs import Programs
from tracer.endpoints.model import Device
from tracer.errors import CannotTraceError

_PROGRAMS = (("device_ingress", ATTACH_TCX_INGRESS), ("device_egress", ATTACH_TCX_EGRESS))


def link_devices(programs: Programs, devices: Sequence[Device]) -> Iterator[int]:
    """Link our programs to devices of the calling thread's netns, and yield each link's descriptor.

    Each takes the kernel some 10 ms, in which it waits for its readers (tcx_entry_sync, include/net/tcx.h); closing it
    takes as long. Raises CannotTraceError.
    """
    for device in devices:
        for name, attach_type in _PROGRAMS:
            try:
                yield link_tcx(programs.tcx(name, attach_type), device.index, attach_type)
            except OSError as error:
                raise _not_linked(device, error) from error


def _not_linked(device: Device, error: OSError) -> CannotTraceError:
    what = f"device {device.name} of {device.netns.label}"
    if error.errno == errno.ENODEV:
        return CannotTraceError(f"{what} is gone", "Its pod has ended, or was wired anew: look, and trace again")
    return CannotTraceError(
        f"cannot watch {what}: {error.strerror}", "The kernel needs TCX (6.6 or newer); see `tracer doctor`"
    )
