"""Pauses long work on a laptop whose battery runs low, until it is plugged in.

What is asked for stands in the environment, where the process that trains finds it too.
"""

import os
import time
from collections.abc import Callable

LEVEL = 20  # percent
POLICIES = ("pause", "run")
POLICY_VARIABLE = "SELFGUIDE_ON_BATTERY"
LEVEL_VARIABLE = "SELFGUIDE_BATTERY_LEVEL"
_EVERY = 30.0  # seconds between two looks


class BatteryGuard:
    """Looks at the battery now and then.

    :param note: told when work pauses and when it goes on
    """

    def __init__(self, note: Callable[[str], None]):
        self._note = note
        self._next = 0.0
        self._pauses = os.environ.get(POLICY_VARIABLE, POLICIES[0]) != "run"
        given = os.environ.get(LEVEL_VARIABLE, "")
        self._level = int(given) if given.isdecimal() else LEVEL

    def wait_while_low(self) -> None:
        """Return at once, or when a battery that is too low is charged again; looks at most every half minute."""
        if not self._pauses or time.monotonic() < self._next:
            return
        paused = False
        while (left := _left()) is not None and left < self._level:
            if not paused:
                self._note(
                    f"paused: the battery is at {left} % and not charging; plug it in to go on, or stop and give"
                    " --on-battery run"
                )
            paused = True
            time.sleep(_EVERY)
        if paused:
            self._note("going on: the battery is charged")
        self._next = time.monotonic() + _EVERY


def _left() -> int | None:
    """Return the percent that are left of a battery that is not charged; None where there is none such."""
    import psutil

    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    return None if battery is None or battery.power_plugged is not False else int(battery.percent)
