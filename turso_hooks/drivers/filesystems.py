"""Is a folder on a network file system? SQLite's WAL needs shared memory, which machines do not share."""

from __future__ import annotations

from pathlib import Path

_NETWORK_TYPES = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "glusterfs", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs"}
)
_MOUNTS = Path("/proc/self/mounts")


def network_filesystem(folder: Path, mounts: Path = _MOUNTS) -> str | None:
    """The type of the network file system that `folder` is on; None if it is on none, or the system does not tell."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    best = ("", "")
    for line in lines:
        _, mount_point, kind, *_ = line.split(" ")
        point = mount_point.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
        if folder.is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1] if best[1] in _NETWORK_TYPES else None
