"""What ids are derived from that a conversation lacks, or has in a form that the API does not take."""

from __future__ import annotations

from uuid import UUID

NAMESPACE = UUID("6b0b3d1e-6d55-5f0a-9d35-5c9a7ab1f3b4")
"""Of ids derived from content; fixed for ever."""
