"""A pytest plug-in for which it is later: what the clock says has no part in a test's name."""

import time

_now, _now_ns = time.time, time.time_ns
_LATER = 40 * 86_400 + 3_601

time.time = lambda: _now() + _LATER
time.time_ns = lambda: _now_ns() + _LATER * 1_000_000_000
