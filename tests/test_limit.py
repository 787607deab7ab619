"""The memory that a process may use, by what systems and containers say of it."""

from pathlib import Path

import pytest

from bedeck._limit import memory_limit

MACHINE = "the memory of this machine"
MB = 1 << 20


def system(root: Path, cgroup: str, mountinfo: str, files: dict[str, object]) -> Path:
    """A root folder with these files; a cgroup folder holds those of its limits."""
    texts = {"proc/self/cgroup": cgroup, "proc/self/mountinfo": mountinfo, **files}
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


V2 = "24 23 0:21 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw"
V1 = "33 32 0:30 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory"
SYSTEMS = {
    "the nearest of nested ones": (
        "0::/a/b/c",
        V2,
        {"a/memory.max": 8 * MB, "a/b/memory.max": 2 * MB, "a/b/c/memory.max": "max"},
        (2 * MB, "/sys/fs/cgroup/a/b/memory.max"),
    ),
    "an outer one that is lower": (
        "0::/a/b",
        V2,
        {"a/memory.max": 2 * MB, "a/b/memory.max": 8 * MB},
        (2 * MB, "/sys/fs/cgroup/a/memory.max"),
    ),
    "where pages are taken back before": (
        "0::/a",
        V2,
        {"a/memory.max": 8 * MB, "a/memory.high": 6 * MB},
        (6 * MB, "/sys/fs/cgroup/a/memory.high"),
    ),
    "a container with a cgroup namespace": ("0::/", V2, {"memory.max": 3 * MB}, (3 * MB, "/sys/fs/cgroup/memory.max")),
    "a container that entered another's": (
        "0::/../other",
        V2,
        {"memory.max": 3 * MB},
        (3 * MB, "/sys/fs/cgroup/memory.max"),
    ),
    "a container without a cgroup namespace": (
        "0::/docker/cafe/in",
        "24 23 0:21 /docker/cafe /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
        {"memory.max": 8 * MB, "in/memory.max": 3 * MB, "docker/cafe/memory.max": 1},
        (3 * MB, "/sys/fs/cgroup/in/memory.max"),
    ),
    "none": ("0::/a", V2, {"a/memory.max": "max"}, None),
    "no cgroups": ("", "22 1 0:5 / / rw - ext4 /dev/vda rw", {}, None),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_lowest_limit_of_cgroups_counts(name: str, tmp_path: Path):
    cgroup, mounts, limits, expected = SYSTEMS[name]
    found = memory_limit(system(tmp_path, cgroup, mounts, {f"sys/fs/cgroup/{at}": of for at, of in limits.items()}))
    assert found is not None
    if expected is None:
        assert found.by == MACHINE
    else:
        assert (found.bytes, found.by) == expected


def test_cgroups_of_version_1_are_told_even_where_they_are_not_seen(tmp_path: Path):
    files: dict[str, object] = {
        "sys/fs/cgroup/memory/memory.limit_in_bytes": 9223372036854771712,
        "sys/fs/cgroup/memory/a/memory.limit_in_bytes": 5 * MB,
        "sys/fs/cgroup/memory/a/memory.stat": f"cache 1\nhierarchical_memory_limit {5 * MB}",
    }
    mounts = f"{V1}\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
    found = memory_limit(system(tmp_path, "9:cpu:/x\n4:memory:/a\n0::/", mounts, files))
    assert found is not None
    assert (found.bytes, found.by) == (5 * MB, "/sys/fs/cgroup/memory/a/memory.limit_in_bytes")
    hidden = tmp_path / "sys/fs/cgroup/memory/a/memory.stat"
    hidden.write_text(f"hierarchical_memory_limit {MB}\n")
    found = memory_limit(tmp_path)
    assert found is not None
    assert (found.bytes, "memory.stat" in found.by) == (MB, True)


def test_a_mount_may_have_spaces_in_its_name(tmp_path: Path):
    mounts = r"24 23 0:21 / /my\040cgroups rw - cgroup2 cgroup2 rw"
    found = memory_limit(system(tmp_path, "0::/a", mounts, {"my cgroups/a/memory.max": MB}))
    assert found is not None
    assert (found.bytes, found.by) == (MB, "/my cgroups/a/memory.max")


def test_a_system_without_cgroups_has_the_memory_of_the_machine(tmp_path: Path):
    found = memory_limit(tmp_path)
    assert found is not None
    assert (found.by, found.bytes > 64 * MB) == (MACHINE, True)
