"""What makes `reparam benchmark` fail when all is measured, from the report alone."""

import dataclasses
from typing import Literal

from reparam.benchmark.report import Report
from reparam.errors import DeviceUnavailable, ReparamError, VerificationError

Kind = Literal["wrong", "floor missed", "ran elsewhere", "nothing ran"]


@dataclasses.dataclass(frozen=True)
class Fault:
    """One of them.

    Attributes:
        kind: what happened.
        who: the arm, floor or device.
        reason: why, in words.
    """

    kind: Kind
    who: str
    reason: str

    def __str__(self) -> str:
        """In one line."""
        match self.kind:
            case "wrong":
                return f"{self.who} is wrong: {self.reason}"
            case "floor missed":
                return f"floor {self.who}: {self.reason}"
            case "ran elsewhere":
                return f"a device that was asked for was not used: {self.who} {self.reason}"
            case "nothing ran":
                return f"nothing ran on {self.who}: {self.reason}"


def faults(report: Report) -> list[Fault]:
    """Worst first: wrong arms, floors, arms that ran elsewhere, devices that were named and on which nothing ran.

    Where none was named, something must have run on one of them.
    An arm that merely does not exist on its device, or fails there in the open, is a line of the report and no fault,
    while others of the device ran.
    """
    found = [Fault("wrong", arm.name, arm.reason or "") for arm in report.arms if arm.status == "wrong"]
    found += [Fault("floor missed", floor.asked, floor.reason or "") for floor in report.floors if not floor.held]
    found += [Fault("ran elsewhere", arm.name, arm.reason or "") for arm in report.arms if arm.status == "fell_back"]
    devices = report.settings.devices
    for group in [(device,) for device in devices] if report.settings.devices_named else [devices]:
        arms = [arm for arm in report.arms if arm.device in group]
        if all(arm.status == "unavailable" for arm in arms):
            reason = next((arm.reason for arm in arms if arm.reason), "no arm was left")
            found.append(Fault("nothing ran", " or ".join(group), reason))
    return found


def error_of(report: Report) -> ReparamError | None:
    """What the command ends with: the worst fault, and how many more there are; None where all is well."""
    found = faults(report)
    if not found:
        return None
    told = f"benchmark: {found[0]}" + (f"; and {len(found) - 1} more, see the report" if len(found) > 1 else "")
    return (VerificationError if found[0].kind in ("wrong", "floor missed") else DeviceUnavailable)(told)
