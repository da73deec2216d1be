"""Foreign conversations: bytes to events. Pure: no file is opened and no clock is read here.

One module a format. Whoever reads a transcript decides what stands for what it does not say, such as the time.
"""

from __future__ import annotations
