"""What a service keeps between requests: the last answers, a bounded number of them.

The floor of a service is a fresh one that holds just this, so it can be filled at start (LIVE=full)
without any of the work that an answer costs.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import Callable


class Kept:
    """The newest `capacity` values."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.values: OrderedDict[int, object] = OrderedDict()
        self.lock = threading.Lock()

    def keep(self, key: int, value: object) -> None:
        with self.lock:
            self.values[key] = value
            while len(self.values) > self.capacity:
                self.values.popitem(last=False)

    def fill_if_asked(self, make: Callable[[int], object]) -> None:
        """Fills it with values as requests would have left them, when the surroundings say so."""
        if os.environ.get("LIVE") == "full":
            for key in range(self.capacity):
                self.keep(key, make(key))
