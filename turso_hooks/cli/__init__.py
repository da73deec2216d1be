"""The command `turso-hooks`: a module a group of commands; each parses, calls, prints.

Exit codes: 0 done, 1 failed, 2 wrong usage. Data goes to standard output, everything else to standard error.
"""

from __future__ import annotations
